"""Metrics as data: a name, a statistic, and the columns of per-example values that it is computed from.

With the per-example values of a run, a measure is enough to compute the statistic again: for another interval, or for
the difference of any two runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from operator import getitem
from typing import Any

import numpy

from embexp.evaluation.class_metrics import ConfusionTables, macro_f1, v_measure
from embexp.evaluation.correlations import Correlation, Ranks, Values
from embexp.evaluation.stats.resampling import Sample, observed_sample
from embexp.evaluation.threshold_metrics import SortedScores, average_precision, best_accuracy, best_f1, roc_auc

Statistic = Callable[[Sample], "numpy.ndarray"]  # its value in every resample


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
        """The same measure of another form of the embeddings, whose columns have that suffix."""
        return replace(self, name=f"{self.name}{suffix}", predicted=f"{self.predicted}{suffix}")

    def without(self, column: str) -> "Measure":
        """The same measure of the rows where a boolean column is true; the metric's name ends in the column's."""
        return replace(self, name=f"{self.name}_{column}", where=column)


class _Prepared:
    """Arrays in the form that statistics need (ranks, sorted scores, some rows), each made once for all measures."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Any, Any]] = {}

    def __call__(self, kind: Callable[..., Any], *arrays: numpy.ndarray) -> Any:
        key = (kind, *(id(array) for array in arrays))
        if key not in self._known:
            self._known[key] = (arrays, kind(*arrays))  # the arrays stay alive, so their ids stay their own
        return self._known[key][1]


def _correlation(kind: type) -> Callable[..., Statistic]:
    return lambda prepared, gold, predicted: Correlation(prepared(kind, gold), prepared(kind, predicted))


def _by_threshold(function: Callable[..., Any]) -> Callable[..., Statistic]:
    return lambda prepared, gold, predicted: partial(prepared(SortedScores, gold, predicted).statistic, function)


def _by_class(function: Callable[..., Any]) -> Callable[..., Statistic]:
    return lambda prepared, gold, predicted: partial(prepared(ConfusionTables, gold, predicted).mean, function)


STATISTICS: dict[str, Callable[[_Prepared, Any, Any], Statistic]] = {
    # Of one number per example: accuracy, reciprocal rank, nDCG.
    "mean": lambda prepared, gold, predicted: lambda sample: sample.counts @ predicted / sample.total,
    "spearman": _correlation(Ranks),
    "pearson": _correlation(Values),
    "average_precision": _by_threshold(average_precision),
    "roc_auc": _by_threshold(roc_auc),
    "best_accuracy": _by_threshold(best_accuracy),
    "best_f1": _by_threshold(best_f1),
    "macro_f1": _by_class(macro_f1),
    "v_measure": _by_class(v_measure),
}


# Statistics of a similarity, or of another value that separates examples.
_OF_SIMILARITY = ("spearman", "pearson", "average_precision", "roc_auc", "best_accuracy", "best_f1")
_ROUNDING = 1e-6  # share of a float32 similarity that rounding may make


def is_constant(values: numpy.ndarray) -> bool:
    """Whether all values are the same but for rounding.

    >>> is_constant(numpy.array([0.9999999, 1.0, 1.0])), is_constant(numpy.array([0.9999, 1.0, 1.0]))
    (True, False)
    """
    return bool(numpy.ptp(values) <= _ROUNDING * numpy.abs(values).max())


def separates_nothing(measure: Measure, columns: Mapping[str, numpy.ndarray]) -> bool:
    """Whether a model gives all examples the same similarity, so that there is nothing to measure."""
    return measure.statistic in _OF_SIMILARITY and is_constant(columns[measure.predicted])


class Statistics:
    """The statistics of measures on columns, for any sample; arrays that several of them need are prepared once."""

    def __init__(self) -> None:
        self.prepared = _Prepared()

    def statistic_for(self, measure: Measure, columns: Mapping[str, numpy.ndarray]) -> Statistic:
        """The statistic of one measure on one model's columns."""
        rows = columns[measure.where] if measure.where else None
        gold, predicted = columns[measure.gold] if measure.gold else None, columns[measure.predicted]
        if rows is not None:
            gold = None if gold is None else self.prepared(getitem, gold, rows)
            predicted = self.prepared(getitem, predicted, rows)
        statistic = STATISTICS[measure.statistic](self.prepared, gold, predicted)
        return statistic if rows is None else lambda sample: statistic(sample.only(rows))


def value_of(measure: Measure, columns: Mapping[str, numpy.ndarray]) -> float:
    """The metric on all examples; correlations by scipy, and nan where gold or prediction is the same everywhere."""
    from scipy.stats import pearsonr, spearmanr

    exact = {"spearman": spearmanr, "pearson": pearsonr}.get(measure.statistic)
    predicted = columns[measure.predicted]
    if exact is None:
        return float(Statistics().statistic_for(measure, columns)(observed_sample(len(predicted)))[0])
    rows = columns[measure.where] if measure.where else slice(None)
    gold, predicted = columns[measure.gold][rows], predicted[rows]
    if is_constant(predicted) or numpy.ptp(gold) == 0:
        return float("nan")
    return float(exact(gold, predicted).statistic)
