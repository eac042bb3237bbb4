"""Confidence intervals for a configuration trained with several seeds: over other seeds and other examples.

A score varies for two reasons: other examples could have been sampled, and another seed would have trained another
model. Resampling the examples shows only the first. Two runs of one configuration with different seeds *do* differ,
and enough examples show it; this says nothing about the configuration. So a cell, all runs of one configuration, gets
an interval for its mean over all possible seeds and examples. The variance of a mean of k runs is

    (v - i / k) + s^2 / k

where v is its variance over resamples of the examples (the same ones for all runs), s^2 is the variance between the
runs' scores, and i is the part of s^2 that comes from the sampled examples; v contains it as well, and the resamples
show it. For the difference of two cells the terms of both add up. The interval is Student's t, because two or three
seeds hardly determine a variance, and treating it as known would make intervals far too short. The degrees of freedom
are the harmonic mean of those of both parts, weighted by their variances. (Satterthwaite's squared weights cover up to
3 points of 95 too few with two degrees of freedom between seeds, 8 with one; the harmonic mean 1 and 5.) No interval
is shorter than the one over examples alone, even where two seeds happen to agree.

s^2 is pooled over the compared cells (and others of the same table, if given), as in Student's test: two seeds alone
say almost nothing (t is 12.7 with one degree of freedom, 4.3 with two, 2.8 with four). The intervals still hold where
the seeds of one configuration differ three times as much as those of the other: 94 of 100.

There is no hierarchical bootstrap (sample seeds, then examples): with k seeds it makes the variance of the seeds too
small by (k - 1) / k, and even corrected it treats it as known. It covers 80 of 100 for two seeds that move the score
by 1.5 points, 88 corrected; the t interval covers 95. tests/evaluation/stats/test_calibration.py has more figures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy

from embexp.evaluation.stats.paired_tests import interval_and_p
from embexp.evaluation.stats.resampling import Drawn, bootstrap_samples, observed_sample

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
        few: the number of units where they are so few that the interval is widened; 0: they are enough.
        least: half of an interval of a difference where no unit differs.
        too_few: there are so few that there is no interval.
    """

    values: numpy.ndarray
    resampled: numpy.ndarray
    examples: int
    has_seed: bool = True
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


@dataclass(frozen=True)
class _CellSummary:
    """A cell's score, with the ends of the 95 % interval of its mean."""

    mean: float
    std: float  # of the runs' scores; nan for a single run
    low: float
    high: float
    lacks_seeds: bool  # the interval covers examples only, since the variance between seeds is unknown


@dataclass(frozen=True)
class Interval:
    """A difference with the ends of its 95 % interval, which Student's t of so many degrees of freedom made."""

    value: float
    low: float
    high: float
    degrees: float = math.inf

    def at(self, level: float) -> tuple[float, float]:
        """The ends of the interval with this error: that of 95 %, stretched about the value as Student's t is.

        The resamples themselves show no errors of less than one in as many as there are.

        >>> found = Interval(0.5, 0.4, 0.7, degrees=10)
        >>> [round(end, 3) for end in (*found.at(0.05), *found.at(0.001))]
        [0.4, 0.7, 0.294, 0.912]
        """
        from scipy.stats import t

        if level == LEVEL:
            return self.low, self.high
        stretch = float(t.ppf(1 - level / 2, self.degrees) / t.ppf(1 - LEVEL / 2, self.degrees))
        centre = self._centre
        return centre - stretch * (centre - self.low), centre + stretch * (self.high - centre)

    @property
    def p(self) -> float:
        """Of no difference, two-sided: the error of the interval that has an end at zero; nan without an interval.

        >>> found = Interval(0.5, 0.4, 0.7, degrees=10)
        >>> [round(abs(end), 6) for end in found.at(found.p)]
        [0.0, 1.5]
        """
        from scipy.stats import t

        if math.isnan(self.low) or math.isnan(self.high):
            return math.nan
        centre = self._centre
        half = centre - self.low if centre > 0 else self.high - centre
        if half <= 0:
            return float(centre == 0)
        stretch = abs(centre) / half
        return float(2 * t.sf(stretch * t.ppf(1 - LEVEL / 2, self.degrees), self.degrees))

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
    degrees: float = math.inf  # of freedom of Student's t that the interval is made with

    @property
    def interval(self) -> Interval:
        return Interval(self.value, self.low, self.high, self.degrees)

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
    if share == 0 or spread is None or math.isnan(value):
        units = cells[0].few or cells[0].examples
        return _CellDifference(value, low, high, p, lacks_seeds=share > 0, degrees=units - 1)
    half, p_of_t, degrees = _students(value, resampled, share, spread, cells[0].examples)
    low, high = min(low, value - half), max(high, value + half)
    return _CellDifference(value, low, high, max(p, p_of_t), lacks_seeds=False, p_of_seeds=p_of_t, degrees=degrees)


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


def _students(
    value: float, resampled: numpy.ndarray, share: float, spread: _SeedSpread, examples: int
) -> tuple[float, float, float]:
    """Half of the width of Student's t interval, the p of no difference from zero, and the degrees of freedom."""
    from scipy.stats import t

    of_seeds = share * spread.variance
    of_examples = max(0.0, float(numpy.nanvar(resampled, ddof=1)) - share * spread.of_examples)
    if of_seeds == 0:
        return 0.0, 0.0, examples - 1  # all runs agree: the interval over examples is the longer one
    variance = of_examples + of_seeds
    degrees = variance / (of_examples / (examples - 1) + of_seeds / spread.degrees)
    error = math.sqrt(variance)
    return float(t.ppf(1 - LEVEL / 2, degrees) * error), float(2 * t.sf(abs(value) / error, degrees)), degrees
