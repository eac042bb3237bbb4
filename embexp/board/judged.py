"""What is found of cells that were judged on the same examples, whichever way it was found."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from embexp.board.axes import Place
from embexp.evaluation.many_comparisons import tied_with_best
from embexp.reports.board_content import Estimate, Labels
from embexp.tracking.mlflow_tracker import allowed_name
from embexp.tracking.recorded_run import RecordedRun


@dataclass(frozen=True)
class Judged:
    """A cell as BoardCell tells of it."""

    score: Estimate
    std: float
    difference: Estimate
    p: float
    lacks_seeds: bool


@dataclass(frozen=True)
class JudgedGroup:
    """Cells on the same examples.

    Attributes:
        cells: in the order of the places.
        bases: the untouched model of each column.
        best: names of the best cell, which is `name_of(place)` or `name_of_base(column)`, and of those tied with it.
    """

    cells: list[Judged]
    bases: dict[Labels, Estimate]
    best: list[str]


def name_of(place: Place) -> str:
    """A name that no other place of a board has."""
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
