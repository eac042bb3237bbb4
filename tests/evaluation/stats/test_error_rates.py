"""How often verdicts are wrong: pairs from 20 to 1,500, one to five seeds; equal models, and models that are the margin
apart; several verdicts in one table. `python <this file>` prints the figures of docs/error-rates.md.
"""

import math
import sys

import numpy
import pytest
from conftest import thinned

from embexp.evaluation.metrics import Measure
from embexp.evaluation.scores import Scores, compare
from embexp.evaluation.stats.multiple_comparisons import correct_verdicts
from embexp.evaluation.stats.seeds import Interval, Parts, cell_difference
from embexp.evaluation.stats.verdicts import verdict
from embexp.experiment.sides import cells_of

SPEARMAN = 0.8  # of the worse model, on pairs without end
SHARED, OF_SEEDS = 0.85, 0.05  # of the noise's variance: what all models share, what each run has of its own
SPREAD = 0.05  # standard deviation of the noise's size between runs: about 1.4 points of Spearman, as much as seeds do


def runs_of(random, pairs, seeds, gap=0.0):
    """The runs of two configurations on the same pairs; the second one's Spearman correlation is higher by `gap`."""
    gold, shared = random.normal(size=(2, pairs))
    sides = []
    for spearman in (SPEARMAN, SPEARMAN + gap):
        pearson = 2 * math.sin(math.pi * spearman / 6)  # of normal values
        size, own, runs = math.sqrt(pearson**-2 - 1), random.normal(size=pairs), []
        for _ in range(seeds):
            noise = SHARED**0.5 * shared + (1 - SHARED - OF_SEEDS) ** 0.5 * own
            noise += OF_SEEDS**0.5 * random.normal(size=pairs)
            # One run on each side: the verdict is about these two models, which then must be equal themselves.
            runs.append(gold + size * (1 + SPREAD * random.normal() * (seeds > 1)) * noise)
        sides.append(runs)
    return gold, sides


def verdict_of(random, pairs, seeds, gap=0.0, margin=0.0, resamples=400):
    """The verdict on two such configurations, by what `embexp.compare` and a run call."""
    gold, sides = runs_of(random, pairs, seeds, gap)
    measure = Measure("spearman_cosine", "spearman", "cosine", "gold")
    examples = {"id": [f"test-{place}" for place in range(pairs)], "gold": gold}
    scores = tuple(
        [Scores("test", examples, {"cosine": run}, {"spearman_cosine": 0.0}, (measure,)) for run in runs]
        for runs in sides
    )
    found = cell_difference(*cells_of(measure, scores, resamples))
    return verdict(found.low, found.high, margin)


def share_of(wrong, cases, random, *setting, **more):
    """How often, in percent, one of these verdicts comes out."""
    found = [verdict_of(random, *setting, **more) for _ in range(cases)]
    return 100 * sum(each.startswith(wrong) for each in found) / cases


SIZES, SEEDS = (20, 50, 150, 500, 1500), (1, 2, 3, 5)
# Pairs, seeds and a margin that is wide enough for the interval to lie within it.
GAPS = ((300, 1, 0.05), (1500, 1, 0.02), (1500, 2, 0.1), (1500, 3, 0.05), (1500, 5, 0.03))


def bound(percent, cases):
    """The percentage and three standard errors."""
    share = percent / 100
    return percent + 300 * (share * (1 - share) / cases) ** 0.5


CASES = {20: 200, 50: 200, 150: 150, 500: 80, 1500: 50}  # in the slow lane
IN_BOTH_LANES = [(20, 1, 60), (50, 2, 60), (150, 3, 40)]
IN_FULL = thinned([(size, number, CASES[size]) for size in SIZES for number in SEEDS], 3, pytest.mark.slow)


@pytest.mark.parametrize(("pairs", "seeds", "cases"), IN_BOTH_LANES + IN_FULL)
def test_equal_configurations_are_told_apart_in_at_most_6_of_100_cases(pairs, seeds, cases):
    random = numpy.random.default_rng([1, pairs, seeds])
    assert share_of(("better", "worse"), cases, random, pairs, seeds, resamples=200) <= bound(6, cases)


@pytest.mark.slow
def test_such_a_share_would_be_larger_if_the_variance_between_two_seeds_were_taken_as_known(monkeypatch):
    wide = Parts.half_width
    monkeypatch.setattr(Parts, "half_width", lambda each, level=0.05: wide(each._replace(degrees_of_seeds=999), level))
    random = numpy.random.default_rng(4)
    assert share_of(("better", "worse"), 300, random, 1500, 2, resamples=100) > bound(6, 300)


@pytest.mark.slow
@pytest.mark.parametrize(("pairs", "seeds", "gap"), thinned(GAPS, 2))
def test_configurations_that_are_the_margin_apart_are_called_equal_in_at_most_5_of_100_cases(pairs, seeds, gap):
    random = numpy.random.default_rng([2, pairs, seeds])
    assert share_of("equal", 50, random, pairs, seeds, gap, gap, resamples=200) <= bound(5, 50)


def tables_with(wrong, tables, random, cells, truth, margin, error=1.0):
    """The share of tables, in percent, of as many cells of this true difference, in which a verdict is wrong."""
    found = 0
    for _ in range(tables):
        values = truth + error * random.normal(size=cells)
        intervals = [Interval(value, value - 1.959964 * error, value + 1.959964 * error) for value in values]
        found += any(each.verdict.startswith(wrong) for each in correct_verdicts(intervals, [margin] * cells))
    return 100 * found / tables


@pytest.mark.parametrize(("cells", "tables"), [(2, 60), (10, 30), pytest.param(10, 300, marks=pytest.mark.slow)])
def test_a_table_of_equal_cells_seldom_has_a_wrong_verdict_and_one_of_cells_the_margin_away_neither(cells, tables):
    random = numpy.random.default_rng(cells)
    assert tables_with(("better", "worse"), tables, random, cells, 0.0, 0.0) <= bound(5, tables)
    assert tables_with(("better", "worse"), tables, random, cells, 0.0, 4.0) <= bound(5, tables)
    assert tables_with("equal", tables, random, cells, 8.0, 8.0) <= bound(5, tables)


def test_a_run_and_a_comparison_give_single_runs_the_same_interval():
    random = numpy.random.default_rng(0)
    gold, sides = runs_of(random, 60, 1)
    measure = Measure("spearman_cosine", "spearman", "cosine", "gold")
    examples = {"id": [f"test-{place}" for place in range(60)], "gold": gold}
    scores = [Scores("test", examples, {"cosine": run}, {"spearman_cosine": 0.1}, (measure,)) for (run,) in sides]
    (of_run,) = compare(*scores, 200)
    of_cells = cell_difference(*cells_of(measure, tuple([each] for each in scores), 200))
    assert (of_run.low, of_run.high) == pytest.approx((of_cells.low, of_cells.high))


if __name__ == "__main__":
    CASES = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for number in (10, *SIZES):
        for several in SEEDS:
            figure = share_of(
                ("better", "worse"), CASES, numpy.random.default_rng([1, number, several]), number, several
            )
            print(f"equal, {number} pairs, {several} seeds: {figure:.1f} % better or worse", flush=True)
    for number, several, apart in GAPS:
        generator = numpy.random.default_rng([2, number, several])
        figure = share_of("equal", CASES, generator, number, several, apart, apart)
        print(f"{apart} apart, {number} pairs, {several} seeds: {figure:.1f} % equal", flush=True)
    for number in (2, 10, 30):
        generator = numpy.random.default_rng(number)
        figures = (
            tables_with(("better", "worse"), CASES, generator, number, 0.0, 0.0),
            tables_with("equal", CASES, generator, number, 8.0, 8.0),
        )
        print(f"tables of {number}: {figures[0]:.1f} % better or worse, {figures[1]:.1f} % equal", flush=True)
