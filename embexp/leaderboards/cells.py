"""What is found of cells that share examples: scores, verdicts, costs, and which no other beats in both."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from embexp.errors import ConfigError, did_you_mean
from embexp.evaluation.stats.multiple_comparisons import tied_with_best
from embexp.leaderboards.axes import Place
from embexp.reports.leaderboard_content import Cost, Estimate, Labels, LeaderboardCell
from embexp.tracking.mlflow_runs import RecordedRun
from embexp.tracking.mlflow_tracker import allowed_name


@dataclass(frozen=True)
class CellResult:
    """A cell as BoardCell tells of it."""

    score: Estimate
    std: float
    difference: Estimate
    p: float
    lacks_seeds: bool


@dataclass(frozen=True)
class GroupResult:
    """Cells on the same examples.

    Attributes:
        cells: in the order of the places.
        bases: the untouched model of each column.
        best: names of the best cell, which is `name_of(place)` or `name_of_base(column)`, and of those tied with it.
    """

    cells: list[CellResult]
    bases: dict[Labels, Estimate]
    best: list[str]


def name_of(place: Place) -> str:
    """A name that no other place of a leaderboard has."""
    return repr((place.row, place.column))


def name_of_base(column: Labels) -> str:
    return repr((None, column))


def best_of(values: Mapping[str, float], p_between: Callable[[str, str], float]) -> list[str]:
    """The best of these and all that cannot be told from it.

    Args:
        p_between: p of no difference between two of them; nan where it is not known, which tells nothing apart.
    """
    known = {name: value for name, value in values.items() if not math.isnan(value)}
    best = max(known, key=known.__getitem__, default=None)
    p_values = {name: p_between(best, name) for name in known if name != best}
    return tied_with_best(known, {name: 1.0 if math.isnan(p) else p for name, p in p_values.items()})


def columns_of_mixed_bases(places: Sequence[Place], keys: "MetricKeys") -> set[Labels]:
    """Columns in which runs with one seed began with unlike models: the mean of these is no model's score.

    So it is with models from scratch, whose tokenizers are made of the rows that each loss reads.
    """
    values: dict[tuple[Labels, str], set[float]] = {}
    for place in places:
        for entry in place.entries:
            base = entry.run.metrics.get(keys.base, math.nan)
            values.setdefault((place.column, str(entry.run.seed)), set()).add(base)
    return {column for (column, _), found in values.items() if len(found) > 1}


class MetricKeys:
    """The keys of a metric's other numbers.

    Args:
        key: `test/sts/spearman_cosine`.
        run: one that has it: what the deltas are called depends on the split on which its verdict fell.
    """

    def __init__(self, key: str, run: RecordedRun) -> None:
        self.split, _, rest = key.partition("/")
        self.evaluator, _, self.metric = rest.rpartition("/")
        self.value = allowed_name(key)
        test_judges = allowed_name(f"test/{rest}") in run.metrics
        self.judged = f"{self.evaluator}/dev" if self.split == "dev" and test_judges else self.evaluator

    @property
    def base(self) -> str:
        return allowed_name(f"base/{self.judged}/{self.metric}")

    @property
    def delta(self) -> str:
        return allowed_name(f"delta/{self.judged}/{self.metric}")

    @property
    def examples(self) -> str:
        """The name of the file of per-example values."""
        return f"{self.evaluator}_{self.split}"


_Point = tuple[float, float]
_NOISE = 0.1  # the share of a cost that tells nothing
COST_COLUMNS = (
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
    known = {cost.name: cost for cost in COST_COLUMNS}
    if name not in known:
        hint = did_you_mean(name, known)
        raise ConfigError(f"cost={name} is not known. Expected one of {', '.join(known)}. {hint}".strip())
    return known[name]


def costs_of(place: Place) -> dict[str, float]:
    """The mean over the runs of each cost that all of them have."""
    metrics = [entry.run.metrics for entry in place.entries]
    return {
        cost.name: sum(each[f"cost/{cost.name}"] for each in metrics) / len(metrics)
        for cost in COST_COLUMNS
        if all(f"cost/{cost.name}" in each for each in metrics)
    }


def point_of(cell: LeaderboardCell, cost: Cost) -> _Point | None:
    """Score and cost of a cell, more of both is better; None where it lacks one of them."""
    if math.isnan(cell.score.value) or cost.name not in cell.costs:
        return None
    return cell.score.value, cell.costs[cost.name] * (-1 if cost.lower_is_better else 1)


def pareto_front(points: Sequence[_Point | None]) -> list[bool]:
    """Of each point whether no other is as good in both, and better in one of them.

    A cost that is up to a tenth less counts for none: the next measurement may turn it round.

    >>> pareto_front([(0.8, -10.0), (0.7, -20.0), (0.9, -30.0), None])
    [True, False, True, False]
    >>> pareto_front([(0.8, 7000.0), (0.7, 7100.0)])
    [True, False]
    """
    known = {point for point in points if point}
    return [point is not None and not any(_beats(other, point) for other in known) for point in points]


def _beats(first: _Point, second: _Point) -> bool:
    if first[0] == second[0]:
        return first[1] > second[1]
    return first[0] > second[0] and first[1] >= second[1] - _NOISE * abs(second[1])
