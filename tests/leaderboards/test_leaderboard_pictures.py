"""Pictures of leaderboards: every cell in its place, in its colour, with a name that can be read."""

import matplotlib.colors
import pytest
from recorded_runs import recorded

from embexp.leaderboards.cells import find_cost
from embexp.leaderboards.make import make_leaderboard
from embexp.reports.pictures.canvas import BLUE, VERMILION
from embexp.reports.pictures.leaderboards import draw_heat_map, draw_interval_plot, draw_pareto_front


@pytest.fixture
def leaderboard():
    """Three losses, one of which was not tried on the second model."""
    return make_leaderboard(
        [
            recorded(1, 0.05, loss="对比损失"),
            recorded(2, -0.1, loss="cosine"),
            recorded(3, 0.005, loss="cosent"),
            recorded(4, 0.1, loss="对比损失", model="static", base=0.1),
            recorded(5, 0.02, loss="cosent", model="static", base=0.1),
        ]
    )


def test_the_heat_map_has_each_number_in_its_cell_with_what_it_means(leaderboard, drawn):
    axis = drawn(draw_heat_map, leaderboard).axes[0]
    rows, columns = (
        [label.get_text() for label in labels] for labels in (axis.get_yticklabels(), axis.get_xticklabels())
    )
    assert (rows, columns) == (["对比损失", "cosent", "cosine"], ["minilm", "static"])
    written = {
        (rows[round(text.get_position()[1])], columns[round(text.get_position()[0])]): text for text in axis.texts
    }
    assert {place: text.get_text() for place, text in written.items()} == {
        ("对比损失", "minilm"): "+.050*",
        ("对比损失", "static"): "+.100",
        ("cosent", "minilm"): "(+.005)",
        ("cosent", "static"): "+.020",
        ("cosine", "minilm"): "-.100",
    }
    assert axis.images[0].get_clim() == pytest.approx((-0.1, 0.1))
    assert [written[place].get_color() for place in (("cosine", "minilm"), ("cosent", "minilm"))] == ["white", "black"]


def test_a_heat_map_of_many_models_has_colours_only(drawn):
    runs = [recorded(number, 0.01 * number, model=f"model {number}") for number in range(1, 10)]
    figure = drawn(draw_heat_map, make_leaderboard(runs))
    assert len(figure.axes[0].texts) == 0
    assert len(figure.axes[0].get_xticklabels()) == 9


def test_intervals_stand_in_order_in_the_colour_of_their_verdict(leaderboard, drawn):
    axis = drawn(draw_interval_plot, leaderboard).axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["对比损失 · static", "对比损失 · minilm", "cosent · static", "cosent · minilm", "cosine · minilm"]
    points = {line.get_label(): line for line in axis.lines if line.get_marker() == "o"}
    assert set(points) == {"better", "undecided", "worse"}
    assert points["worse"].get_xdata() == pytest.approx([-0.1])
    assert [points[verdict].get_color() for verdict in ("better", "worse")] == [BLUE, VERMILION]
    segments = [segment for lines in axis.collections for segment in lines.get_segments()]
    assert len(segments) == 5
    assert sorted(segment[0][0] for segment in segments)[0] == pytest.approx(-0.1131, abs=1e-4)  # one of five


def test_of_very_many_cells_the_first_are_drawn_and_told(drawn):
    leaderboard = make_leaderboard([recorded(number, 0.1 / number, loss=f"loss {number}") for number in range(1, 61)])
    figure = drawn(draw_interval_plot, leaderboard)
    assert len(figure.axes[0].get_yticklabels()) == 40
    assert figure._supxlabel.get_text().endswith("the first 40 of 60")
    assert len(drawn(draw_heat_map, leaderboard).axes[0].get_yticklabels()) == 40


def test_the_front_is_a_line_with_names_and_all_else_is_pale(leaderboard, drawn):
    axis = drawn(draw_pareto_front, leaderboard, find_cost("encode_texts_per_second")).axes[0]
    names = {text.get_text() for text in axis.texts}
    on_front = [cell for cell in leaderboard.trained if cell.on_front]
    assert names == {cell.row[0] for cell in on_front}
    pale = [line for line in axis.lines if line.get_alpha() == 0.45]
    assert len(pale) == len(leaderboard.trained) - len(on_front)
    assert axis.get_xlabel() == "encoded texts/s (more is better)"


def test_models_differ_in_colour_or_marker_and_costs_far_apart_have_a_logarithmic_axis(drawn):
    runs = [recorded(10**number, 0.01 * number, model=f"model {number}") for number in range(5)]
    runs += [recorded(7 + number, 0.01, model=f"other {number}") for number in range(5)]
    axis = drawn(draw_pareto_front, make_leaderboard(runs, cost="seconds"), find_cost("seconds")).axes[0]
    assert axis.get_xscale() == "log"
    named = [line for line in axis.lines if not line.get_label().startswith("_")]
    assert len({(matplotlib.colors.to_hex(line.get_color()), line.get_marker()) for line in named}) == len(named) == 8


def test_each_set_of_examples_has_a_panel(drawn):
    runs = [recorded(number, 0.01 * number, dataset=f"data {number}") for number in range(1, 5)]
    figure = drawn(draw_pareto_front, make_leaderboard(runs), find_cost("encode_texts_per_second"))
    assert len(figure.axes) == 3
