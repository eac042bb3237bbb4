"""Static models: one vector per token, averaged."""

import numpy
import pytest

from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import ScratchModel
from embexp.models.stack import StaticModel

TEXTS = ["the market rose", "the market fell fell", "rose"]


@pytest.fixture
def source(tmp_path) -> PretrainedModel:
    """A small transformer on disk."""
    model = ScratchModel(1, 8, 2, vocabulary_size=100, max_seq_length=16).load(lambda: TEXTS, tmp_path)
    model.save_pretrained(str(tmp_path / "saved"))
    return PretrainedModel(path=str(tmp_path / "saved"))


def test_an_embedding_is_the_mean_of_the_vectors_of_its_tokens_without_special_tokens(source, tmp_path):
    transformer = source.load(list, tmp_path)
    vectors = transformer[0].auto_model.get_input_embeddings().weight.detach().numpy()
    tokens = [transformer.tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    assert [len(row) for row in tokens] == [3, 4, 1]
    expected = numpy.stack([vectors[row].mean(axis=0) for row in tokens])
    embedded = StaticModel(source).load(list, tmp_path).encode(TEXTS)
    assert embedded == pytest.approx(expected, abs=1e-7)


def test_word_order_makes_no_difference(source, tmp_path):
    model = StaticModel(source).load(list, tmp_path)
    assert model.encode("rose market the") == pytest.approx(model.encode("the market rose"), abs=1e-7)


def test_training_it_leaves_the_source_alone(source, tmp_path):
    transformer = source.load(list, tmp_path)
    before = transformer[0].auto_model.get_input_embeddings().weight.detach().clone()
    model = StaticModel(source).load(list, tmp_path)
    model[0].embedding.weight.data.zero_()
    assert (source.load(list, tmp_path)[0].auto_model.get_input_embeddings().weight == before).all()


def test_nothing_is_said_of_how_its_source_would_compute(source, tmp_path, caplog):
    caplog.set_level("INFO")
    StaticModel(source).load(list, tmp_path)
    assert "computes" not in caplog.text
    source.load(list, tmp_path)
    assert "computes" in caplog.text


def test_it_lies_where_its_source_lies(source):
    assert StaticModel(source).locate() == source.locate()
