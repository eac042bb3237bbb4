"""Paired tests of two models on the same examples: bootstrap, permutation, dependent correlations.

The tests of dependent correlations assume a normal distribution and Pearson's correlation; the bootstrap does not.
Steiger (1980, "Tests for comparing elements of a correlation matrix", Psychological Bulletin 87, 245-251) recommends
Williams' t for this case; the Z named after him is nearly as good.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy

from embexp.evaluation.metrics import Measure, Statistic, Statistics
from embexp.evaluation.stats.resampling import CHUNK, Sample, bootstrap_samples, widening

_INTERVAL = (2.5, 97.5)  # percentiles: the ends of a 95 % interval


def bootstrap_differences(
    compared: Sequence[tuple["Statistic", "Statistic"]],
    examples: int,
    resamples: int,
    seed: int = 0,
    groups: numpy.ndarray | None = None,
) -> list[numpy.ndarray]:
    """Second minus first of each pair of statistics in every resample, `(resamples,)` each.

    Examples are sampled with replacement, the same ones for both models and all pairs (Efron & Tibshirani 1993); ranks
    and thresholds are computed anew in every resample. Only the examples vary: two runs of one configuration with
    different seeds do differ, and more examples show it better. To compare configurations, run each several times: see
    `seeds.py`.

    Args:
        groups: of examples that are drawn together, see `bootstrap_samples`.
    """
    found: list[list[numpy.ndarray]] = [[] for _ in compared]
    for sample in bootstrap_samples(examples, resamples, seed, groups):
        for differences, (first, second) in zip(found, compared, strict=True):
            differences.append(second(sample) - first(sample))
    return [numpy.concatenate(differences) for differences in found]


def interval_of(differences: numpy.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval; resamples without the statistic (nan) are left out.

    Of R resamples the ends are the R + 1 times 0.025th and 0.975th in order (Davison & Hinkley 1997, section 5.3).
    """
    if numpy.isnan(differences).all():
        return float("nan"), float("nan")
    low, high = numpy.nanpercentile(differences, _INTERVAL, method="weibull")
    return float(low), float(high)


def p_value_of(differences: numpy.ndarray) -> float:
    """Two-sided p of no difference: 1 minus the level of the percentile interval that has an end at zero.

    So p is below 0.05 exactly where zero is outside `interval_of`. It is about twice the share of resamples on the
    rarer side of zero; those at zero count for both sides. The smallest p is 2 / (resamples + 1), which matters when it
    is corrected for many comparisons.
    """
    known = numpy.sort(differences[~numpy.isnan(differences)])
    if not len(known):
        return float("nan")
    rarer = min(_place_of_zero(known), _place_of_zero(-known[::-1]))
    return float(min(1.0, 2 * rarer / (len(known) + 1)))


def interval_and_p(
    value: float, differences: numpy.ndarray, few: int = 0, least: float = 0.0
) -> tuple[float, float, float]:
    """The ends of the 95 % interval of a difference, and p of no difference.

    Args:
        value: the difference on the examples as they are.
        few: the number of units where they are few: the interval is Student's t then; 0: that of percentiles.
        least: half of the interval where no unit differs: that none of these did is no proof that none would.
    """
    if value == 0 and not numpy.nan_to_num(differences).any():
        return -least, least, 1.0
    if not few:
        return *interval_of(differences), p_value_of(differences)
    from scipy.stats import t

    quantile, factor = widening(few)
    error = factor * float(numpy.nanstd(differences, ddof=1))
    p = float(2 * t.sf(abs(value) / error, few - 1)) if error else float(value == 0)
    return value - quantile * error, value + quantile * error, p


def _place_of_zero(ordered: numpy.ndarray) -> float:
    """The place, from 1, up to which values are not above zero; half way between two values lies half a place."""
    number = int(numpy.searchsorted(ordered, 0, side="right"))
    if number in (0, len(ordered)):
        return max(number, 1)
    below, above = ordered[number - 1], ordered[number]
    return number + below / (below - above)


_Columns = Mapping[str, "numpy.ndarray"]
_ROUNDING = 1e-12  # smaller differences count as equal


def permutation_p_value(measure: Measure, first: _Columns, second: _Columns, permutations: int, seed: int = 0) -> float:
    """Two-sided p of no difference between two models in a measure, by swapping their values of random examples.

    If the models were equally good, it would not matter which of them gave which value (Fisher 1935; Noreen 1989). p is
    (b + 1) / (m + 1), b of m permutations differing at least as much as the models do; the + 1 is the data as they are,
    without which p would be too small (Phipson & Smyth 2010). For a mean this is the sign-flip test.

    Values are made comparable before they are swapped, since a base model may have all cosines between 0.7 and 1 and a
    trained one between 0 and 1: ranks where only the order counts (Spearman, average precision, thresholds),
    standardised values for Pearson; the second model's clusters get the numbers of the first model's clusters that
    they share most examples with. One number per example, and classes, are swapped as they are.

    Args:
        first, second: the columns of both models on the same examples. If an example has several values, one from each
            run of a method, all of them are swapped, run by run.

    Returns:
        nan if the measure does not exist on the data as they are; permutations without it are left out.
    """
    runs = zip(*(_runs_of(_rows(measure, columns, measure.predicted)) for columns in (first, second)), strict=True)
    gold = _rows(measure, first, measure.gold) if measure.gold else None
    statistics = [_statistic(measure, gold, *pair) for pair in runs]
    examples = len(_rows(measure, first, measure.predicted))
    observed = _difference(statistics, numpy.zeros((1, examples), dtype=bool))[0]
    random = numpy.random.default_rng(seed)
    sizes = [min(CHUNK, permutations - start) for start in range(0, permutations, CHUNK)]
    found = numpy.concatenate([_difference(statistics, random.random((size, examples)) < 0.5) for size in sizes])
    known = found[~numpy.isnan(found)]
    if numpy.isnan(observed):
        return float("nan")
    return float(((numpy.abs(known) >= abs(observed) - _ROUNDING).sum() + 1) / (len(known) + 1))


def _rows(measure: Measure, columns: _Columns, column: str) -> numpy.ndarray:
    """The values of the rows that count."""
    values = numpy.asarray(columns[column])
    return values[numpy.asarray(columns[measure.where])] if measure.where else values


def _runs_of(values: numpy.ndarray) -> list[numpy.ndarray]:
    return [values] if numpy.ndim(values[0]) == 0 else [*numpy.stack([*values], axis=1)]


def _statistic(measure: Measure, gold: numpy.ndarray | None, first: numpy.ndarray, second: numpy.ndarray) -> Statistic:
    """The statistic on a table of both models' examples, the first model's before the second's."""
    make_comparable = _MADE_COMPARABLE.get(measure.statistic, lambda *as_they_are: as_they_are)
    columns = {measure.predicted: numpy.concatenate(make_comparable(first, second))}
    if measure.gold:
        columns[measure.gold] = numpy.tile(gold, 2)
    return Statistics().statistic_for(replace(measure, where=None), columns)


def _difference(statistics: Sequence[Statistic], swapped: numpy.ndarray) -> numpy.ndarray:
    """Second minus first after every permutation, `(permutations,)`, the mean of the runs.

    In a table of both models' examples, a permuted model is half of the rows.
    """
    first, second = (
        Sample(numpy.concatenate(halves, axis=1).astype(float)) for halves in ((~swapped, swapped), (swapped, ~swapped))
    )
    return numpy.mean([statistic(second) - statistic(first) for statistic in statistics], axis=0)


_Pair = tuple["numpy.ndarray", "numpy.ndarray"]


def _ranks(first: numpy.ndarray, second: numpy.ndarray) -> _Pair:
    from scipy.stats import rankdata

    return rankdata(first), rankdata(second)


def _standardised(first: numpy.ndarray, second: numpy.ndarray) -> _Pair:
    return tuple((values - values.mean()) / (values.std() or 1) for values in (first, second))


def _clusters_of_one_name(first: numpy.ndarray, second: numpy.ndarray) -> _Pair:
    """Cluster numbers; the second's are chosen so that as many examples as possible have the same number in both."""
    from scipy.optimize import linear_sum_assignment

    first, second = (numpy.unique(values, return_inverse=True)[1] for values in (first, second))
    size = max(first.max(), second.max()) + 1
    shared = numpy.zeros((size, size))
    numpy.add.at(shared, (second, first), 1)
    return first, linear_sum_assignment(shared, maximize=True)[1][second]


_MADE_COMPARABLE = {
    **dict.fromkeys(("spearman", "average_precision", "roc_auc", "best_accuracy", "best_f1"), _ranks),
    "pearson": _standardised,
    "v_measure": _clusters_of_one_name,
}


@dataclass(frozen=True)
class _CorrelationTest:
    """A test of no difference."""

    statistic: float  # t or z; positive if the second correlation is higher
    p: float  # two-sided


def williams_t(first: float, second: float, between: float, examples: int) -> _CorrelationTest:
    """Williams' t with n - 3 degrees of freedom (Williams 1959, "Regression analysis"; Steiger 1980, equation 7).

    >>> round(williams_t(0.4, 0.3, 0.5, 100).p, 4)  # Silver, Hittner & May 2006
    0.2843

    Args:
        first, second: correlations of both models with gold.
        between: correlation of the models with each other.
        examples: their number, at least 4.
    """
    from scipy.stats import t

    if first == second:
        return _CorrelationTest(0.0, 1.0)
    mean = (first + second) / 2
    determinant = 1 - first**2 - second**2 - between**2 + 2 * first * second * between
    spread = 2 * (examples - 1) / (examples - 3) * max(determinant, 0) + mean**2 * (1 - between) ** 3
    statistic = _ratio((second - first) * math.sqrt((examples - 1) * (1 + between)), spread)
    return _CorrelationTest(statistic, float(2 * t.sf(abs(statistic), examples - 3)))


def steiger_z(first: float, second: float, between: float, examples: int) -> _CorrelationTest:
    """Steiger's Z: Fisher's z of both, their covariance at the mean correlation (Steiger 1980, equations 10 and 14).

    >>> round(steiger_z(0.4, 0.3, 0.5, 100).p, 4)  # Silver, Hittner & May 2006
    0.2838

    Args: as in `williams_t`.
    """
    from scipy.stats import norm

    if first == second:
        return _CorrelationTest(0.0, 1.0)
    square = ((first + second) / 2) ** 2
    covariance = between * (1 - 2 * square) - square * (1 - 2 * square - between**2) / 2
    spread = 2 - 2 * covariance / (1 - square) ** 2
    statistic = _ratio((_fisher(second) - _fisher(first)) * math.sqrt(examples - 3), spread)
    return _CorrelationTest(statistic, float(2 * norm.sf(abs(statistic))))


def compare_correlations(
    gold: numpy.ndarray, first: numpy.ndarray, second: numpy.ndarray
) -> dict[str, _CorrelationTest]:
    """Both tests (`williams_t`, `steiger_z`) of two models' values, `(n,)` each; nan where one of them is constant."""
    with numpy.errstate(invalid="ignore", divide="ignore"):
        table = numpy.corrcoef([gold, first, second])
    correlations = float(table[0, 1]), float(table[0, 2]), float(table[1, 2])
    if any(math.isnan(each) for each in correlations):
        return dict.fromkeys(("williams_t", "steiger_z"), _CorrelationTest(math.nan, math.nan))
    return {test.__name__: test(*correlations, len(gold)) for test in (williams_t, steiger_z)}


def _fisher(correlation: float) -> float:
    """Fisher's z; infinite for 1 and -1."""
    return math.atanh(correlation) if abs(correlation) < 1 else math.copysign(math.inf, correlation)


def _ratio(difference: float, variance: float) -> float:
    """The difference in standard deviations; infinite without variance."""
    return difference / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, difference)
