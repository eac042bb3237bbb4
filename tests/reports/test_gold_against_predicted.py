"""Gold against predicted: every pair is there, on the same axes and with the same colours for both models."""

import numpy
import pytest

from embexp.reports.pictures.similarities import draw_gold_against_predicted

FEW = numpy.linspace(0, 1, 11)
MANY = numpy.round(numpy.linspace(0, 1, 1000), 1)


def test_few_pairs_are_points_at_gold_and_prediction(drawn):
    figure = drawn(
        draw_gold_against_predicted, "stsb", FEW, {"untouched": FEW[::-1], "trained": FEW**2}, "cosine", (-1.0, 1.0)
    )
    base, trained = figure.axes
    assert base.collections[0].get_offsets().tolist() == pytest.approx(numpy.column_stack([FEW, FEW[::-1]]))
    assert trained.collections[0].get_offsets().tolist() == pytest.approx(numpy.column_stack([FEW, FEW**2]))
    assert base.get_title("left") == "untouched\nSpearman -1.000"
    assert trained.get_title("left") == "trained\nSpearman 1.000"
    assert base.get_ylabel() == "cosine similarity"
    assert trained.get_xlabel() == "gold score"


def test_many_pairs_are_hexagons_that_hold_them_all_in_one_scale_of_colours(drawn):
    figure = drawn(
        draw_gold_against_predicted,
        "stsb",
        MANY,
        {"untouched": numpy.full(1000, 0.3), "trained": MANY},
        "cosine",
        (0.0, 1.0),
    )
    base, trained, bar = figure.axes
    assert base.collections[0].get_array().sum() == trained.collections[0].get_array().sum() == 1000
    assert base.collections[0].get_clim() == trained.collections[0].get_clim()
    assert bar.get_xlabel() == "pairs"


@pytest.mark.parametrize("gold", [FEW, MANY])
def test_both_models_share_axes_that_hold_all_their_values(drawn, gold):
    base, trained = drawn(
        draw_gold_against_predicted, "", gold, {"untouched": gold - 3, "trained": gold * 7}, "dot", (1.0, 1.0)
    ).axes[:2]
    assert base.get_xlim() == trained.get_xlim()
    assert base.get_ylim() == trained.get_ylim()
    assert base.get_ylim()[0] < -3
    assert base.get_ylim()[1] > 7


@pytest.mark.parametrize("number", [5, 1000])
def test_predictions_that_are_all_equal_or_no_numbers_can_be_drawn(drawn, number):
    gold, same, none = numpy.linspace(0, 1, number), numpy.full(number, 0.5), numpy.full(number, numpy.nan)
    for base in (same, none):
        figure = drawn(
            draw_gold_against_predicted,
            "",
            gold,
            {"untouched": base, "trained": same},
            "cosine",
            (float("nan"), float("nan")),
        )
        assert [axis.get_title(loc="left").partition("\n")[2] for axis in figure.axes[:2]] == ["Spearman nan"] * 2


@pytest.mark.parametrize("number", [1, 3])
def test_two_models_stand_in_a_line_and_an_odd_one_alone(drawn, number):
    figure = drawn(draw_gold_against_predicted, "", FEW, {f"m{n}": FEW for n in range(number)}, "dot", [1.0] * number)
    assert [axis.get_title("left").partition("\n")[0] for axis in figure.axes] == [f"m{n}" for n in range(number)]
