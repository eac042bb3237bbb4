"""Learning curves: losses and dev scores at their steps, the untouched model's score, the step that is kept."""

import numpy
import pytest

from embexp.reports.pictures.learning_curves import _running_mean, draw_learning_curves

LOSSES = [(10, 2.0), (20, 1.0), (30, 0.5)]
DEV = [(15, 0.7), (30, 0.8)]


def curve(line) -> list[tuple[float, float]]:
    return [*zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_both_curves_are_drawn_against_steps(drawn):
    figure = drawn(draw_learning_curves, "nli/mnrl", LOSSES, DEV, "stsb/spearman_cosine", 0.75, 30)
    left, right = figure.axes
    assert curve(left.lines[0]) == LOSSES
    level, line, star = right.lines
    assert curve(line) == DEV
    assert set(level.get_ydata()) == {0.75}
    assert level.get_linestyle() == "--"
    assert curve(star) == [(30, 0.8)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["untouched 0.750", "kept: step 30, 0.800"]
    assert left.get_xlim() == right.get_xlim()
    assert (left.get_title("left"), right.get_title("left")) == ("training loss", "dev stsb\nspearman_cosine")


def test_without_an_untouched_model_or_a_best_step_there_is_neither_line_nor_star(drawn):
    right = drawn(draw_learning_curves, "", LOSSES, DEV, "ndcg", None, None).axes[1]
    assert [curve(line) for line in right.lines] == [DEV]


def test_a_best_step_that_was_not_measured_has_no_star(drawn):
    right = drawn(draw_learning_curves, "", LOSSES, DEV, "ndcg", None, 31).axes[1]
    assert len(right.lines) == 1


def test_a_score_before_the_first_step_can_be_drawn(drawn):
    right = drawn(draw_learning_curves, "", [], [(0, 0.5)], "ndcg", 0.5, 0).axes[1]
    assert [curve(line) for line in right.lines[1:]] == [[(0, 0.5)], [(0, 0.5)]]


def test_nothing_logged_is_said(drawn):
    left, right = drawn(draw_learning_curves, "", [], [], "ndcg", None, None).axes
    assert left.texts[0].get_text() == "no loss was logged"
    assert right.texts[0].get_text() == "dev was not measured"


def test_a_loss_that_is_no_number_is_left_out(drawn):
    left = drawn(
        draw_learning_curves, "", [*LOSSES, (40, float("nan")), (50, float("inf"))], DEV, "ndcg", 0.7, 30
    ).axes[0]
    assert curve(left.lines[0]) == LOSSES


def test_a_long_curve_has_a_running_mean_over_it(drawn):
    losses = [(step, 1.0 + step % 2) for step in range(200)]
    raw, mean = drawn(draw_learning_curves, "", losses, DEV, "ndcg", 0.7, 30).axes[0].lines
    assert curve(raw) == losses
    assert numpy.ptp(mean.get_ydata()[10:-10]) < 0.1


def test_the_running_mean_is_of_as_many_as_there_are():
    assert _running_mean(numpy.array([1.0, 2.0, 6.0, 1.0]), 1) == pytest.approx([1.5, 3, 3, 3.5])
    assert _running_mean(numpy.array([1.0, 2.0, 6.0]), 9) == pytest.approx([3, 3, 3])
