"""Power: which difference so many examples and seeds can show, and how many of them show a wanted one.

The interval of `seeds.py` is followed step by step, not approximated by a normal one: its half-width depends on the
variance that the seeds happen to show, which is chi-squared, and on its degrees of freedom. The power is the mean over
that distribution of how often the interval lies where the verdict is given (Cohen 1988, "Statistical power analysis
for the behavioral sciences"; Card et al. 2020, "With little power comes great responsibility", arXiv:2010.06595, on
texts). tests/evaluation/stats/test_power_analysis.py compares it with simulated verdicts: within 5 points in 20
settings.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy

from embexp.evaluation.stats.resampling import widening
from embexp.evaluation.stats.seeds import LEVEL, Cell, Parts, seed_spread

POWER = 0.8  # the share of cases in which a difference shall be shown
MOST_EXAMPLES, MOST_SEEDS = 10**8, 1000  # beyond these nothing is looked for
# Where nothing was measured: seeds move scores by 0.3 to 1.5 points in published work, of which this is the geometric
# mean; and the errors of two models on one example go together.
DEFAULT_SEED_STD, DEFAULT_CORRELATION = 0.007, 0.8
_QUANTILES = 64  # points of the distribution of a variance


@dataclass(frozen=True)
class Variances:
    """What makes the difference of two mean scores vary.

    Attributes:
        examples: its variance over samples of the examples, times their number; all seeds share it.
        seeds: between runs of one configuration, were there examples without end.
        mixed: between such runs, what the sampled examples add, times their number.
    """

    examples: float
    seeds: float = 0.0
    mixed: float = 0.0


@dataclass(frozen=True)
class Design:
    """How much is evaluated.

    Attributes:
        examples: their number; of groups where these are drawn together.
        seeds: of the first side and of the second; 0 of a model without randomness, such as the untouched one.
        more_degrees: of freedom of the seeds' variance, from other runs of the same table.
        few: the number of units, or of the rarer class, where the interval is that of few; it grows with the examples.
    """

    examples: int
    seeds: tuple[int, int] = (0, 1)
    more_degrees: int = 0
    few: int = 0

    @property
    def share(self) -> float:
        """The share of the variance between runs that is left in the difference."""
        return sum(1 / number for number in self.seeds if number)

    @property
    def degrees(self) -> int:
        """Of freedom of the variance between seeds; 0: unknown, so that the interval holds the examples only."""
        return sum(number - 1 for number in self.seeds if number) + self.more_degrees

    def with_examples(self, number: int) -> "Design":
        few = max(2, round(self.few * number / self.examples)) if self.few else 0
        return replace(self, examples=number, few=few)

    def with_seeds(self, number: int) -> "Design":
        """The same with so many seeds of each side that has any."""
        return replace(self, seeds=tuple(number if each else 0 for each in self.seeds))


@dataclass(frozen=True)
class Prospect:
    """What a design will show of differences with these variances.

    Attributes:
        margin: the smallest difference worth having; a difference shown within it is `equal`.
        level: of the interval's error, 0.05 for one of 95 %.
    """

    variances: Variances
    design: Design
    margin: float = 0.0
    level: float = LEVEL

    @property
    def error(self) -> float:
        """The standard error of the difference; with unknown seeds, that of the runs as they are."""
        design, found = self.design, self.variances
        of_seeds = found.mixed / design.examples + (found.seeds if design.degrees else 0.0)
        return math.sqrt(found.examples / design.examples + design.share * of_seeds)

    @cached_property
    def half_widths(self) -> numpy.ndarray:
        """Of the interval, at even steps of the distribution of the variance that the seeds show."""
        from scipy.stats import norm, t

        design, found = self.design, self.variances
        of_examples = found.examples / design.examples
        shown = math.sqrt(of_examples + design.share * found.mixed / design.examples)  # by resamples of the examples
        quantile = t.isf(self.level / 2, design.few - 1) if design.few else norm.isf(self.level / 2)
        shortest = quantile * shown
        between = design.share * (found.seeds + found.mixed / design.examples)
        if not design.degrees or not between:
            return numpy.array([shortest])
        of_seeds = between * _shown_of_seeds(design.degrees)
        parts = Parts(of_examples, (design.few or design.examples) - 1, of_seeds, design.degrees)
        return numpy.maximum(shortest, parts.half_width(self.level))

    @property
    def half_width(self) -> float:
        """The expected half of the interval's width."""
        return float(self.half_widths.mean())

    def better(self, difference: float) -> float:
        """How often a true difference comes out as better: the interval is above zero and not within the margin.

        >>> round(Prospect(Variances(examples=0.25), Design(400)).better(0.07), 2)
        0.8
        """
        least = numpy.maximum(self.half_widths, self.margin - self.half_widths)
        return self._above(difference - least)

    def equal(self, difference: float = 0.0) -> float:
        """How often it comes out as equal within the margin: the whole interval lies inside."""
        room = self.margin - self.half_widths
        inside = room[room > 0]
        share = len(inside) / len(room)
        return (
            share * max(0.0, self._above(inside - difference) + self._above(inside + difference) - 1) if share else 0.0
        )

    def _above(self, values: numpy.ndarray) -> float:
        """How often a normal number with the standard error and the mean `values` is above zero, on average."""
        from scipy.stats import norm

        return float(norm.cdf(values / self.error).mean()) if self.error else float((values > 0).mean())

    def smallest_difference(self) -> float:
        """The smallest true difference that comes out as better in 80 % of cases."""
        low, high = 0.0, max(10 * self.half_width, 2 * self.margin, 1e-9)
        while self.better(high) < POWER:
            high *= 2
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if self.better(middle) >= POWER else (middle, high)
        return high


@functools.cache
def _shown_of_seeds(degrees: int) -> numpy.ndarray:
    """What part of their variance seeds show, at even steps of its distribution."""
    from scipy.stats import chi2

    return chi2.ppf((numpy.arange(_QUANTILES) + 0.5) / _QUANTILES, degrees) / degrees


class Needed(NamedTuple):
    """The smallest numbers, the other one as it is, that do in 80 % of cases; None where no number does."""

    examples: int | None
    seeds: int | None


def needed_to_show(prospect: Prospect, difference: float) -> Needed:
    """How many examples, or how many seeds, show a true difference as better.

    >>> needed_to_show(Prospect(Variances(0.05, seeds=0.00005), Design(400, (3, 3))), 0.04)
    Needed(examples=344, seeds=3)
    """
    return _needed(prospect, lambda each: each.better(difference))


def needed_for_equal(prospect: Prospect) -> Needed:
    """How many examples, or how many seeds, show two equal models as equal within the margin."""
    return _needed(prospect, lambda each: each.equal())


class Deciding(NamedTuple):
    """What more, the other one as it is, would decide in 80 % of cases.

    Attributes:
        difference: that would be shown; the margin.
        is_equal: a difference of the margin would be shown by now: what more would show two equal models as equal.
        times: as many examples as there are; None where no number does.
        seeds: more of them on each side that has any; None likewise, and where nothing is known of seeds.
        sides: how many have seeds.
    """

    difference: float
    is_equal: bool
    times: float | None
    seeds: int | None
    sides: int


def what_decides(prospect: Prospect) -> Deciding | None:
    """What would decide a difference that is undecided; None without a margin, where nothing varies, and where so much
    decides in 80 % of cases already.

    >>> what_decides(Prospect(Variances(0.05, seeds=0.00005, mixed=0.02), Design(300, (0, 3)), margin=0.04))
    Deciding(difference=0.04, is_equal=False, times=1.8, seeds=3, sides=1)
    """
    design, margin = prospect.design, prospect.margin
    if not (margin > 0 and prospect.error > 0) or prospect.equal() >= POWER:
        return None
    is_equal = prospect.better(margin) >= POWER
    needed = needed_for_equal(prospect) if is_equal else needed_to_show(prospect, margin)
    present = [number for number in design.seeds if number]
    times = None if needed.examples is None else needed.examples / design.examples
    seeds = max(1, needed.seeds - min(present)) if needed.seeds and design.degrees else None
    return Deciding(margin, is_equal, times, seeds, len(present))


def _needed(prospect: Prospect, chance: Callable[[Prospect], float]) -> Needed:
    design = prospect.design

    def does(changed: Design) -> bool:
        return chance(replace(prospect, design=changed)) >= POWER

    examples = _least(lambda number: does(design.with_examples(number)), 2, MOST_EXAMPLES)
    # From two on: one seed shows nothing of what another would do.
    seeds = _least(lambda number: does(design.with_seeds(number)), 2, MOST_SEEDS) if any(design.seeds) else None
    return Needed(examples, seeds)


def _least(does: Callable[[int], bool], low: int, most: int) -> int | None:
    """The smallest number from `low` on that does, where all larger ones do, too."""
    if does(low):
        return low
    high = low * 2
    while not does(min(high, most)):
        if high >= most:
            return None
        low, high = high, high * 2
    high = min(high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if does(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class Measured:
    """Variances as runs show them.

    Attributes:
        has_seeds: whether the variance between seeds was measured; else it is a default.
    """

    variances: Variances
    has_seeds: bool


def measured_variances(first: Cell, second: Cell, others: Sequence[Cell] = ()) -> Measured:
    """The variances of the difference of two cells on the same resamples.

    Args:
        others: cells whose variance between seeds is about the same.
    """
    number = first.examples
    if first.too_few:
        return Measured(Variances(math.nan), False)
    shown = float(numpy.nanvar(second.resampled.mean(axis=0) - first.resampled.mean(axis=0), ddof=1))
    shown *= widening(first.few or max(2, number))[1] ** 2  # resamples of n units have a variance too small
    spread = seed_spread([*{id(cell): cell for cell in (first, second, *others)}.values()])
    if spread is None:
        has_seeds = first.share + second.share == 0
        return Measured(Variances(shown * number, 0.0 if has_seeds else DEFAULT_SEED_STD**2), has_seeds)
    of_examples = max(0.0, shown - (first.share + second.share) * spread.of_examples)
    seeds = max(0.0, spread.variance - spread.of_examples)
    return Measured(Variances(of_examples * number, seeds, spread.of_examples * number), True)


def design_of(first: Cell, second: Cell, others: Sequence[Cell] = ()) -> Design:
    """How much two cells evaluate; the arguments are those of `measured_variances`."""
    seeds = tuple(len(cell.values) if cell.has_seed else 0 for cell in (first, second))
    pooled = {id(cell): len(cell.values) - 1 for cell in others if cell.has_seed}
    more = sum(degrees for key, degrees in pooled.items() if key not in (id(first), id(second)))
    return Design(first.examples, seeds, more, first.few)


def rows_of(units: int | None, rows_per_unit: float) -> int | None:
    """How many rows so many units have, as far as they are like those that there are.

    >>> rows_of(350, 6.1), rows_of(None, 6.1)
    (2135, None)
    """
    return None if units is None else math.ceil(units * rows_per_unit - 1e-9)


def assumed_variances(half_width: float, examples: int) -> Variances:
    """The variances of a difference from the interval of one model's own score, by the defaults for all else.

    Args:
        half_width: of the 95 % interval of the untouched model's score on so many examples.
    """
    of_score = (half_width / 1.959964) ** 2 * examples
    return Variances(2 * of_score * (1 - DEFAULT_CORRELATION), DEFAULT_SEED_STD**2)
