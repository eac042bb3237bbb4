"""Encoding for evaluation: the right vector for each text, and no text encoded twice."""

import copy

import numpy
import pytest

from embexp.models.encoding import CHUNK, ModelEncoder
from embexp.models.scratch import ScratchModel

TEXTS = ["a", "a long text about the market", "bank", "a", "the market rose", "bank", "market"]


class CountingModel:
    """Remembers which texts it was asked to encode."""

    def __init__(self, model) -> None:
        self.model = model
        self.texts: list[str] = []

    def encode(self, texts, **options):
        self.texts += texts
        return self.model.encode(texts, **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ScratchModel(2, 16, 2, vocabulary_size=100, max_seq_length=16).load(
        lambda: TEXTS, tmp_path_factory.mktemp("tiny")
    )


def test_vectors_stand_in_the_order_of_the_texts_and_equal_those_of_the_model(model):
    vectors = ModelEncoder(model, batch_size=2).encode(TEXTS)
    assert vectors.shape == (7, 16)
    assert vectors == pytest.approx(numpy.stack([model.encode(text) for text in TEXTS]), abs=1e-6)


def test_each_distinct_text_is_encoded_once_per_call(model):
    counting = CountingModel(model)
    vectors = ModelEncoder(counting).encode(TEXTS)
    assert sorted(counting.texts) == sorted(set(TEXTS))
    assert numpy.array_equal(vectors[0], vectors[3])
    assert numpy.array_equal(vectors[2], vectors[5])


def test_a_prompt_goes_before_every_text_and_the_model_s_own_where_none_is_given(model):
    prompted = copy.deepcopy(model)
    prompted.prompts, prompted.default_prompt_name = {"market": "market "}, "market"
    bare = ModelEncoder(model).encode(TEXTS)
    own = ModelEncoder(model).encode([f"market {text}" for text in TEXTS])
    assert ModelEncoder(model).encode(TEXTS, "market ") == pytest.approx(own, abs=1e-6)
    assert ModelEncoder(prompted).encode(TEXTS) == pytest.approx(own, abs=1e-6)
    assert ModelEncoder(prompted).encode(TEXTS, "") == pytest.approx(bare, abs=1e-6)
    assert numpy.abs(own - bare).max() > 1e-3


def test_more_texts_than_one_chunk_keep_their_order(model):
    texts = [f"market {number}" for number in range(CHUNK + 5)]
    vectors = ModelEncoder(model).encode(texts)
    assert len(vectors) == CHUNK + 5
    for place in (0, CHUNK - 1, CHUNK, CHUNK + 4):
        assert vectors[place] == pytest.approx(model.encode(texts[place]), abs=1e-6)


def test_vectors_are_float32_whatever_the_precision_of_the_model(model):
    assert model.encode(TEXTS).dtype == numpy.float32
    double = copy.deepcopy(model).double()
    assert double.encode(TEXTS).dtype == numpy.float64
    assert ModelEncoder(double).encode(TEXTS).dtype == numpy.float32


def test_a_progress_bar_is_shown_only_when_it_has_a_name(model, capsys):
    ModelEncoder(model).encode(TEXTS)
    assert capsys.readouterr().err == ""
    ModelEncoder(model, progress="scoring").encode(TEXTS)
    assert "scoring" in capsys.readouterr().err
