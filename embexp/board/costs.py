"""What a configuration costs, and which ones no other beats in both quality and cost."""

import math
from collections.abc import Sequence

from embexp.board.axes import Place
from embexp.errors import ConfigError, did_you_mean
from embexp.reports.board_content import BoardCell, Cost

Point = tuple[float, float]
NOISE = 0.1  # the share of a cost that tells nothing
COSTS = (
    Cost("seconds", "wall s", lower_is_better=True),
    Cost("train_seconds", "training s", lower_is_better=True),
    Cost("stages_seconds", "stages before s", lower_is_better=True),
    Cost("rows_per_second", "training rows/s", lower_is_better=False),
    Cost("peak_memory_mb", "peak MB", lower_is_better=True),
    Cost("parameters", "parameters", lower_is_better=True),
    Cost("encode_texts_per_second", "encoded texts/s", lower_is_better=False),
)


def cost_named(name: str) -> Cost:
    """The cost of that name.

    Raises:
        ConfigError: there is none.
    """
    known = {cost.name: cost for cost in COSTS}
    if name not in known:
        hint = did_you_mean(name, known)
        raise ConfigError(f"cost={name} is not known. Expected one of {', '.join(known)}. {hint}".strip())
    return known[name]


def costs_of(place: Place) -> dict[str, float]:
    """The mean over the runs of each cost that all of them have."""
    metrics = [entry.run.metrics for entry in place.entries]
    return {
        cost.name: sum(each[f"cost/{cost.name}"] for each in metrics) / len(metrics)
        for cost in COSTS
        if all(f"cost/{cost.name}" in each for each in metrics)
    }


def point_of(cell: BoardCell, cost: Cost) -> Point | None:
    """Score and cost of a cell, more of both is better; None where it lacks one of them."""
    if math.isnan(cell.score.value) or cost.name not in cell.costs:
        return None
    return cell.score.value, cell.costs[cost.name] * (-1 if cost.lower_is_better else 1)


def pareto_front(points: Sequence[Point | None]) -> list[bool]:
    """Of each point whether no other is as good in both, and better in one of them.

    A cost that is up to a tenth less counts for none: the next measurement may turn it round.

    >>> pareto_front([(0.8, -10.0), (0.7, -20.0), (0.9, -30.0), None])
    [True, False, True, False]
    >>> pareto_front([(0.8, 7000.0), (0.7, 7100.0)])
    [True, False]
    """
    known = {point for point in points if point}
    return [point is not None and not any(_beats(other, point) for other in known) for point in points]


def _beats(first: Point, second: Point) -> bool:
    if first[0] == second[0]:
        return first[1] > second[1]
    return first[0] > second[0] and first[1] >= second[1] - NOISE * abs(second[1])
