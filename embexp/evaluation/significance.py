"""How sure we are: the paired bootstrap of a difference between two models on the same examples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embexp.evaluation.resampling import draws

if TYPE_CHECKING:
    import numpy

    from embexp.evaluation.measures import Statistic

INTERVAL = (2.5, 97.5)  # percentiles: the ends of a 95 % interval


def bootstrap_differences(
    compared: Sequence[tuple["Statistic", "Statistic"]], examples: int, resamples: int, seed: int = 0
) -> list["numpy.ndarray"]:
    """Second minus first of each pair of statistics in every resample, `(resamples,)` each.

    Examples are drawn with replacement, the same ones for both models and all that is compared (Efron & Tibshirani
    1993); ranks and thresholds are taken anew in every resample. What varies is the examples only: two runs of one
    configuration with different seeds do differ, by what their seeds made of them, and more examples show it better.
    Whether configurations differ needs several runs of each: see `seeds.py`.
    """
    import numpy

    found: list[list[numpy.ndarray]] = [[] for _ in compared]
    for draw in draws(examples, resamples, seed):
        for differences, (first, second) in zip(found, compared, strict=True):
            differences.append(second(draw) - first(draw))
    return [numpy.concatenate(differences) for differences in found]


def interval_of(differences: "numpy.ndarray") -> tuple[float, float]:
    """The 95 % percentile interval; resamples in which the statistic does not exist are left out.

    Of R resamples the ends are the R + 1 times 0.025th and 0.975th in order (Davison & Hinkley 1997, section 5.3).
    """
    import numpy

    if numpy.isnan(differences).all():
        return float("nan"), float("nan")
    low, high = numpy.nanpercentile(differences, INTERVAL, method="weibull")
    return float(low), float(high)


def p_value_of(differences: "numpy.ndarray") -> float:
    """Two-sided p of no difference: 1 minus the level of the percentile interval that has an end at zero.

    So p is below 0.05 where zero is outside `interval_of`, and only there. It is about twice the share of resamples on
    the rarer side of zero, where those at zero count for either side. The smallest one is 2 / (resamples + 1): so many
    cannot show less, which matters when it is multiplied for many comparisons.
    """
    import numpy

    known = numpy.sort(differences[~numpy.isnan(differences)])
    if not len(known):
        return float("nan")
    rarer = min(_place_of_zero(known), _place_of_zero(-known[::-1]))
    return float(min(1.0, 2 * rarer / (len(known) + 1)))


def _place_of_zero(ordered: "numpy.ndarray") -> float:
    """The place, from 1, up to which values are not above zero; half way between two values lies half a place."""
    import numpy

    number = int(numpy.searchsorted(ordered, 0, side="right"))
    if number in (0, len(ordered)):
        return max(number, 1)
    below, above = ordered[number - 1], ordered[number]
    return number + below / (below - above)
