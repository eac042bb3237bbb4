"""How sure we are, in another way than the bootstrap: the paired permutation test of no difference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from embexp.evaluation.measures import Measure, Statistic, Statistics
from embexp.evaluation.resampling import CHUNK, Draw

if TYPE_CHECKING:
    import numpy

Columns = Mapping[str, "numpy.ndarray"]
ROUNDING = 1e-12  # differences that are no further apart are equal


def permutation_p_value(measure: Measure, first: Columns, second: Columns, permutations: int, seed: int = 0) -> float:
    """Two-sided p of no difference between two models in a measure, by swapping their values of random examples.

    If the models were equally good, it would not matter which of them gave which value (Fisher 1935; Noreen 1989). p is
    (b + 1) / (m + 1), b of m permutations differing at least as much as the models do; the + 1 is the data as they are,
    without which p would be too small (Phipson & Smyth 2010). For a mean this is the sign-flip test.

    Values are swapped once they mean the same for both models, since a base model may have all cosines between 0.7 and
    1 and a trained one between 0 and 1: ranks where only the order counts (Spearman, average precision, thresholds),
    standardised values for Pearson, and the second model's clusters are called by those of the first that they share
    most with. What is one number per example, and classes, are swapped as they are.

    Args:
        first, second: the columns of both models on the same examples. Where an example has several values, from as
            many runs of one method, all of them are swapped, the first model's first run with the second's first.

    Returns:
        nan where the measure does not exist on the data as they are; permutations where it does not are left out.
    """
    import numpy

    runs = zip(*(_runs_of(_rows(measure, columns, measure.predicted)) for columns in (first, second)), strict=True)
    gold = _rows(measure, first, measure.gold) if measure.gold else None
    statistics = [_statistic(measure, gold, *pair) for pair in runs]
    examples = len(_rows(measure, first, measure.predicted))
    observed = _difference(statistics, numpy.zeros((1, examples), dtype=bool))[0]
    found = numpy.concatenate([_difference(statistics, swapped) for swapped in _swaps(examples, permutations, seed)])
    known = found[~numpy.isnan(found)]
    if numpy.isnan(observed):
        return float("nan")
    return float(((numpy.abs(known) >= abs(observed) - ROUNDING).sum() + 1) / (len(known) + 1))


def _rows(measure: Measure, columns: Columns, column: str) -> "numpy.ndarray":
    """The values of the rows that count."""
    import numpy

    values = numpy.asarray(columns[column])
    return values[numpy.asarray(columns[measure.where])] if measure.where else values


def _runs_of(values: "numpy.ndarray") -> list["numpy.ndarray"]:
    import numpy

    return [values] if numpy.ndim(values[0]) == 0 else [*numpy.stack([*values], axis=1)]


def _statistic(
    measure: Measure, gold: "numpy.ndarray | None", first: "numpy.ndarray", second: "numpy.ndarray"
) -> Statistic:
    """The statistic on a table of both models' examples, the first model's before the second's."""
    import numpy

    columns = {
        measure.predicted: numpy.concatenate(MADE_COMPARABLE.get(measure.statistic, _as_they_are)(first, second))
    }
    if measure.gold:
        columns[measure.gold] = numpy.tile(gold, 2)
    return Statistics().of(replace(measure, where=None), columns)


def _swaps(examples: int, permutations: int, seed: int) -> Iterator["numpy.ndarray"]:
    """Which examples are swapped, bool `(permutations, examples)` in chunks."""
    import numpy

    random = numpy.random.default_rng(seed)
    for start in range(0, permutations, CHUNK):
        yield random.random((min(CHUNK, permutations - start), examples)) < 0.5


def _difference(statistics: Sequence[Statistic], swapped: "numpy.ndarray") -> "numpy.ndarray":
    """Second minus first after every permutation, `(permutations,)`, the mean of the runs.

    In a table of both models' examples, a permuted model is a draw of half of the rows.
    """
    import numpy

    first, second = (
        Draw(numpy.concatenate(halves, axis=1).astype(float)) for halves in ((~swapped, swapped), (swapped, ~swapped))
    )
    return numpy.mean([statistic(second) - statistic(first) for statistic in statistics], axis=0)


Pair = tuple["numpy.ndarray", "numpy.ndarray"]


def _as_they_are(first: "numpy.ndarray", second: "numpy.ndarray") -> Pair:
    return first, second


def _ranks(first: "numpy.ndarray", second: "numpy.ndarray") -> Pair:
    from scipy.stats import rankdata

    return rankdata(first), rankdata(second)


def _standardised(first: "numpy.ndarray", second: "numpy.ndarray") -> Pair:
    return tuple((values - values.mean()) / (values.std() or 1) for values in (first, second))


def _clusters_of_one_name(first: "numpy.ndarray", second: "numpy.ndarray") -> Pair:
    """Cluster numbers, the second's such that as many examples as can be have the same number in both."""
    import numpy
    from scipy.optimize import linear_sum_assignment

    first, second = (numpy.unique(values, return_inverse=True)[1] for values in (first, second))
    size = max(first.max(), second.max()) + 1
    shared = numpy.zeros((size, size))
    numpy.add.at(shared, (second, first), 1)
    return first, linear_sum_assignment(shared, maximize=True)[1][second]


MADE_COMPARABLE = {
    **dict.fromkeys(("spearman", "average_precision", "roc_auc", "best_accuracy", "best_f1"), _ranks),
    "pearson": _standardised,
    "v_measure": _clusters_of_one_name,
}
