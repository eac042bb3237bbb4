"""Encoding for evaluation: the right vector for each text, and no text encoded twice."""

import copy

import numpy
import pytest

from embexp.errors import ModelError
from embexp.models.encoding import ModelEncoder, check_finite
from embexp.models.scratch import ScratchModel

TEXTS = ["a", "a long text about the market", "bank", "a", "the market rose", "bank", "market"]


class CountingModel:
    """Remembers which texts it was asked to encode, and how many at once."""

    def __init__(self, model) -> None:
        self.model = model
        self.device, self.max_seq_length = model.device, model.max_seq_length
        self.texts: list[str] = []
        self.batches: list[int] = []

    def encode(self, texts, **options):
        self.texts += texts
        self.batches.append(len(texts))
        return self.model.encode(texts, **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ScratchModel(2, 16, 2, vocabulary_size=100, max_seq_length=16).load(
        lambda: TEXTS, tmp_path_factory.mktemp("tiny")
    )


def test_vectors_stand_in_the_order_of_the_texts_and_equal_those_of_the_model(model):
    vectors = ModelEncoder(model, batch_tokens=8).encode(TEXTS)
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


def test_more_texts_than_one_batch_keep_their_order(model):
    texts = [f"market {number}" for number in range(100)]
    vectors = ModelEncoder(model, batch_tokens=30).encode(texts)
    assert len(vectors) == 100
    for place in (0, 49, 50, 99):
        assert vectors[place] == pytest.approx(model.encode(texts[place]), abs=1e-6)


def test_a_batch_holds_many_short_texts_or_a_few_long_ones(model):
    counting = CountingModel(model)
    texts = [f"{number}" for number in range(40)] + [f"{number} " + "market " * 5 for number in range(40)]
    ModelEncoder(counting, batch_tokens=96).encode(texts)
    assert counting.batches[0] == 8  # of 12 tokens, about
    assert counting.batches[-1] > 20
    assert sum(counting.batches) == 80


def test_texts_longer_than_the_model_reads_count_as_long_as_it_reads(model):
    counting = CountingModel(model)
    ModelEncoder(counting, batch_tokens=64).encode([f"{number} " + "market " * 100 for number in range(8)])
    assert counting.batches == [4, 4]  # 16 tokens each


def test_vectors_are_float32_whatever_the_precision_of_the_model(model):
    assert model.encode(TEXTS).dtype == numpy.float32
    double = copy.deepcopy(model).double()
    assert double.encode(TEXTS).dtype == numpy.float64
    assert ModelEncoder(double).encode(TEXTS).dtype == numpy.float32


def test_a_progress_bar_is_shown_only_when_it_has_a_name(model, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ModelEncoder(model).encode(TEXTS)
    assert capsys.readouterr().err == ""
    ModelEncoder(model, progress="scoring").encode(TEXTS)
    assert "scoring" in capsys.readouterr().err


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
def test_a_number_that_is_none_is_an_error_that_names_the_text(value):
    vectors = numpy.ones((3, 4), dtype="float32")
    assert check_finite(vectors, TEXTS[:3]) is vectors
    vectors[1, 2] = value
    message = rf"The embedding of 'a long text about the market' holds {value}, as do those of 0 more of 3 texts"
    with pytest.raises(ModelError, match=message):
        check_finite(vectors, TEXTS[:3])


def test_a_model_whose_weights_are_no_numbers_is_an_error(model):
    broken = copy.deepcopy(model)
    broken[0].auto_model.embeddings.word_embeddings.weight.data[:] = numpy.nan
    with pytest.raises(ModelError, match="holds nan, as do those of 4 more of 5 texts"):
        ModelEncoder(broken).encode(TEXTS)
