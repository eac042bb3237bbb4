"""What is measured: a metric's name, its statistic, and the columns of per-example values that it is taken of.

A measure is plain data: with the per-example values of a run it is enough to take the statistic again, for another
interval or for the difference of any two runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from embexp.evaluation.class_metrics import ConfusionTables, MacroF1, VMeasure
from embexp.evaluation.correlations import Correlation, Ranks, Values
from embexp.evaluation.stats.resampling import Sample, observed_sample
from embexp.evaluation.threshold_metrics import (
    OfSortedScores,
    SortedScores,
    average_precision,
    best_accuracy,
    best_f1,
    roc_auc,
)

if TYPE_CHECKING:
    import numpy

Statistic = Callable[[Sample], "numpy.ndarray"]  # its value in every resample
_Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Measure:
    """One metric.

    Attributes:
        name: of the metric, such as `spearman_cosine`.
        statistic: one of STATISTICS.
        predicted: the column of the model's values.
        gold: the column of true values, None where the statistic needs none.
        where: a column of booleans: rows that count; None where all do.
    """

    name: str
    statistic: str
    predicted: str
    gold: str | None = None
    where: str | None = None

    def in_form(self, suffix: str) -> "Measure":
        """The same of another form of the embeddings, whose columns have that suffix."""
        return replace(self, name=f"{self.name}{suffix}", predicted=f"{self.predicted}{suffix}")

    def without(self, column: str) -> "Measure":
        """The same of the rows that a column of booleans names, which is also what the metric ends in."""
        return replace(self, name=f"{self.name}_{column}", where=column)


class _Mean:
    """The mean of the values: of accuracy, reciprocal rank, nDCG and whatever else is one number for each example."""

    def __init__(self, predicted: "numpy.ndarray") -> None:
        self.predicted = predicted

    def __call__(self, sample: Sample) -> "numpy.ndarray":
        """The mean in every resample, `(resamples,)`."""
        return sample.counts @ self.predicted / sample.total


class _Prepared:
    """Arrays as statistics need them (ranks, rankings), each made once however many measures ask for it."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Any, Any]] = {}

    def __call__(self, kind: type, *arrays: "numpy.ndarray") -> Any:
        key = (kind, *(id(array) for array in arrays))
        if key not in self._known:
            self._known[key] = (arrays, kind(*arrays))  # the arrays stay alive, so their ids stay their own
        return self._known[key][1]


def _correlation(kind: type) -> Callable[..., Statistic]:
    return lambda prepared, gold, predicted: Correlation(prepared(kind, gold), prepared(kind, predicted))


def _decision(function: Callable[..., Any]) -> Callable[..., Statistic]:
    return lambda prepared, gold, predicted: OfSortedScores(prepared(SortedScores, gold, predicted), function)


STATISTICS: dict[str, Callable[[_Prepared, Any, Any], Statistic]] = {
    "mean": lambda prepared, gold, predicted: _Mean(predicted),
    "spearman": _correlation(Ranks),
    "pearson": _correlation(Values),
    "average_precision": _decision(average_precision),
    "roc_auc": _decision(roc_auc),
    "best_accuracy": _decision(best_accuracy),
    "best_f1": _decision(best_f1),
    "macro_f1": lambda prepared, gold, predicted: MacroF1(prepared(ConfusionTables, gold, predicted)),
    "v_measure": lambda prepared, gold, predicted: VMeasure(prepared(ConfusionTables, gold, predicted)),
}


class Statistics:
    """The statistics of measures on columns, ready for any sample; what two of them need is prepared once."""

    def __init__(self) -> None:
        self.prepared = _Prepared()
        self._selected: dict[Any, tuple[Any, Any]] = {}

    def of(self, measure: Measure, columns: Mapping[str, "numpy.ndarray"]) -> Statistic:
        """The statistic of one measure on one model's columns."""
        rows = columns[measure.where] if measure.where else None
        gold = self._some(columns[measure.gold], rows) if measure.gold else None
        statistic = STATISTICS[measure.statistic](self.prepared, gold, self._some(columns[measure.predicted], rows))
        return statistic if rows is None else lambda sample: statistic(sample.only(rows))

    def _some(self, values: "numpy.ndarray", rows: "numpy.ndarray | None") -> "numpy.ndarray":
        if rows is None:
            return values
        key = (id(values), id(rows))
        if key not in self._selected:
            self._selected[key] = ((values, rows), values[rows])
        return self._selected[key][1]


def value_of(measure: Measure, columns: Mapping[str, "numpy.ndarray"]) -> float:
    """The metric on all examples; correlations by scipy, and nan where gold or prediction is the same everywhere."""
    import numpy
    from scipy.stats import pearsonr, spearmanr

    exact = {"spearman": spearmanr, "pearson": pearsonr}.get(measure.statistic)
    predicted = columns[measure.predicted]
    if exact is None:
        return float(Statistics().of(measure, columns)(observed_sample(len(predicted)))[0])
    rows = columns[measure.where] if measure.where else slice(None)
    gold, predicted = columns[measure.gold][rows], predicted[rows]
    if numpy.ptp(predicted) == 0 or numpy.ptp(gold) == 0:
        return float("nan")
    return float(exact(gold, predicted).statistic)
