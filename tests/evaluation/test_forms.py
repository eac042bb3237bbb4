"""Embeddings at fewer dimensions and in fewer bits."""

import numpy
import pytest

from embexp.errors import ConfigError
from embexp.evaluation.example_evaluator import _combine_forms, _Form

VECTORS = {"a": numpy.array([[0.5, -1.0, 2.0], [1.5, 0.0, -2.0]]), "b": numpy.array([[-0.5, 3.0, 0.0]])}


def test_vectors_are_cut_to_their_first_numbers():
    cut = _Form(2).apply(VECTORS)
    assert cut["a"].tolist() == [[0.5, -1.0], [1.5, 0.0]]
    assert cut["b"].tolist() == [[-0.5, 3.0]]


def test_bits_are_signs_and_their_cosine_tells_the_share_of_equal_bits():
    bits = _Form(None, "binary").apply(VECTORS)
    assert bits["a"].tolist() == [[1, -1, 1], [1, -1, -1]]
    equal = 2 / 3
    assert bits["a"][0] @ bits["a"][1] / 3 == pytest.approx(1 - 2 * (1 - equal))


def test_int8_takes_its_ranges_from_all_vectors_together():
    whole = _Form(None, "int8").apply(VECTORS)
    every = numpy.concatenate([whole["a"], whole["b"]])
    assert every.min(axis=0).tolist() == [-128, -128, -128]
    assert every.max(axis=0).tolist() == pytest.approx([127, 127, 127], abs=1)


def test_every_combination_is_evaluated_and_the_plain_one_first():
    forms = _combine_forms("sts", [64, 8], ["binary"])
    assert [form.suffix for form in forms] == ["", "_dim64", "_dim8", "_binary", "_dim64_binary", "_dim8_binary"]
    assert [form.suffix for form in _combine_forms("sts", None, None)] == [""]


@pytest.mark.parametrize(
    ("dimensions", "precisions", "wrong"),
    [
        ([0], ["int4"], {"dimensions": [0], "precisions": ["int4"]}),
        ([1], None, {"dimensions": [1]}),
        (["a", True], None, {"dimensions": ["a", True]}),
        (0, "int4", {"dimensions": [0], "precisions": ["int4"]}),
    ],
)
def test_what_is_no_form_is_refused(dimensions, precisions, wrong):
    with pytest.raises(ConfigError) as error:
        _combine_forms("sts", dimensions, precisions)
    assert {problem.key.removeprefix("evaluator.sts."): problem.given for problem in error.value.problems} == wrong


def test_a_single_value_stands_for_a_list_of_one():
    assert [form.suffix for form in _combine_forms("sts", 16, "int8")] == ["", "_dim16", "_int8", "_dim16_int8"]


def test_more_dimensions_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"dimensions=4 is more than the 3 of the model's embeddings\."):
        _Form(4).apply(VECTORS)
