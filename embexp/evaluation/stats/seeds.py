"""Confidence intervals for a configuration trained with several seeds: over other seeds and other examples.

A score varies for two reasons: other examples could have been sampled, and another seed would have trained another
model. Resampling the examples shows only the first. Two runs of one configuration with different seeds *do* differ,
and enough examples show it; this says nothing about the configuration. So a cell, all runs of one configuration, gets
an interval for its mean over all possible seeds and examples. The variance of a mean of k runs is

    (v - i / k) + s^2 / k

where v is its variance over resamples of the examples (the same ones for all runs), s^2 is the variance between the
runs' scores, and i is the part of s^2 that comes from the sampled examples; v contains it as well, and the resamples
show it. For the difference of two cells the terms of both add up. Two or three seeds hardly determine a variance, and
treating it as known would make intervals far too short. So each part has its own Student's t, and the half-widths of
both add up in squares:

    half^2 = t(units - 1)^2 (v - i / k) + t(degrees of the seeds)^2 s^2 / k

(Howe 1974, "Approximate confidence limits on the mean of X + Y where X and Y are two tabled independent random
variables", J. Am. Stat. Assoc. 69, 789-794; Zou & Donner 2008, "Construction of confidence limits about effect
measures", Statist. Med. 27, 1693-1702). One t with degrees of freedom for the sum is shorter, but it takes a small s^2
by chance for many degrees of freedom. With two degrees of freedom between seeds and an error of 5 % it misses up to
7.8 % by Satterthwaite's degrees (one: 12.6 %), up to 5.8 % by their harmonic mean (9.4 %); at 0.1 %, which a gate needs
after a few looks, 1.6 and 0.8 %. The sum of squares misses at most the nominal error, at any level and for any shares
of the two parts. It is 17 % wider than the harmonic mean's with two degrees of freedom and equal shares, 3 % with four.
No interval is shorter than the one over examples alone, even where two seeds happen to agree.

s^2 is pooled over the compared cells (and others of the same table, if given), as in Student's test: two seeds alone
say almost nothing (t is 12.7 with one degree of freedom, 4.3 with two, 2.8 with four). The intervals still hold where
the seeds of one configuration differ three times as much as those of the other: 94 of 100.

There is no hierarchical bootstrap (sample seeds, then examples): with k seeds it makes the variance of the seeds too
small by (k - 1) / k, and even corrected it treats it as known. It covers 80 of 100 for two seeds that move the score
by 1.5 points, 88 corrected; the t interval covers 95. tests/evaluation/stats/test_calibration.py has more figures.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

from embexp.evaluation.stats.paired_tests import interval_and_p
from embexp.evaluation.stats.resampling import Drawn, bootstrap_samples, observed_sample, widening

if TYPE_CHECKING:
    from embexp.evaluation.metrics import Statistic

LEVEL = 0.05


@dataclass(frozen=True)
class Cell:
    """One metric of all runs of a configuration, which differ only in their seeds, on the same examples.

    Attributes:
        values: of each run on all examples, `(seeds,)`.
        resampled: of each run in each resample of the examples, `(seeds, resamples)`.
        examples: how many there are; of groups, where these are drawn together.
        has_seed: False for a model without randomness, such as the untouched base.
        rows: how many rows these are.
        few: the number of units where they are so few that the interval is widened; 0: they are enough.
        least: half of an interval of a difference where no unit differs.
        too_few: there are so few that there is no interval.
    """

    values: numpy.ndarray
    resampled: numpy.ndarray
    examples: int
    has_seed: bool = True
    rows: int = 0
    few: int = 0
    least: float = 0.0
    too_few: bool = False

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def share(self) -> float:
        """The share of the variance between runs that is left in the mean of the cell."""
        return 1 / len(self.values) if self.has_seed else 0.0

    @property
    def rows_per_unit(self) -> float:
        """1 where each row is a unit."""
        return self.rows / self.examples if self.rows else 1.0


@dataclass(frozen=True)
class _CellSummary:
    """A cell's score, with the ends of the 95 % interval of its mean."""

    mean: float
    std: float  # of the runs' scores; nan for a single run
    low: float
    high: float
    lacks_seeds: bool  # the interval covers examples only, since the variance between seeds is unknown


class Parts(NamedTuple):
    """The variance of a difference by its two sources, each with its degrees of freedom; numbers or arrays of them."""

    of_examples: Any = 1.0
    degrees_of_examples: float = math.inf
    of_seeds: Any = 0.0
    degrees_of_seeds: float = math.inf

    def half_width(self, level: float = LEVEL) -> Any:
        """Half of the interval with this error.

        >>> [round(float(parts.half_width()), 2) for parts in (Parts(), Parts(0.5, 999, 0.5, 2), Parts(0, 999, 1, 2))]
        [1.96, 3.34, 4.3]
        """
        squares = self.of_examples * _quantile(level, self.degrees_of_examples) ** 2
        return numpy.sqrt(squares + self.of_seeds * _quantile(level, self.degrees_of_seeds) ** 2)

    def p(self, reach: float) -> float:
        """The error of the interval with this half-width; nan where nothing varies.

        >>> parts = Parts(0.5, 999, 0.5, 2)
        >>> [round(parts.p(parts.half_width(level)), 6) for level in (0.5, 0.05, 1e-6)]
        [0.5, 0.05, 1e-06]
        """
        from scipy.optimize import brentq
        from scipy.stats import t

        of_parts = self.of_examples, self.of_seeds
        degrees = self.degrees_of_examples, self.degrees_of_seeds
        if not sum(of_parts) > 0 or math.isnan(reach):
            return math.nan

        def p_of(variances: tuple[float, float]) -> float:
            """The larger p of both degrees, were these the whole variance."""
            known = [(reach / math.sqrt(each), free) for each, free in zip(variances, degrees, strict=True) if each]
            return max(1e-300, *(float(2 * t.sf(*each)) for each in known))

        def beyond(logarithm: float) -> float:
            return float(self.half_width(math.exp(logarithm))) - reach

        least = p_of(of_parts)
        if 0 in of_parts:
            return least
        ends = math.log(least), math.log(p_of((sum(of_parts),) * 2))
        return math.exp(brentq(beyond, *ends)) if beyond(ends[0]) > 0 > beyond(ends[1]) else math.exp(ends[1])


@functools.lru_cache(2**12)
def _quantile(level: float, degrees: float) -> float:
    """The quantile of the t distribution that so much lies beyond, on both sides together.

    It is asked thousands of times with the same numbers: what would decide each cell of a leaderboard.
    """
    from scipy.stats import t

    return float(t.isf(level / 2, degrees))


_EXAMPLES_ALONE = Parts()


@dataclass(frozen=True)
class Interval:
    """A difference with the ends of its 95 % interval, and the parts of its variance, of which the shares count."""

    value: float
    low: float
    high: float
    parts: Parts = _EXAMPLES_ALONE

    def at(self, level: float) -> tuple[float, float]:
        """The ends of the interval with this error: that of 95 %, stretched about the value as `Parts.half_width` is.

        The resamples themselves show no errors of less than one in as many as there are.

        >>> found = Interval(0.5, 0.4, 0.7, Parts(degrees_of_examples=10))
        >>> [round(end, 3) for end in (*found.at(0.05), *found.at(0.001))]
        [0.4, 0.7, 0.294, 0.912]
        """
        if level == LEVEL:
            return self.low, self.high
        stretch = float(self.parts.half_width(level) / self.parts.half_width())
        centre = self._centre
        return centre - stretch * (centre - self.low), centre + stretch * (self.high - centre)

    @property
    def p(self) -> float:
        """Of no difference, two-sided: the error of the interval that has an end at zero; nan without an interval.

        >>> found = Interval(0.5, 0.4, 0.7, Parts(degrees_of_examples=10))
        >>> [round(abs(end), 6) for end in found.at(found.p)]
        [0.0, 1.5]
        """
        if math.isnan(self.low) or math.isnan(self.high):
            return math.nan
        centre = self._centre
        half = centre - self.low if centre > 0 else self.high - centre
        return self.parts.p(abs(centre) / half * float(self.parts.half_width())) if half > 0 else float(centre == 0)

    @property
    def _centre(self) -> float:
        """The value; where it lies outside of the interval (resamples may all be above it) the middle."""
        return self.value if self.low < self.value < self.high else (self.low + self.high) / 2


@dataclass(frozen=True)
class _CellDifference:
    """The mean of the second cell minus that of the first, with the ends of the 95 % interval."""

    value: float
    low: float
    high: float
    p: float  # of no difference, two-sided
    lacks_seeds: bool  # as in _CellSummary: another seed may change the verdict
    p_of_seeds: float = 0.0  # by Student's t over seeds and examples; 0 if the variance between seeds is unknown
    parts: Parts = _EXAMPLES_ALONE  # of the variance

    @property
    def interval(self) -> Interval:
        return Interval(self.value, self.low, self.high, self.parts)

    def at(self, level: float) -> tuple[float, float]:
        """The ends of the interval with this error."""
        return self.interval.at(level)


def resample_cells(
    cells: Sequence[Sequence["Statistic"]], examples: int, resamples: int, seed: int = 0, drawn: Drawn | None = None
) -> list[Cell]:
    """Cells from the statistics of their runs, all on the same resamples, so that any two can be compared.

    For an untouched model use `dataclasses.replace(cell, has_seed=False)`.

    Args:
        drawn: which examples are drawn together; None: each by itself.
    """
    drawn = drawn or Drawn(examples)
    runs = [statistic for cell in cells for statistic in cell]
    values = numpy.concatenate([run(observed_sample(examples)) for run in runs])
    sampled = [
        numpy.stack([run(sample) for run in runs])
        for sample in bootstrap_samples(examples, resamples, seed, drawn.groups)
    ]
    resampled = numpy.concatenate(sampled, axis=1)
    ends = numpy.cumsum([len(cell) for cell in cells])
    return [
        Cell(
            values[end - len(cell) : end],
            resampled[end - len(cell) : end],
            drawn.units,
            rows=examples,
            few=drawn.few,
            least=drawn.least,
            too_few=drawn.too_few,
        )
        for cell, end in zip(cells, ends, strict=True)
    ]


def cell_summary(cell: Cell, others: Sequence[Cell] = ()) -> _CellSummary:
    """Mean, standard deviation and interval of a cell.

    Args:
        others: cells whose variance between seeds is about the same as that of this one.
    """
    std = float(cell.values.std(ddof=1)) if len(cell.values) > 1 else math.nan
    found = _estimate(cell.mean, cell.resampled.mean(axis=0), [cell], others)
    return _CellSummary(cell.mean, std, found.low, found.high, found.lacks_seeds)


def cell_difference(first: Cell, second: Cell, others: Sequence[Cell] = ()) -> _CellDifference:
    """The difference of two cells on the same resamples, with an interval for other seeds and other examples.

    Args:
        others: as in cell_summary. With them even two single runs can be compared as configurations.
    """
    resampled = second.resampled.mean(axis=0) - first.resampled.mean(axis=0)
    return _estimate(second.mean - first.mean, resampled, [first, second], others)


def _estimate(value: float, resampled: numpy.ndarray, cells: list[Cell], others: Sequence[Cell]) -> _CellDifference:
    """A mean, or a difference of means, `value`, with its interval and p."""
    low, high, p = interval_and_p(value, resampled, cells[0].few, cells[0].least)
    share = sum(cell.share for cell in cells)
    spread = seed_spread([*{id(cell): cell for cell in [*cells, *others]}.values()])  # each counts once
    if cells[0].too_few:
        return _CellDifference(value, math.nan, math.nan, math.nan, lacks_seeds=share > 0 and spread is None)
    few = cells[0].few
    of_examples = Parts(degrees_of_examples=(few or cells[0].examples) - 1)
    if share == 0 or spread is None or math.isnan(value):
        return _CellDifference(value, low, high, p, lacks_seeds=share > 0, parts=of_examples)
    shown = max(0.0, float(numpy.nanvar(resampled, ddof=1)) - share * spread.of_examples)
    parts = of_examples._replace(
        of_examples=shown * (widening(few)[1] ** 2 if few else 1),
        of_seeds=share * spread.variance,
        degrees_of_seeds=spread.degrees,
    )
    if parts.of_seeds == 0:  # all runs agree: the interval over examples is the longer one
        return _CellDifference(value, low, high, p, lacks_seeds=False, parts=of_examples)
    half, p_of_t = float(parts.half_width()), parts.p(abs(value))
    low, high = min(low, value - half), max(high, value + half)
    return _CellDifference(value, low, high, max(p, p_of_t), lacks_seeds=False, p_of_seeds=p_of_t, parts=parts)


class _SeedSpread(NamedTuple):
    """The variance between runs of a cell, pooled over cells; the part of it that comes from the sampled examples."""

    variance: float
    of_examples: float
    degrees: int  # of freedom


def seed_spread(cells: Sequence[Cell]) -> _SeedSpread | None:
    """None if no cell has two runs with different seeds."""
    known = [cell for cell in cells if cell.has_seed and len(cell.values) > 1 and not numpy.isnan(cell.values).any()]
    if not known:
        return None
    degrees = [len(cell.values) - 1 for cell in known]
    variance = numpy.average([cell.values.var(ddof=1) for cell in known], weights=degrees)
    apart = [cell.resampled - cell.resampled.mean(axis=0) for cell in known]  # examples move one run but not the next
    moved = [float(numpy.nanvar(each, axis=1, ddof=1).sum() / (len(each) - 1)) for each in apart]
    return _SeedSpread(float(variance), float(numpy.average(moved, weights=degrees)), sum(degrees))
