"""Score histograms: the right pairs in the right colour, both models on the same axes."""

import numpy
import pytest

from embexp.reports.pictures.canvas import MODELS
from embexp.reports.pictures.similarities import _overlap, draw_binary_histogram, draw_scored_histogram


def both(base, trained):
    return dict(zip(MODELS, (base, trained), strict=True))


GOLD = numpy.array([0.0, 0.2, 0.5, 0.8, 1.0])


def texts_of(legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def test_scored_pairs_are_grouped_by_gold_score_and_the_overlap_is_told(drawn):
    figure = drawn(draw_scored_histogram, "nli/mnrl on stsb", GOLD, both(numpy.full(5, 0.4), GOLD**2), "cosine")
    above, below = figure.axes
    assert above.get_title("left") == "untouched: low and high overlap 100%"
    assert below.get_title("left") == "trained: low and high overlap 0%"
    assert texts_of(figure.legends[0]) == ["low gold score (2)", "middle (1)", "high (2)"]
    assert below.get_xlabel() == "cosine similarity"
    assert figure.get_suptitle() == "Similarity by gold score"
    assert figure.get_supxlabel() == "nli/mnrl on stsb"


def test_both_models_share_axes_that_hold_all_their_values(drawn):
    figure = drawn(draw_scored_histogram, "", GOLD, both(numpy.full(5, -3.0), GOLD * 7), "dot")
    above, below = figure.axes
    assert above.get_xlim() == below.get_xlim()
    assert above.get_ylim() == below.get_ylim()
    assert above.get_xlim()[0] <= -3
    assert above.get_xlim()[1] >= 7


def test_every_group_adds_up_to_one_so_that_small_ones_are_seen(drawn):
    gold = numpy.array([1] * 2 + [0] * 50)
    figure = drawn(draw_binary_histogram, "", gold, both(gold * 0.9, gold * 0.9), "cosine", (1.0, 1.0), (0.5, 0.5))
    heights = [sum(bar.get_height() for bar in bars) for bars in figure.axes[0].containers]
    assert heights == pytest.approx([1.0, 1.0])


def test_binary_pairs_have_auc_and_a_line_at_each_models_threshold(drawn):
    gold, base, trained = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], [0.9, 0.2, 0.8, 0.1]
    figure = drawn(draw_binary_histogram, "", gold, both(base, trained), "cosine", (0.75, 1.0), (0.2, 0.5))
    assert [axis.get_title("left") for axis in figure.axes] == [
        "untouched: AUC 0.750, best threshold 0.200",
        "trained: AUC 1.000, best threshold 0.500",
    ]
    assert [axis.lines[0].get_xdata()[0] for axis in figure.axes] == [0.2, 0.5]
    assert texts_of(figure.legends[0]) == ["negative pairs (2)", "positive pairs (2)"]


def test_a_long_subject_is_cut(drawn):
    figure = drawn(draw_scored_histogram, "x" * 200, GOLD, both(GOLD, GOLD), "cosine")
    assert figure.get_supxlabel() == "x" * 79 + "…"


def test_a_model_that_gives_every_pair_the_same_score_can_be_drawn(drawn):
    same = numpy.full(5, 0.5)
    assert drawn(draw_scored_histogram, "", GOLD, both(same, same), "cosine").axes[0].get_title("left").endswith("100%")


def test_values_that_are_no_numbers_are_left_out(drawn):
    gold, some = numpy.ones(4), numpy.array([0.5, numpy.nan, numpy.inf, 0.6])
    axis = drawn(draw_scored_histogram, "", gold, both(some, some), "cosine").axes[0]
    assert sum(bar.get_height() for bar in axis.containers[2]) == pytest.approx(1)
    nothing = numpy.full(5, numpy.nan)
    assert (
        drawn(draw_scored_histogram, "", GOLD, both(nothing, GOLD), "cosine")
        .axes[0]
        .get_title("left")
        .endswith("unknown")
    )
    drawn(draw_scored_histogram, "", GOLD, both(nothing, nothing), "cosine")


def test_the_overlap_is_the_share_of_area_that_two_histograms_have_in_common():
    edges = numpy.array([0, 1, 2, 3])
    assert _overlap(numpy.array([0.5, 0.5, 1.5, 1.5]), numpy.array([1.5, 2.5]), edges) == pytest.approx(0.5)
    assert _overlap(numpy.array([0.5]), numpy.array([0.1, 0.2, 0.3]), edges) == 1
    assert numpy.isnan(_overlap(numpy.array([]), numpy.array([0.5]), edges))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_each_of_several_models_has_a_panel_on_the_same_axes(drawn, number):
    models = {f"模型{place}": GOLD * place for place in range(number)}
    figure = drawn(draw_scored_histogram, "", GOLD, models, "cosine")
    assert [axis.get_title("left").partition(":")[0] for axis in figure.axes] == [*models]
    assert len({axis.get_xlim() for axis in figure.axes}) == 1
    assert figure.axes[-1].get_xlabel() == "cosine similarity"
