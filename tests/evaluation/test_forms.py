"""Embeddings at fewer dimensions and in fewer bits."""

import numpy
import pytest

from embexp.errors import ConfigError
from embexp.evaluation.example_evaluator import _combine_forms, _Form

VECTORS = {"a": numpy.array([[0.5, -1.0, 2.0], [1.5, 0.0, -2.0]]), "b": numpy.array([[-0.5, 3.0, 0.0]])}


def test_vectors_are_cut_to_their_first_numbers():
    cut = _Form(2).of(VECTORS)
    assert cut["a"].tolist() == [[0.5, -1.0], [1.5, 0.0]]
    assert cut["b"].tolist() == [[-0.5, 3.0]]


def test_bits_are_signs_and_their_cosine_tells_the_share_of_equal_bits():
    bits = _Form(None, "binary").of(VECTORS)
    assert bits["a"].tolist() == [[1, -1, 1], [1, -1, -1]]
    equal = 2 / 3
    assert bits["a"][0] @ bits["a"][1] / 3 == pytest.approx(1 - 2 * (1 - equal))


def test_int8_takes_its_ranges_from_all_vectors_together():
    whole = _Form(None, "int8").of(VECTORS)
    every = numpy.concatenate([whole["a"], whole["b"]])
    assert every.min(axis=0).tolist() == [-128, -128, -128]
    assert every.max(axis=0).tolist() == pytest.approx([127, 127, 127], abs=1)


def test_every_combination_is_judged_and_the_plain_one_first():
    forms = _combine_forms("sts", [64, 8], ["binary"])
    assert [form.suffix for form in forms] == ["", "_dim64", "_dim8", "_binary", "_dim64_binary", "_dim8_binary"]
    assert [form.suffix for form in _combine_forms("sts", None, None)] == [""]


@pytest.mark.parametrize(
    ("dimensions", "precisions", "told"),
    [
        ([0], ["int4"], "dimensions=0, precisions=int4"),
        (["a", True], None, "dimensions=a, dimensions=True"),
        (0, "int4", "dimensions=0, precisions=int4"),
    ],
)
def test_what_is_no_form_is_refused(dimensions, precisions, told):
    with pytest.raises(ConfigError, match=rf"evaluator\.sts has {told}\. Expected"):
        _combine_forms("sts", dimensions, precisions)


def test_a_single_value_stands_for_a_list_of_one():
    assert [form.suffix for form in _combine_forms("sts", 16, "int8")] == ["", "_dim16", "_int8", "_dim16_int8"]


def test_more_dimensions_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"^dimensions=4: the model's embeddings have 3\."):
        _Form(4).of(VECTORS)
