"""What no other cell beats in both score and cost."""

import math
import random

import pytest

from embexp.leaderboards.cells import _point, find_cost, pareto_front
from embexp.reports.leaderboard_content import Estimate, LeaderboardCell


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(0.5, 1.0)], [True]),
        ([(0.5, 1.0), (0.5, 1.0)], [True, True]),
        ([(0.5, 1.0), (0.5, 2.0), (0.6, 2.0)], [False, False, True]),
        ([(0.9, 1.0), (0.5, 5.0), (0.7, 3.0), (0.6, 2.0), None], [True, True, True, False, False]),
    ],
)
def test_the_front_holds_what_no_other_point_beats(points, front):
    assert pareto_front(points) == front


def test_a_front_of_many_points_is_what_comparing_all_pairs_gives():
    draw = random.Random(3)
    points = [(draw.randrange(9) / 10, draw.choice((-1, 1)) * draw.randrange(90, 130) / 10) for _ in range(300)]

    def beats(first, second):
        if first[0] == second[0]:
            return first[1] > second[1]
        return first[0] > second[0] and first[1] >= second[1] - 0.1 * abs(second[1])

    for some in (points, points[:7], points[:40]):
        expected = [not any(beats(other, point) for other in some) for point in some]
        assert pareto_front(some) == expected
        assert any(expected)


def test_less_is_better_of_seconds_and_more_of_speed():
    cell = LeaderboardCell((), (), "", 1, Estimate(0.5), costs={"seconds": 10.0, "rows_per_second": 10.0})
    assert _point(cell, find_cost("seconds")) == (0.5, -10.0)
    assert _point(cell, find_cost("rows_per_second")) == (0.5, 10.0)
    assert _point(cell, find_cost("parameters")) is None
    assert _point(LeaderboardCell((), (), "", 1, Estimate(math.nan), costs=cell.costs), find_cost("seconds")) is None
