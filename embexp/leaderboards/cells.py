"""The results of cells that share examples: scores, verdicts, costs, and the front of score and cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.evaluation.stats.multiple_comparisons import tied_with_best
from embexp.evaluation.stats.power import Prospect
from embexp.evaluation.stats.seeds import Cell, Interval
from embexp.leaderboards.axes import CellKey, Place
from embexp.reports.leaderboard_content import Cost, Estimate, Labels, LeaderboardCell
from embexp.tracking.journal import METRICS, written_lines
from embexp.tracking.mlflow_runs import RecordedRun
from embexp.tracking.store_limits import allowed_name


@dataclass(frozen=True)
class CellResult:
    """The results of a cell: see LeaderboardCell.

    Attributes:
        difference: to the untouched model, with the interval of this cell alone.
        prospect: what the present examples and seeds show of it; None where that is not known.
        examples: how many there are; 0: that is not known.
        finding: what is known besides the interval; empty for nothing.
    """

    score: Estimate
    std: float
    difference: Interval
    lacks_seeds: bool
    prospect: Prospect | None = None
    examples: int = 0
    finding: str = ""


@dataclass(frozen=True)
class PairedCells:
    """What cells scored on the same resamples, by their keys.

    Attributes:
        cells: the untouched models that are one model are among them.
        gains: of trained ones, with nothing before it, as two cells to compare.
        rows: how many examples there are.
    """

    cells: Mapping[CellKey, Cell]
    gains: Mapping[CellKey, tuple[Cell, Cell]]
    rows: int


@dataclass(frozen=True)
class GroupResult:
    """Cells on the same examples.

    Attributes:
        cells: in the order of the places.
        bases: the untouched model of each column.
        best: the keys of the best cell and of those tied with it.
        paired: None where there are no values of single examples.
    """

    cells: list[CellResult]
    bases: dict[Labels, Estimate]
    best: list[CellKey]
    paired: PairedCells | None = None


def best_of(values: Mapping[CellKey, float], p_between: Callable[[CellKey, CellKey], float]) -> list[CellKey]:
    """The best cell and all that do not differ significantly from it; an unknown p (nan) counts as no difference."""
    known = {key: value for key, value in values.items() if not math.isnan(value)}
    best = max(known, key=known.__getitem__, default=None)
    p_values = {key: p_between(best, key) for key in known if key != best}
    return tied_with_best(known, {key: 1.0 if math.isnan(p) else p for key, p in p_values.items()})


def mixed_base_columns(places: Sequence[Place], keys: "MetricKeys") -> set[Labels]:
    """Columns in which runs with one seed started from different models, whose mean is no model's score.

    This happens with models from scratch, whose tokenizers depend on the rows that each loss reads.
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
        run: one that has it: the names of the deltas depend on the split of its verdict.
    """

    def __init__(self, key: str, run: RecordedRun) -> None:
        self.split, _, rest = key.partition("/")
        self.evaluator, _, self.metric = rest.rpartition("/")
        self.value = allowed_name(key)
        has_test = allowed_name(f"test/{rest}") in run.metrics
        self.prefix = f"{self.evaluator}/dev" if self.split == "dev" and has_test else self.evaluator

    @property
    def base(self) -> str:
        return allowed_name(f"base/{self.prefix}/{self.metric}")

    @property
    def delta(self) -> str:
        return allowed_name(f"delta/{self.prefix}/{self.metric}")

    @property
    def examples(self) -> str:
        """The name of the file of per-example values."""
        return f"{self.evaluator}_{self.split}"


_Point = tuple[float, float]
_NOISE = 0.1  # smaller differences of a cost, as a share, count as none
COST_COLUMNS = (
    Cost("seconds", "wall s", lower_is_better=True),
    Cost("train_seconds", "training s", lower_is_better=True),
    Cost("stages_seconds", "stages before s", lower_is_better=True),
    Cost("rows_per_second", "training rows/s", lower_is_better=False),
    Cost("peak_memory_mb", "peak MB", lower_is_better=True),
    Cost("parameters", "parameters", lower_is_better=True),
    Cost("encode_texts_per_second", "encoded texts/s", lower_is_better=False),
    Cost("guard", "guard", lower_is_better=False),
)


def find_cost(name: str) -> Cost:
    """The cost of that name; ConfigError where there is none."""
    known = {cost.name: cost for cost in COST_COLUMNS}
    refuse(problems_with("cost", name, LegalValues(one_of=tuple(known)), such_as="encode_texts_per_second"))
    return known[name]


def costs_of(place: Place) -> dict[str, float]:
    """The mean over the runs of each cost that all of them have."""
    metrics = [entry.run.metrics for entry in place.entries]
    return {
        cost.name: sum(each[f"cost/{cost.name}"] for each in metrics) / len(metrics)
        for cost in COST_COLUMNS
        if all(f"cost/{cost.name}" in each for each in metrics)
    }


def mark_fronts(cells: Sequence[LeaderboardCell], cost: Cost) -> list[LeaderboardCell]:
    """The cells, with `on_front` set for those on the front of their group."""
    found = []
    for group in dict.fromkeys(cell.group for cell in cells):
        of_group = [cell for cell in cells if cell.group == group]
        front = pareto_front([_point(cell, cost) for cell in of_group])
        found += [replace(cell, on_front=is_on) for cell, is_on in zip(of_group, front, strict=True)]
    return found


def _point(cell: LeaderboardCell, cost: Cost) -> _Point | None:
    """Score and cost of a cell, higher is better in both; None if it lacks one."""
    if math.isnan(cell.score.value) or cost.name not in cell.costs:
        return None
    return cell.score.value, cell.costs[cost.name] * (-1 if cost.lower_is_better else 1)


def pareto_front(points: Sequence[_Point | None]) -> list[bool]:
    """For each point whether no other is as good in both, and better in one of them.

    A cost that is up to a tenth lower counts as equal: the next measurement may reverse it.

    >>> pareto_front([(0.8, -10.0), (0.7, -20.0), (0.9, -30.0), None])
    [True, False, True, False]
    >>> pareto_front([(0.8, 7000.0), (0.7, 7100.0)])
    [True, False]
    """
    known = [point for point in points if point]
    least_of: dict[float, float] = {}  # by the score, the best cost
    for score, cost in known:
        least_of[score] = max(cost, least_of.get(score, -math.inf))
    above, of_better = -math.inf, {}  # by the score, the best cost of all that score more
    for score in sorted(least_of, reverse=True):
        of_better[score] = above
        above = max(above, least_of[score])
    return [
        point is not None and least_of[point[0]] <= point[1] and of_better[point[0]] < point[1] - _NOISE * abs(point[1])
        for point in points
    ]


def curve_of(place: Place) -> tuple[tuple[int, float], ...]:
    """The metric on dev by the examples that training has read, from the untouched model on; the mean over the runs.

    Empty where a run comes from MLflow, was not evaluated while it trained, or in other steps than another run.
    """
    found = [_curve_of_run(entry.run, place.metric) for entry in place.entries]
    if len({tuple(each) for each in found}) != 1:
        return ()
    return tuple((examples, sum(each[examples] for each in found) / len(found)) for examples in sorted(found[0]))


def _curve_of_run(run: RecordedRun, metric: str) -> dict[int, float]:
    key = f"dev/{metric.partition('/')[2]}"
    logged, params = f"train/{key}", run.params
    sizes = [params.get(name, "") for name in ("dataset.train_rows", *_PER_STEP)]
    if run.folder is None or not all(size.isdigit() for size in sizes):
        return {}
    rows, *each = map(int, sizes)
    a_step = math.prod(each)
    steps_a_pass = math.ceil(rows / a_step)
    found = {}
    for line in written_lines(run.folder / METRICS):
        value = {allowed_name(name): each for name, each in line["metrics"].items()}.get(allowed_name(logged))
        if value is not None and math.isfinite(value) and line["step"]:
            passes, steps = divmod(line["step"], steps_a_pass)
            found[passes * rows + min(rows, steps * a_step)] = value
    base = run.metrics.get(MetricKeys(key, run).base)
    return {0: base, **found} if found and base is not None else found


_PER_STEP = ("trainer.per_device_train_batch_size", "trainer.gradient_accumulation_steps")
