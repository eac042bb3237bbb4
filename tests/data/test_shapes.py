"""Shapes: which columns a loss reads, in which order, and what an unknown name is answered."""

import pytest

from embexp.data.shapes import SHAPES, shape_named, text_columns, training_columns
from embexp.errors import ShapeError


@pytest.mark.parametrize(
    ("shape", "columns", "expected"),
    [
        ("scored_pair", ["score", "sentence2", "sentence1"], ["sentence1", "sentence2"]),
        ("positive_pair", ["positive", "anchor"], ["anchor", "positive"]),
        ("ranked", ["negatives", "positives", "query"], ["query", "positives", "negatives"]),
        ("triplet", ["negative_1", "positive", "anchor"], ["anchor", "positive", "negative_1"]),
    ],
)
def test_texts_come_in_the_order_of_the_shape(shape, columns, expected):
    assert text_columns(SHAPES[shape], columns) == expected


def test_negatives_are_ordered_by_their_number_and_not_as_text():
    columns = ["negative_10", "negative_2", "anchor", "positive", "negative_1"]
    expected = ["anchor", "positive", "negative_1", "negative_2", "negative_10"]
    assert text_columns(SHAPES["triplet"], columns) == expected


@pytest.mark.parametrize("stray", ["negative", "negative_0", "negative_01", "negative_one", "negative_1_score"])
def test_only_numbered_columns_are_negatives(stray):
    assert text_columns(SHAPES["triplet"], ["anchor", "positive", stray]) == ["anchor", "positive"]


def test_a_shape_without_negatives_ignores_their_columns():
    assert text_columns(SHAPES["positive_pair"], ["anchor", "positive", "negative_1"]) == ["anchor", "positive"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("scored_pair", ["sentence1", "sentence2", "score"]),
        ("class_pair", ["sentence1", "sentence2", "label"]),
        ("labelled_text", ["text", "label"]),
        ("scored_triplet", ["anchor", "positive", "negative_1", "label"]),
        ("triplet", ["anchor", "positive", "negative_1"]),
    ],
)
def test_the_label_comes_last(shape, expected):
    assert training_columns(SHAPES[shape], ["label", "score", "negative_1"]) == expected


def test_each_shape_is_found_by_its_own_name():
    assert len(SHAPES) == 12
    assert all(shape_named(name).name == name for name in SHAPES)


def test_an_unknown_shape_names_the_known_ones_and_the_nearest():
    with pytest.raises(ShapeError) as error:
        shape_named("tripplet")
    assert str(error.value) == (
        "'tripplet' is not a shape. Expected one of: scored_pair, binary_pair, class_pair, positive_pair, triplet, "
        "labelled_text, ranked, scored_triplet, embedded_text, text, twin_text, noised_text. "
        "Did you mean 'triplet' or 'scored_triplet'?"
    )


def test_a_name_near_to_none_gets_no_hint():
    with pytest.raises(ShapeError, match=r"noised_text\.$"):
        shape_named("xyz")
