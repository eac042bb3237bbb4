"""Similarity matrices: the right number in the right cell, the same colours for both models."""

import numpy
import pytest

from embexp.reports.pictures.similarity_matrix import draw_similarity_matrix

TEXTS = ["A man is playing", "A cat sleeps", "Shares fell by $5 or $6"]
BASE = numpy.array([[1.0, 0.91, 0.8], [0.91, 1.0, 0.85], [0.8, 0.85, 1.0]])
TRAINED = numpy.array([[1.0, 0.4, -0.12], [0.4, 1.0, 0.05], [-0.12, 0.05, 1.0]])


def cells(axis) -> dict[tuple[int, int], str]:
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axis.texts}


def test_values_stand_in_their_cells_without_the_diagonal(drawn):
    base, trained, texts, bar = drawn(draw_similarity_matrix, "stsb", TEXTS, BASE, TRAINED, "cosine").axes
    assert (base.get_title("left"), trained.get_title("left")) == ("untouched", "trained")
    assert cells(trained) == {
        (0, 1): ".40",
        (1, 0): ".40",
        (0, 2): "-.12",
        (2, 0): "-.12",
        (1, 2): ".05",
        (2, 1): ".05",
    }
    assert [text.get_text() for text in texts.texts] == [f"{place}  {text}" for place, text in enumerate(TEXTS, 1)]
    assert bar.get_ylabel() == "cosine"


def test_both_models_have_the_same_colours_for_the_same_values(drawn):
    base, trained = drawn(draw_similarity_matrix, "", TEXTS, BASE, TRAINED, "cosine").axes[:2]
    assert base.images[0].get_clim() == trained.images[0].get_clim() == (-0.12, 0.91)


def test_dark_cells_have_white_numbers_and_light_ones_black_numbers(drawn):
    base, trained = drawn(draw_similarity_matrix, "", TEXTS, BASE, TRAINED, "cosine").axes[:2]
    assert {text.get_color() for text in base.texts} == {"black"}
    assert {text.get_text() for text in trained.texts if text.get_color() == "white"} == {"-.12", ".05"}


@pytest.mark.parametrize(("number", "values"), [(2, 2), (8, 56), (9, 0), (12, 0)])
def test_many_sentences_have_colours_only(drawn, number, values):
    matrix = numpy.random.default_rng(0).random((number, number))
    base, _, texts, _ = drawn(draw_similarity_matrix, "", ["x" * 200] * number, matrix, matrix, "cosine").axes
    assert len(base.texts) == values
    assert len(texts.texts) == number
    assert all(text.get_text().endswith("x…") for text in texts.texts)


def test_similarities_that_are_all_equal_can_be_drawn(drawn):
    figure = drawn(draw_similarity_matrix, "", TEXTS, numpy.ones((3, 3)), numpy.ones((3, 3)), "cosine")
    assert [(axis.images[0].get_array() == 1).all() for axis in figure.axes[:2]] == [True, True]
