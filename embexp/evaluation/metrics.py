"""Metrics as plain data, and their statistics: of all examples, and vectorised on resamples.

With the per-example values of a run, a measure is enough to compute the statistic again: for another interval, or for
the difference of any two runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from operator import getitem
from typing import Any

import numpy

from embexp.evaluation.stats.resampling import Sample, observed_sample
from embexp.evaluation.threshold_metrics import SortedScores, accuracies, f1_scores

_ROUNDING_OF_SPREADS = 1e-13  # share of the largest possible spread that rounding errors may make


class _Values:
    """The values, centred, with their sum and spread in every resample."""

    def __init__(self, values: numpy.ndarray) -> None:
        self.values = values - values.mean()

    def __call__(self, sample: Sample) -> "_About":
        return _About(self.values[None, :], sample)


class _Ranks:
    """Average ranks within every resample; sorted once, since only the counts change."""

    def __init__(self, values: numpy.ndarray) -> None:
        _, self.group, sizes = numpy.unique(values, return_inverse=True, return_counts=True)
        self.order = numpy.argsort(self.group, kind="stable")
        self.starts = numpy.cumsum(sizes) - sizes

    def __call__(self, sample: Sample) -> "_About":
        sampled = numpy.add.reduceat(sample.counts.take(self.order, axis=1), self.starts, axis=1)
        ranks = numpy.cumsum(sampled, axis=1) - sampled / 2 - sample.total[:, None] / 2
        return _About(ranks.take(self.group, axis=1), sample)


class _About:
    """Centred values with their sum and spread in every resample; the spread of equal values is nan."""

    def __init__(self, values: numpy.ndarray, sample: Sample) -> None:
        self.values = values
        self.sum = _sum(sample.counts, values, numpy.ones((1, 1)))
        squares = _sum(sample.counts, values, values) - self.sum**2 / sample.total
        # The spread of equal values is rounding error: no correlation, not a random one.
        largest = _ROUNDING_OF_SPREADS * sample.total * numpy.abs(values).max() ** 2
        self.spread = numpy.where(squares > largest, squares, numpy.nan)


class _Correlation:
    """Correlation of predicted and true values, as a statistic.

    Args:
        gold, predicted: `_Values` for Pearson, `_Ranks` for Spearman; compared models share the gold ones.
    """

    def __init__(self, gold: "_Values | _Ranks", predicted: "_Values | _Ranks") -> None:
        self.gold = gold
        self.predicted = predicted

    def __call__(self, sample: Sample) -> numpy.ndarray:
        """The correlation in every resample, `(resamples,)`; nan where gold or prediction is constant."""
        x, y = sample.once(self.gold), sample.once(self.predicted)
        product = _sum(sample.counts, x.values, y.values) - x.sum * y.sum / sample.total
        return product / numpy.sqrt(x.spread * y.spread)


def _sum(counts: numpy.ndarray, x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """The sum of x times y over the examples of every resample, `(resamples,)`; x and y may be the same in all."""
    if len(x) == len(y) == 1:
        return counts @ (x * y)[0]
    return numpy.einsum("ij,ij,ij->i", *numpy.broadcast_arrays(counts, x, y))


class _Groups:
    """Sums over the members of each group; `names` are the groups that have a member, ascending."""

    def __init__(self, group: numpy.ndarray) -> None:
        self.order = numpy.argsort(group, kind="stable")
        self.names, self.starts = numpy.unique(group[self.order], return_index=True)

    def __call__(self, values: numpy.ndarray) -> numpy.ndarray:
        """The sum of each group, `(resamples, groups)`, of values `(resamples, members)`."""
        return numpy.add.reduceat(values[:, self.order], self.starts, axis=1)


class _ConfusionTable:
    """How many examples of each true class got each predicted class; only cells that occur are stored."""

    def __init__(self, gold: numpy.ndarray, predicted: numpy.ndarray) -> None:
        names, places = numpy.unique(numpy.concatenate([gold, predicted]), return_inverse=True)
        self.num_classes = len(names)
        self.cell = _Groups(places[: len(gold)] * self.num_classes + places[len(gold) :])
        self.true_of_cell, self.predicted_of_cell = numpy.divmod(self.cell.names, self.num_classes)
        self.true, self.predicted = _Groups(self.true_of_cell), _Groups(self.predicted_of_cell)

    def __call__(self, sample: Sample) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """The number of examples of each true class, each predicted class and each cell, `(resamples, groups)` each."""
        cells = self.cell(sample.counts)
        return self.true(cells), self.predicted(cells), cells


class _ConfusionTables:
    """The confusion tables of one or several runs of a method, such as k-means from several starts.

    Args:
        gold: true classes, `(n,)`.
        predicted: a class for each example; or one from every run for each example, `(n,)` of arrays or lists.
    """

    def __init__(self, gold: numpy.ndarray, predicted: Any) -> None:
        by_example = numpy.asarray(predicted if numpy.ndim(predicted[0]) == 0 else [*map(list, predicted)])
        self.tables = [_ConfusionTable(gold, run) for run in by_example.reshape(len(gold), -1).T]

    def mean(self, statistic: Callable[[_ConfusionTable, Sample], numpy.ndarray], sample: Sample) -> numpy.ndarray:
        """The mean of the runs in every resample, `(resamples,)`.

        Runs are sampled with replacement, as examples are, so that the interval includes the variance between starts.
        One run fewer than there are is sampled: few of them would otherwise vary too little (Rao & Wu 1988). All
        compared models use the same sampled runs.
        """
        of_runs = numpy.stack([statistic(table, sample) for table in self.tables], axis=1)
        runs = of_runs.shape[1]
        if runs == 1 or (sample.counts == 1).all():  # the data as they are
            return of_runs.mean(axis=1)
        random = numpy.random.default_rng(sample.counts[:, 0].astype(int))  # another generator for every sample
        return (of_runs * random.multinomial(runs - 1, [1 / runs] * runs, len(of_runs))).sum(axis=1) / (runs - 1)


def _macro_f1(table: _ConfusionTable, sample: Sample) -> numpy.ndarray:
    """F1 of each class, averaged over the sampled or predicted classes, as in scikit-learn; nan of an empty sample."""
    true, predicted, cells = table(sample)
    right, either = numpy.zeros((2, len(cells), table.num_classes))
    either[:, table.true.names] += true
    either[:, table.predicted.names] += predicted
    is_right = table.true_of_cell == table.predicted_of_cell
    right[:, table.true_of_cell[is_right]] = cells[:, is_right]
    with numpy.errstate(invalid="ignore"):
        return (2 * right / numpy.maximum(either, 1)).sum(axis=1) / (either > 0).sum(axis=1)


def _v_measure(table: _ConfusionTable, sample: Sample) -> numpy.ndarray:
    """Harmonic mean of homogeneity and completeness of clusters (Rosenberg & Hirschberg 2007), in every resample."""
    with numpy.errstate(invalid="ignore", divide="ignore"):
        shares = [counts / sample.total[:, None] for counts in table(sample)]
        logs = [numpy.log(numpy.where(share > 0, share, 1)) for share in shares]
        # The entropies, in nats; exactly 0 for a single sampled group.
        of_class, of_cluster, of_both = (-(share * log).sum(axis=1) for share, log in zip(shares, logs, strict=True))
        shared = numpy.maximum(of_class + of_cluster - of_both, 0)
        homogeneity = numpy.where(of_class > 0, shared / of_class, 1)
        completeness = numpy.where(of_cluster > 0, shared / of_cluster, 1)
        found = numpy.nan_to_num(2 * homogeneity * completeness / (homogeneity + completeness))
    return numpy.where(sample.total > 0, found, numpy.nan)


def _average_precision(positives: numpy.ndarray, negatives: numpy.ndarray) -> numpy.ndarray:
    """The mean of the precision at every positive, as scikit-learn's average_precision_score."""
    precision = positives / (positives + negatives)
    found = numpy.diff(positives, axis=1, prepend=0)
    return numpy.nan_to_num(precision * found).sum(axis=1) / positives[:, -1]


def _roc_auc(positives: numpy.ndarray, negatives: numpy.ndarray) -> numpy.ndarray:
    """The share of pairs of a positive and a negative in which the positive scores higher; half for a tie."""
    found = numpy.diff(negatives, axis=1, prepend=0)
    above = positives - numpy.diff(positives, axis=1, prepend=0) / 2
    return (found * above).sum(axis=1) / (positives[:, -1] * negatives[:, -1])


def _best_accuracy(positives: numpy.ndarray, negatives: numpy.ndarray) -> numpy.ndarray:
    """Accuracy at the threshold that makes it highest."""
    return accuracies(positives, negatives).max(axis=1)


def _best_f1(positives: numpy.ndarray, negatives: numpy.ndarray) -> numpy.ndarray:
    """F1 of the positive class at the threshold that makes it highest."""
    return f1_scores(positives, negatives).max(axis=1)


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
        unit: what rows share that a bootstrap draws together: `text`, or a column's name; None: each row by itself.
    """

    name: str
    statistic: str
    predicted: str
    gold: str | None = None
    where: str | None = None
    unit: str | None = field(default=None, compare=False)

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
    return lambda prepared, gold, predicted: _Correlation(prepared(kind, gold), prepared(kind, predicted))


def _by_threshold(function: Callable[..., Any]) -> Callable[..., Statistic]:
    return lambda prepared, gold, predicted: partial(prepared(SortedScores, gold, predicted).statistic, function)


def _by_class(function: Callable[..., Any]) -> Callable[..., Statistic]:
    return lambda prepared, gold, predicted: partial(prepared(_ConfusionTables, gold, predicted).mean, function)


STATISTICS: dict[str, Callable[[_Prepared, Any, Any], Statistic]] = {
    # Of one number per example: accuracy, reciprocal rank, nDCG.
    "mean": lambda prepared, gold, predicted: lambda sample: sample.counts @ predicted / sample.total,
    "spearman": _correlation(_Ranks),
    "pearson": _correlation(_Values),
    "average_precision": _by_threshold(_average_precision),
    "roc_auc": _by_threshold(_roc_auc),
    "best_accuracy": _by_threshold(_best_accuracy),
    "best_f1": _by_threshold(_best_f1),
    "macro_f1": _by_class(_macro_f1),
    "v_measure": _by_class(_v_measure),
}


# Statistics of a similarity, or of another value that separates examples.
_OF_SIMILARITY = ("spearman", "pearson", "average_precision", "roc_auc", "best_accuracy", "best_f1")
_ROUNDING = 1e-6  # share of a float32 similarity that rounding may make


def _is_constant(values: numpy.ndarray) -> bool:
    """Whether all values are the same but for rounding.

    >>> _is_constant(numpy.array([0.9999999, 1.0, 1.0])), _is_constant(numpy.array([0.9999, 1.0, 1.0]))
    (True, False)
    """
    return bool(numpy.ptp(values) <= _ROUNDING * numpy.abs(values).max())


def separates_nothing(measure: Measure, columns: Mapping[str, numpy.ndarray]) -> bool:
    """Whether a model gives all examples the same similarity, so that there is nothing to measure."""
    return measure.statistic in _OF_SIMILARITY and _is_constant(columns[measure.predicted])


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
    if _is_constant(predicted) or numpy.ptp(gold) == 0:
        return float("nan")
    return float(exact(gold, predicted).statistic)
