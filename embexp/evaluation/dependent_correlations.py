"""How sure we are without resampling: p of two Pearson correlations with the same gold scores being equal.

Both tests are for examples from a normal distribution, and for Pearson's correlation; the bootstrap needs neither.
Steiger (1980, "Tests for comparing elements of a correlation matrix", Psychological Bulletin 87, 245-251) recommends
Williams' t for this case and gives the Z that is named after him, which is nearly as good.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class CorrelationTest:
    """A test of no difference; positive where the second correlation is the higher one.

    Attributes:
        statistic: t or z.
        p: two-sided.
    """

    statistic: float
    p: float


def williams_t(first: float, second: float, between: float, examples: int) -> CorrelationTest:
    """Williams' t with n - 3 degrees of freedom (Williams 1959, "Regression analysis"; Steiger 1980, equation 7).

    >>> round(williams_t(0.4, 0.3, 0.5, 100).p, 4)  # Silver, Hittner & May 2006
    0.2843

    Args:
        first, second: correlations of both models with gold.
        between: correlation of the models with each other.
        examples: how many they were taken of; at least 4.
    """
    from scipy.stats import t

    if first == second:
        return CorrelationTest(0.0, 1.0)
    mean = (first + second) / 2
    determinant = 1 - first**2 - second**2 - between**2 + 2 * first * second * between
    spread = 2 * (examples - 1) / (examples - 3) * max(determinant, 0) + mean**2 * (1 - between) ** 3
    statistic = _ratio((second - first) * math.sqrt((examples - 1) * (1 + between)), spread)
    return CorrelationTest(statistic, float(2 * t.sf(abs(statistic), examples - 3)))


def steiger_z(first: float, second: float, between: float, examples: int) -> CorrelationTest:
    """Steiger's Z: Fisher's z of both, their covariance at the mean correlation (Steiger 1980, equations 10 and 14).

    >>> round(steiger_z(0.4, 0.3, 0.5, 100).p, 4)  # Silver, Hittner & May 2006
    0.2838

    Args:
        first, second: correlations of both models with gold.
        between: correlation of the models with each other.
        examples: how many they were taken of; at least 4.
    """
    from scipy.stats import norm

    if first == second:
        return CorrelationTest(0.0, 1.0)
    square = ((first + second) / 2) ** 2
    covariance = between * (1 - 2 * square) - square * (1 - 2 * square - between**2) / 2
    spread = 2 - 2 * covariance / (1 - square) ** 2
    statistic = _ratio((_fisher(second) - _fisher(first)) * math.sqrt(examples - 3), spread)
    return CorrelationTest(statistic, float(2 * norm.sf(abs(statistic))))


def compare_correlations(
    gold: "numpy.ndarray", first: "numpy.ndarray", second: "numpy.ndarray"
) -> dict[str, CorrelationTest]:
    """Both tests (`williams_t`, `steiger_z`) of two models' values, `(n,)` each; nan where one of them is constant."""
    import numpy

    with numpy.errstate(invalid="ignore", divide="ignore"):
        table = numpy.corrcoef([gold, first, second])
    correlations = float(table[0, 1]), float(table[0, 2]), float(table[1, 2])
    if any(math.isnan(each) for each in correlations):
        return dict.fromkeys(("williams_t", "steiger_z"), CorrelationTest(math.nan, math.nan))
    return {test.__name__: test(*correlations, len(gold)) for test in (williams_t, steiger_z)}


def _fisher(correlation: float) -> float:
    """Fisher's z; without any end for 1 and -1."""
    return math.atanh(correlation) if abs(correlation) < 1 else math.copysign(math.inf, correlation)


def _ratio(difference: float, variance: float) -> float:
    """The difference in standard deviations; without any end where there is no variance."""
    return difference / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, difference)
