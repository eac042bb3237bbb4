"""The forward without padding: what the stock one gives, for each architecture and each loss, and no trace on disk."""

import copy
import logging
import random
from types import SimpleNamespace

import pytest
import torch
import transformers
from conftest import thinned
from shaped_rows import OTHERS, STRANGERS, TEXTS, right_dataset

from embexp.config.compose import option_of
from embexp.config.session import conf_dir
from embexp.data.shapes import text_columns
from embexp.errors import ConfigError
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import spec_of
from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import ScratchModel

SIZES = {"vocab_size": 120, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT_LIKE = SIZES | {"intermediate_size": 32, "max_position_embeddings": 80}
MODERN = BERT_LIKE | {"num_hidden_layers": 4, "local_attention": 16}
MODERN |= {f"{name}_token_id": place for place, name in enumerate(["pad", "bos", "eos", "cls", "sep"])}
NETWORKS = {
    "bert": lambda: transformers.BertModel(transformers.BertConfig(**BERT_LIKE)),
    "distilbert": lambda: transformers.DistilBertModel(
        transformers.DistilBertConfig(vocab_size=120, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
    ),
    "roberta": lambda: transformers.RobertaModel(transformers.RobertaConfig(**BERT_LIKE)),
    "xlm_roberta": lambda: transformers.XLMRobertaModel(transformers.XLMRobertaConfig(**BERT_LIKE)),
    "mpnet": lambda: transformers.MPNetModel(transformers.MPNetConfig(**BERT_LIKE)),
    "modernbert": lambda: transformers.ModernBertModel(transformers.ModernBertConfig(**MODERN)),
}
SEES_PADDING = {
    "fnet": lambda: transformers.FNetModel(transformers.FNetConfig(**SIZES, intermediate_size=32)),
    "convbert": lambda: transformers.ConvBertModel(transformers.ConvBertConfig(**BERT_LIKE, embedding_size=16)),
}
LOSSES = sorted(path.stem for path in conf_dir().glob("loss/*.yaml") if path.stem != "auto")
COMPARED = [(loss, "none") for loss in LOSSES] + [("mnrl", "matryoshka"), ("mnrl", "adaptive_layer")]


def batch(network, longest: int) -> dict[str, torch.Tensor]:
    """Token ids of rows of 3 tokens to the longest, padded on the right, and their mask."""
    torch.manual_seed(1)
    lengths = torch.randint(3, longest, (24,))
    lengths[5] = longest
    mask = (torch.arange(longest) < lengths[:, None]).long()
    ids = torch.randint(6, 120, (24, longest))
    return {"input_ids": ids.masked_fill(mask == 0, network.config.pad_token_id or 0), "attention_mask": mask}


def outcome(network, features) -> tuple[torch.Tensor, torch.Tensor]:
    """A mean over each row's tokens, and the gradient of a number that all of them make."""
    network.zero_grad()
    hidden, mask = network.forward(**features, return_dict=True).last_hidden_state, features["attention_mask"]
    means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    (means**3).sum().backward()
    return means.detach(), gradient_of(network)


def gradient_of(module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.requires_grad and p.grad is not None])


def assert_close(value, other, gradient, other_gradient) -> None:
    assert torch.allclose(value, other, atol=1e-5)
    assert (gradient - other_gradient).norm() / gradient.norm() < 1e-4


@pytest.mark.parametrize("longest", [8, 60])
@pytest.mark.parametrize("architecture", NETWORKS)
def test_an_architecture_computes_the_same_without_padding(architecture, longest):
    from embexp.models.packed import _pack

    torch.manual_seed(0)
    network = NETWORKS[architecture]().eval()
    features = batch(network, longest)
    value, gradient = outcome(network, features)
    calls = watched(network)
    _pack(network)
    packed_value, packed_gradient = outcome(network, features)
    assert_close(value, packed_value, gradient, packed_gradient)
    assert calls, "the network was not called at all"
    assert max(calls) < features["input_ids"].numel()


def watched(network) -> list[int]:
    """How many positions each call of the network's first layer computes, as they come."""
    calls = []
    first = next(module for module in network.modules() if isinstance(module, torch.nn.LayerNorm))
    first.register_forward_hook(lambda _, __, output: calls.append(output.shape[0] * output.shape[1]))
    return calls


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model without dropout, on rows of several lengths."""
    torch.manual_seed(0)
    scratch = ScratchModel(
        num_layers=2, hidden_size=64, num_heads=2, vocabulary_size=100, max_seq_length=32, forward="plain"
    )
    model = scratch.load(lambda: [*TEXTS, *OTHERS, *STRANGERS], tmp_path_factory.mktemp("tiny"))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def loss_of(model, name: str, modifier: str, shape: str, guide, together=False) -> tuple[torch.Tensor, torch.Tensor]:
    """The value of a loss on all rows of a shape, and its gradient.

    Args:
        together: all columns go through the network in one call.
    """
    from embexp.models.packed import compute_columns_together

    random.seed(3)  # adaptive_layer samples its layers by Python's generator
    torch.manual_seed(3)
    node = option_of("loss", name) | ({"guide": str(guide)} if "guide" in option_of("loss", name) else {})
    spec = spec_of(name, node, modifier_of(modifier, option_of("modifier", modifier)))
    dataset = right_dataset(shape)
    loss, rows = spec.build(model, dataset), dataset.training_rows()
    compute_columns_together(model, [loss] if together else [])
    texts = [stretched(rows[column][:]) for column in text_columns(dataset.shape, rows.column_names)]
    labels = torch.tensor(rows[dataset.shape.label][:]) if dataset.shape.label else None
    value = loss([model.preprocess(column) for column in texts], labels)
    value = sum(value.values()) if isinstance(value, dict) else value
    value.backward()
    return value.detach(), gradient_of(loss)


def stretched(texts: list[str]) -> list[str]:
    """Texts of several lengths."""
    return [" ".join([text] * (1 + place % 3)) for place, text in enumerate(texts)]


@pytest.mark.parametrize(("loss", "modifier"), thinned(COMPARED, 7))
def test_a_loss_and_its_gradient_are_the_same_without_padding(loss, modifier, tiny, tmp_path):
    from embexp.models.packed import _pack

    tiny.save_pretrained(str(tmp_path / "guide"))
    shape = option_of("loss", loss)["_accepts_"][0]
    plain, packed, together = (copy.deepcopy(tiny).train() for _ in range(3))
    _pack(packed.transformers_model)
    _pack(together.transformers_model)
    value, gradient = loss_of(plain, loss, modifier, shape, tmp_path / "guide")
    packed_value, packed_gradient = loss_of(packed, loss, modifier, shape, tmp_path / "guide")
    assert_close(value, packed_value, gradient, packed_gradient)
    packed_value, packed_gradient = loss_of(together, loss, modifier, shape, tmp_path / "guide", together=True)
    assert_close(value, packed_value, gradient, packed_gradient)
    assert not together.transformers_model.forward.outputs, "what was computed is kept beyond its batch"


@pytest.mark.parametrize(
    ("loss", "shape", "calls"),
    [("mnrl", "triplet", 1), ("cosent", "scored_pair", 1), ("cached_mnrl", "triplet", 6)],
)
def test_the_columns_of_a_batch_go_through_the_network_together(loss, shape, calls, tiny, tmp_path):
    from embexp.models.packed import _pack

    model = copy.deepcopy(tiny).train()
    seen = watched(model.transformers_model)
    _pack(model.transformers_model)
    loss_of(model, loss, "none", shape, tmp_path, together=True)
    assert len(seen) == calls


def test_a_column_that_is_asked_for_twice_has_dropout_of_its_own():
    from embexp.models.packed import _pack

    torch.manual_seed(0)
    network = NETWORKS["bert"]().train()
    _pack(network)
    columns = [batch(network, 8), batch(network, 20)]
    with network.forward.together(columns):
        first, second, again = (network(**columns[place])[0] for place in (0, 1, 0))
    assert first.shape == again.shape == (24, 8, 16)
    assert second.shape == (24, 20, 16)
    assert (first - again).abs().max() > 0.01


def test_without_gradients_a_column_is_computed_alone():
    from embexp.models.packed import _pack

    network = NETWORKS["bert"]().eval()
    _pack(network)
    columns = [batch(network, 8), batch(network, 20)]
    seen = watched(network)
    real = columns[0]["attention_mask"].bool()
    with network.forward.together(columns):
        with torch.no_grad():
            alone = network(**columns[0])[0]
        assert len(seen) == 1
        assert torch.allclose(network(**columns[0])[0][real], alone[real], atol=1e-5)
        assert network(**columns[1])[0].requires_grad
    assert len(seen) == 2


def test_a_copy_computes_with_its_own_weights(tiny):
    from embexp.models.packed import _pack

    model = copy.deepcopy(tiny).eval()
    _pack(model.transformers_model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        model.transformers_model.embeddings.word_embeddings.weight.zero_()
    assert (twin.encode(TEXTS) == copy.deepcopy(twin).encode(TEXTS)).all()
    assert abs(twin.encode(TEXTS) - model.encode(TEXTS)).max() > 0.01


def test_what_is_saved_is_a_plain_model(tiny, tmp_path):
    from sentence_transformers import SentenceTransformer

    from embexp.models.packed import _pack, _PackedForward

    model = copy.deepcopy(tiny).eval()
    _pack(model.transformers_model)
    model.save_pretrained(str(tmp_path / "saved"))
    assert "embexp" not in (tmp_path / "saved" / "config.json").read_text()
    again = SentenceTransformer(str(tmp_path / "saved"))
    assert not isinstance(again.transformers_model.forward, _PackedForward)
    assert abs(again.encode(TEXTS) - model.encode(TEXTS)).max() < 1e-6


def test_a_model_that_cannot_be_packed_says_why(tiny, caplog):
    from embexp.models.packed import _PackedForward, set_forward

    model = copy.deepcopy(tiny)
    model.transformers_model.config._attn_implementation = "eager"
    with caplog.at_level(logging.WARNING):
        set_forward(model, "packed")
    assert "model.forward=packed has no effect: its attention is eager." in caplog.text
    assert not isinstance(model.transformers_model.forward, _PackedForward)


def test_an_unknown_forward_is_refused():
    with pytest.raises(ConfigError, match=r"model\.forward=pack was given\. Expected one of: packed, plain, or null\."):
        PretrainedModel(path="x", forward="pack")


def test_a_pretrained_model_is_packed_on_a_cpu_unless_it_is_to_be_plain(tiny, tmp_path):
    from embexp.models.packed import _PackedForward

    tiny.save_pretrained(str(tmp_path / "saved"))
    for forward, is_packed in (("packed", True), ("plain", False), (None, tiny.device.type == "cpu")):
        model = PretrainedModel(path=str(tmp_path / "saved"), forward=forward).load(lambda: [], tmp_path)
        assert isinstance(model.transformers_model.forward, _PackedForward) == is_packed


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_comparison_on_a_few_rows_lets_an_architecture_pass_and_leaves_it_as_it_was(architecture):
    from embexp.models.packed import _why_packing_differs

    network = NETWORKS[architecture]().train()
    attention, state = network.config._attn_implementation, torch.get_rng_state()
    assert _why_packing_differs(network) is None
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert "forward" not in vars(network)
    assert network.config._attn_implementation == attention


@pytest.mark.parametrize("architecture", SEES_PADDING)
def test_an_architecture_that_sees_padding_is_never_packed(architecture, caplog):
    from embexp.models.packed import _PackedForward, set_forward

    torch.manual_seed(0)
    model = SimpleNamespace(transformers_model=SEES_PADDING[architecture](), device=torch.device("cpu"))
    with caplog.at_level(logging.INFO):
        set_forward(model, None)
    assert "what it computes depends on padding" in caplog.text
    assert not isinstance(model.transformers_model.forward, _PackedForward)


def test_an_architecture_that_wants_more_than_tokens_is_left_as_it_is(caplog):
    from embexp.models.packed import _PackedForward, set_forward

    network = transformers.XmodModel(transformers.XmodConfig(**BERT_LIKE)).train()
    with caplog.at_level(logging.INFO):
        set_forward(SimpleNamespace(transformers_model=network, device=torch.device("cpu")), None)
    assert "it does not compute on tokens and their mask alone (Input language unknown" in caplog.text
    assert not isinstance(network.forward, _PackedForward)
    assert network.training


def test_a_network_with_code_of_its_own_is_packed_on_request_only(caplog):
    from embexp.models.packed import _PackedForward, set_forward

    class OwnModel(transformers.BertModel):
        pass

    model = SimpleNamespace(
        transformers_model=OwnModel(transformers.BertConfig(**BERT_LIKE)), device=torch.device("cpu")
    )
    with caplog.at_level(logging.INFO):
        set_forward(model, None)
    assert "its code does not come from transformers" in caplog.text
    assert not isinstance(model.transformers_model.forward, _PackedForward)
    set_forward(model, "packed")
    assert isinstance(model.transformers_model.forward, _PackedForward)


def test_a_batch_of_which_all_layers_are_requested_is_padded_and_the_run_says_so(caplog):
    from embexp.models.packed import _pack

    network = NETWORKS["bert"]().eval()
    features = batch(network, 20)
    stock = network(**features, output_hidden_states=True).hidden_states
    _pack(network)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            layers = network(**features, output_hidden_states=True).hidden_states
    assert all(torch.equal(layer, other) for layer, other in zip(layers, stock, strict=True))
    assert caplog.text.count("it computes on padded batches") == 1
