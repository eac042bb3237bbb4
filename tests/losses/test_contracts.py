"""Every loss YAML on every shape that it accepts, and under every modifier: one step that is finite and trains."""

import copy
from itertools import product

import pytest
from conftest import thinned
from omegaconf import OmegaConf
from shaped_rows import OTHERS, STRANGERS, TEXTS, right_dataset

from embexp.config.compose import option_of
from embexp.config.session import conf_dir
from embexp.data.shapes import text_columns
from embexp.errors import ConfigError
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import spec_of
from embexp.models.scratch import ScratchModel

LOSSES = sorted(path.stem for path in conf_dir().glob("loss/*.yaml") if path.stem != "auto")
CELLS = [(name, shape) for name in LOSSES for shape in OmegaConf.load(conf_dir() / f"loss/{name}.yaml")._accepts_]
MODIFIERS = sorted(path.stem for path in conf_dir().glob("modifier/*.yaml") if path.stem != "none")
CACHED = {"cached_gist", "cached_mnrl", "mega_batch"}
COPIES = {"contrastive_tension", "contrastive_tension_in_batch", "diffcse"}
# The teacher's embeddings among the rows are narrower than the model's, so mse and embed_distill own a projection.
HEADS = {"embed_distill", "mse", "softmax", "tsdae"}
REFUSED = {
    "adaptive_layer": CACHED | COPIES,
    "matryoshka": HEADS | COPIES,
    "matryoshka_2d": CACHED | COPIES | HEADS,
    "orthogonal": CACHED,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The one model of this file, wide enough to be halved; it is copied, never trained itself."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    scratch = ScratchModel(num_layers=2, hidden_size=64, num_heads=2, vocabulary_size=100, max_seq_length=16)
    return scratch.load(lambda: [*TEXTS, *OTHERS, *STRANGERS], tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def guides(tmp_path_factory):
    """Saved models that may guide: one with the tiny model's vocabulary, one with another."""
    import torch

    folder = tmp_path_factory.mktemp("guides")
    for name, texts in {"same": [*TEXTS, *OTHERS, *STRANGERS], "other": ["other words", *TEXTS]}.items():
        torch.manual_seed(1)
        scratch = ScratchModel(num_layers=1, hidden_size=32, num_heads=2, vocabulary_size=100, max_seq_length=16)
        scratch.load(lambda texts=texts: texts, folder / f"{name}_parts").save_pretrained(str(folder / name))
    return folder


def spec(loss: str, guides, modifier: str = "none", **changes):
    """The shipped loss with a guide that is quick to load."""
    node = option_of("loss", loss) | changes
    node |= {"guide": str(guides / "same")} if node.get("guide") == "minilm" else {}
    return spec_of(loss, node, modifier_of(modifier, option_of("modifier", modifier)))


def batch_of(model, shape: str):
    """All rows of a shape as the trainer hands them to a loss."""
    import torch

    rows = right_dataset(shape).training_rows()
    described = right_dataset(shape).shape
    columns = [model.preprocess(rows[column][:]) for column in text_columns(described, rows.column_names)]
    return columns, torch.tensor(rows[described.label][:]) if described.label else None


def value_of(loss, batch):
    """The loss of a batch, whose parts are added up as the trainer does."""
    value = loss([dict(column) for column in batch[0]], batch[1])
    return sum(value.values()) if isinstance(value, dict) else value


def step(loss, batch) -> tuple[float, float]:
    """The value of one step of gradient descent, and the norm of its gradient."""
    import torch

    trained = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    value = value_of(loss, batch)
    value.backward()
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in trained if weight.grad is not None])
    optimizer.step()
    return value.item(), norm.item()


def moved(before, after) -> bool:
    """Whether any weight of a model differs from what it was."""
    import torch

    return any(not torch.equal(old, new) for old, new in zip(before.parameters(), after.parameters(), strict=True))


def test_the_catalogue_is_whole():
    assert len(LOSSES) >= 27
    assert len(CELLS) >= 34
    assert set(REFUSED) == set(MODIFIERS)


@pytest.mark.parametrize(("name", "shape"), CELLS)
def test_a_loss_trains_the_model_on_a_shape_that_it_accepts(name, shape, tiny, guides):
    import torch

    model = copy.deepcopy(tiny).train()
    loss = spec(name, guides).build(model, right_dataset(shape))
    value, norm = step(loss, batch_of(model, shape))
    assert torch.isfinite(torch.tensor([value, norm])).all()
    assert value > 0
    assert norm > 1e-6
    assert moved(tiny, model)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_trains_weights_of_its_own_where_its_traits_say_so(name, tiny, guides):
    model = copy.deepcopy(tiny).train()
    loss = spec(name, guides)
    projects = {"owns_head"} if name in ("mse", "embed_distill") else set()  # what the narrow teachers ask for
    owns = any(trait.startswith("owns_") for trait in {*loss.traits} | projects)
    built = loss.build(model, right_dataset(loss.accepts[0]))
    step(built, batch_of(model, loss.accepts[0]))
    models = {id(weight) for weight in model.parameters()}
    own = [weight for weight in built.parameters() if id(weight) not in models and weight.requires_grad]
    assert any(weight.grad is not None and weight.grad.any() for weight in own) == bool(own) == owns


@pytest.mark.parametrize(("name", "modifier"), thinned(list(product(LOSSES, MODIFIERS)), 22))
def test_a_modifier_composes_with_a_loss_or_refuses_it(name, modifier, tiny, guides):
    import torch

    model, modified = copy.deepcopy(tiny).train(), spec(name, guides, modifier)
    shape = modified.accepts[0]
    if name in REFUSED[modifier]:
        with pytest.raises(
            ConfigError, match=rf"modifier={modifier} does not compose with the loss {name}, .*\nhint: type "
        ):
            modified.build(model, right_dataset(shape))
        return
    value, norm = step(modified.build(model, right_dataset(shape)), batch_of(model, shape))
    assert torch.isfinite(torch.tensor([value, norm])).all()
    assert norm > 1e-6
    assert moved(tiny, model)


@pytest.mark.parametrize(
    ("cached", "plain", "shape"),
    [
        (("cached_mnrl", {"mini_batch_size": 5}), ("mnrl", {}), "triplet"),
        (("cached_mnrl", {"mini_batch_num_tokens": 40}), ("mnrl", {}), "triplet"),
        (("cached_gist", {"mini_batch_size": 5}), ("gist", {}), "triplet"),
        (("cached_gist", {"mini_batch_size": 5}), ("gist", {}), "positive_pair"),
        (("mega_batch", {"mini_batch_size": 5}), ("mega_batch", {"use_mini_batched_version": False}), "positive_pair"),
    ],
)
def test_a_cached_loss_equals_its_plain_twin(cached, plain, shape, tiny, guides):
    import torch

    values, gradients = [], []
    for name, changes in (cached, plain):
        model = copy.deepcopy(tiny).eval()  # without dropout
        loss = spec(name, guides, **changes).build(model, right_dataset(shape))
        value = value_of(loss, batch_of(model, shape))
        value.backward()
        values.append(value.item())
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    assert torch.linalg.norm(gradients[0] - gradients[1]) < 1e-4 * torch.linalg.norm(gradients[1])


def test_simcse_and_its_supervised_form_have_the_temperature_of_the_paper(tiny, guides):
    for name, shape in (("simcse", "twin_text"), ("simcse_sup", "triplet")):
        assert spec(name, guides).build(tiny, right_dataset(shape)).temperature == pytest.approx(0.05)


@pytest.mark.parametrize("name", ["gist", "cached_gist"])
@pytest.mark.parametrize("guide", ["same", "other"])
def test_a_guide_is_never_trained_and_is_no_part_of_what_a_checkpoint_keeps(name, guide, tiny, guides):
    model = copy.deepcopy(tiny).train()
    loss = spec(name, guides, guide=str(guides / guide)).build(model, right_dataset("triplet"))
    before = copy.deepcopy(loss.guide)
    step(loss, batch_of(model, "triplet"))
    assert loss.must_retokenize == (guide == "other")
    assert not moved(before, loss.guide)
    assert not loss.guide.training
    assert not any(parameter.requires_grad for parameter in loss.guide.parameters())


def test_the_rows_of_the_shapes_are_distinguished_by_a_guide(tiny, guides):
    """A margin that no negative survives leaves the positive alone: a loss of zero."""
    alone = spec("gist", guides, margin=3.0).build(copy.deepcopy(tiny), right_dataset("triplet"))
    assert value_of(alone, batch_of(tiny, "triplet")).item() == pytest.approx(0.0)
