"""Faults of a server that are found on the model alone: no server runs here."""

import numpy
import pytest
from omegaconf import OmegaConf
from small_networks import TEXTS, network_in

from embexp.core.run_folder import CONFIG
from embexp.experiment.served_faults import Case, faults_of_direction
from embexp.experiment.served_vectors import _long_texts
from embexp.models.adapters import LoraAdapter, save_model
from embexp.models.pretrained import PretrainedModel
from embexp.models.servings import AS_TRAINED, Serving, num_tokens, serve

LONGER = [f"{text} {number}" for number in range(3) for text in TEXTS]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network that reads as many tokens as it is given."""
    sizes = {"max_position_embeddings": 20000, "hidden_size": 8, "intermediate_size": 8, "head_dim": 4}
    return network_in(tmp_path_factory.mktemp("network") / "net", "qwen3", **sizes)


@pytest.mark.parametrize("texts", [LONGER, TEXTS[:1], ["a" * 5000, "b c"]])
def test_long_texts_are_made_up_to_twice_what_the_model_reads(texts, network, tmp_path):
    model = PretrainedModel(path=str(network), pooling="lasttoken", max_seq_length=9000).load(list, tmp_path)
    tokens = [num_tokens(model, text) for text in _long_texts(model, texts)]
    assert tokens == sorted({*tokens})
    assert 18000 <= tokens[-1] < 27100
    model.max_seq_length = 100
    assert all(num_tokens(model, text) >= 48 for text in _long_texts(model, texts))


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
def test_a_server_that_cuts_texts_at_thousands_of_tokens_is_named(pooling, network, tmp_path):
    arguments = {"pooling": pooling, "max_seq_length": 5000, "unlike_training": "warn"}
    model = PretrainedModel(path=str(network), **arguments).load(list, tmp_path)
    texts = [text for text in _long_texts(model, LONGER) if num_tokens(model, text) > 4000]
    assert len(texts) == 2
    served = numpy.concatenate([serve(model, AS_TRAINED, LONGER), serve(model, Serving(max_tokens=4096), texts)])
    (fault,) = faults_of_direction(Case(model, LONGER, texts, served), tmp_path)
    assert fault.cause == "truncation"
    assert fault.found == "it reads 4096 tokens of a text; the trained model reads 5000 tokens of a text"


def test_a_run_that_names_code_of_somebody_else_runs_none_of_it(network, tmp_path):
    model = PretrainedModel(path=str(network), pooling="lasttoken").load(list, tmp_path)
    node = {"_target_": "embexp.models.pretrained.PretrainedModel", "path": str(network),
            "rebuild": {"_target_": "os.mkdir", "path": str(tmp_path / "made")}}  # fmt: skip
    (tmp_path / CONFIG).write_text(OmegaConf.to_yaml({"model": node}))
    served = numpy.random.default_rng(1).normal(size=serve(model, AS_TRAINED, LONGER).shape).astype("float32")
    assert faults_of_direction(Case(model, LONGER, [], served), tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("served_as", ["base", "trained"])
def test_a_base_without_its_adapter_is_named(served_as, tmp_path):
    import torch

    pytest.importorskip("peft")
    path = network_in(tmp_path / "net", "qwen3")
    adapter = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear", "exclude_modules": None,
               "bias": "none", "use_rslora": False, "use_dora": False, "merge": False}  # fmt: skip
    base = PretrainedModel(path=str(path), pooling="lasttoken").load(list, tmp_path)
    model = PretrainedModel(path=str(path), pooling="lasttoken", adapter=LoraAdapter(**adapter)).load(list, tmp_path)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_B" in name:
                weight.normal_(std=0.3)
    save_model(model, tmp_path / "saved")
    node = {"_target_": "embexp.models.pretrained.PretrainedModel", "path": str(path), "pooling": "lasttoken",
            "adapter": {"_target_": "embexp.models.adapters.LoraAdapter", **adapter}}  # fmt: skip
    (tmp_path / CONFIG).write_text(OmegaConf.to_yaml({"model": node}))
    served = serve(base if served_as == "base" else model, AS_TRAINED, LONGER)
    faults = faults_of_direction(Case(model, LONGER, [], served), tmp_path)
    assert [fault.cause for fault in faults] == (["adapter"] if served_as == "base" else [])
