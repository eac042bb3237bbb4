"""Statistics of predicted classes and clusters against true classes, vectorised on resamples."""

from collections.abc import Callable
from typing import Any

import numpy

from embexp.evaluation.stats.resampling import Sample


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


class ConfusionTables:
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


def macro_f1(table: _ConfusionTable, sample: Sample) -> numpy.ndarray:
    """F1 of each class, averaged over the sampled or predicted classes, as in scikit-learn; nan of an empty sample."""
    true, predicted, cells = table(sample)
    right, either = numpy.zeros((2, len(cells), table.num_classes))
    either[:, table.true.names] += true
    either[:, table.predicted.names] += predicted
    is_right = table.true_of_cell == table.predicted_of_cell
    right[:, table.true_of_cell[is_right]] = cells[:, is_right]
    with numpy.errstate(invalid="ignore"):
        return (2 * right / numpy.maximum(either, 1)).sum(axis=1) / (either > 0).sum(axis=1)


def v_measure(table: _ConfusionTable, sample: Sample) -> numpy.ndarray:
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
