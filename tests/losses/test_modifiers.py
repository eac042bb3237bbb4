"""Modifiers: what they wrap, what they refuse, and the widths they take when none are given."""

import pytest

from embexp.config.compose import option_of
from embexp.config.session import conf_dir
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import _composing_modifiers, spec_of
from embexp.models.scratch import ScratchModel

TEXTS = ["a red cat", "a blue dog", "a grey owl", "a green fox"]
PAIRS = dataset_of("toy", "positive_pair", {"train": {"anchor": TEXTS, "positive": [f"{text} runs" for text in TEXTS]}})
LOSSES = sorted(path.stem for path in conf_dir().glob("loss/*.yaml") if path.stem != "auto")
MODIFIERS = sorted(path.stem for path in conf_dir().glob("modifier/*.yaml"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    scratch = ScratchModel(num_layers=2, hidden_size=64, num_heads=2, vocabulary_size=60, max_seq_length=16)
    return scratch.load(lambda: PAIRS.texts("train"), tmp_path_factory.mktemp("model"))


def modifier(name: str, **changes):
    return modifier_of(name, option_of("modifier", name) | changes)


def spec(loss: str, modified: str = "none", changes: dict | None = None):
    return spec_of(loss, option_of("loss", loss), modifier(modified, **(changes or {})))


def test_no_modifier_leaves_the_loss_alone(model):
    assert modifier("none") is None
    assert type(spec("mnrl").build(model, PAIRS)).__name__ == "MultipleNegativesRankingLoss"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("matryoshka", "MatryoshkaLoss"),
        ("adaptive_layer", "AdaptiveLayerLoss"),
        ("matryoshka_2d", "Matryoshka2dLoss"),
    ],
)
def test_a_modifier_wraps_the_loss_which_still_trains_the_model(model, name, kind):
    wrapped = spec("mnrl", name).build(model, PAIRS)
    assert type(wrapped).__name__ == kind
    columns = [model.preprocess(PAIRS.splits["train"][column][:]) for column in ("anchor", "positive")]
    wrapped(columns, None).backward()
    assert sum(float(weight.grad.abs().sum()) for weight in model.parameters() if weight.grad is not None) > 0
    model.zero_grad()


def test_widths_are_halved_from_the_models_own_unless_given(model):
    assert spec("mnrl", "matryoshka").build(model, PAIRS).matryoshka_dims == (64, 32)
    given = spec("mnrl", "matryoshka", {"matryoshka_dims": [64, 8]})
    assert given.build(model, PAIRS).matryoshka_dims == (64, 8)


def test_a_width_that_the_model_does_not_have_is_refused(model):
    too_wide = spec("mnrl", "matryoshka", {"matryoshka_dims": [768]})
    with pytest.raises(
        ConfigError, match=r"modifier=matryoshka does not fit: [^\n]* embeddings have 64 numbers\.\nhint: type"
    ):
        too_wide.build(model, PAIRS)


def test_matryoshka_refuses_a_projection_that_the_data_ask_for(model):
    teacher = dataset_of("teacher", "embedded_text", {"train": {"text": TEXTS, "label": [[0.5] * 3] * 4}})
    with pytest.raises(
        ConfigError, match=r"modifier=matryoshka does not compose with the loss mse, which trains a layer of its own"
    ):
        spec("mse", "matryoshka").build(model, teacher)


def test_every_trait_that_is_refused_is_one_that_a_loss_has():
    refused = {trait for name in MODIFIERS if name != "none" for trait in modifier(name).refuses}
    entries = [entry for loss in LOSSES for entry in option_of("loss", loss).get("_traits_", ())]
    known = {trait for entry in entries for trait in ([entry] if isinstance(entry, str) else entry)}
    assert refused == {"gradient_cache", "owns_head", "owns_decoder", "owns_copy"}
    assert refused <= known


def test_modifiers_that_compose_are_found():
    assert _composing_modifiers(["gradient_cache"]) == ["matryoshka", "none"]
    assert _composing_modifiers(["owns_copy"]) == ["none", "orthogonal"]
    assert _composing_modifiers([]) == MODIFIERS


def test_a_modifier_with_arguments_names_its_callable():
    with pytest.raises(ConfigError, match="modifier=mine has matryoshka_dims and no _target_"):
        modifier_of("mine", {"matryoshka_dims": [8]})


@pytest.mark.parametrize("loss", ["cached_mnrl", "mega_batch"])
def test_what_is_refused_does_break(model, loss):
    import torch

    wrapper = modifier("adaptive_layer", _refuses_=[])
    with pytest.warns(UserWarning, match="not compatible"):
        wrapped = wrapper.wrap(spec(loss).build(model, PAIRS), model)
    columns = [model.preprocess(PAIRS.splits["train"][column][:]) for column in ("anchor", "positive")]
    with pytest.raises(KeyError, match="all_layer_embeddings"), torch.enable_grad():
        wrapped(columns, None)
