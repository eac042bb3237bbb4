"""Several seeds of one configuration: intervals that one can compute by hand, and what they do not hold."""

import math
from dataclasses import replace
from functools import partial

import numpy
import pytest

from embexp.evaluation.metrics import STATISTICS, _Correlation, _Ranks
from embexp.evaluation.stats.paired_tests import bootstrap_differences, interval_of, p_value_of
from embexp.evaluation.stats.seeds import Cell, Parts, cell_difference, cell_summary, resample_cells

MANY = 20_000  # resamples
EXAMPLES = 500


def cell(values, of_cell=0.0, of_run=0.0, seed=0, common=0.0, has_seed=True) -> Cell:
    """A cell whose runs vary over resamples by a part that is common to its runs, and one of each run's own."""
    random = numpy.random.default_rng(seed)
    values = numpy.array(values, dtype=float)
    shared = common + of_cell * random.normal(size=MANY)
    own = of_run * random.normal(size=(len(values), MANY))
    return Cell(values, values[:, None] + shared + own, EXAMPLES, has_seed)


def test_the_summary_has_mean_and_standard_deviation_of_the_runs():
    found = cell_summary(cell([0.80, 0.82, 0.81]))
    assert (found.mean, found.std) == pytest.approx((0.81, 0.01))
    assert not found.lacks_seeds


def test_without_variation_of_examples_it_is_students_interval_of_the_mean():
    from scipy.stats import t

    values = [0.80, 0.82, 0.81, 0.85]
    found = cell_summary(cell(values))
    error = numpy.std(values, ddof=1) / 2
    assert (found.low, found.high) == pytest.approx(t.interval(0.95, 3, numpy.mean(values), error))


def test_without_variation_of_examples_the_difference_is_students_test_of_two_samples():
    from scipy.stats import ttest_ind

    first, second = [0.80, 0.82, 0.81], [0.84, 0.83]
    found, theirs = cell_difference(cell(first), cell(second)), ttest_ind(second, first)
    ends = theirs.confidence_interval(0.95)
    assert found.value == pytest.approx(0.025)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_the_variances_of_examples_and_seeds_add_up_and_what_is_in_both_counts_once():
    from scipy.stats import t

    one, other = [0.80, 0.82, 0.81, 0.79, 0.84], [0.83, 0.80, 0.81, 0.82, 0.825]
    first, second = cell(one, 0.008, 0.012, seed=1), cell(other, 0.008, 0.012, seed=2)
    of_seeds = (numpy.var(one, ddof=1) + numpy.var(other, ddof=1)) / 5
    of_examples = 2 * 0.008**2  # what is common to a cell's runs; what is each run's own is within the seeds' variance
    found = cell_difference(first, second)
    half = (of_examples * t.ppf(0.975, EXAMPLES - 1) ** 2 + of_seeds * t.ppf(0.975, 8) ** 2) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.005 - half, 0.005 + half), rel=0.015)
    assert found.p == pytest.approx(2 * t.sf(0.005 / (of_examples + of_seeds) ** 0.5, 60), rel=0.02)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.8, 0.95, 1])
@pytest.mark.parametrize("degrees", [1, 2, 4, 20])
@pytest.mark.parametrize("level", [0.05, 0.001, 1e-6])
def test_the_interval_misses_at_most_its_error_whatever_the_seeds_share_of_the_variance_is(share, degrees, level):
    from scipy.stats import chi2, norm

    found = chi2.ppf((numpy.arange(20_000) + 0.5) / 20_000, degrees) / degrees  # the variance that the seeds show
    halves = Parts(1 - share, math.inf, share * found, degrees).half_width(level)
    missed = 2 * norm.sf(halves).mean()
    assert 0 < missed <= level * 1.01
    one = Parts(1 - share, math.inf, share, degrees)
    assert one.p(float(one.half_width(level))) == pytest.approx(level, rel=1e-6)


def test_one_t_with_degrees_of_freedom_for_the_sum_would_miss_more():
    from scipy.stats import chi2, norm, t

    found = chi2.ppf((numpy.arange(20_000) + 0.5) / 20_000, 2) / 2 * 0.9
    halves = t.isf(0.0005, 2 * (0.1 + found) / found) * (0.1 + found) ** 0.5
    assert 2 * norm.sf(halves).mean() > 0.006


def test_variation_of_examples_that_both_cells_share_is_not_in_their_difference():
    shared = numpy.random.default_rng(9).normal(0, 0.02, MANY)
    first, second = cell([0.80, 0.82], common=shared), cell([0.83, 0.80], common=shared)
    without = cell_difference(cell([0.80, 0.82]), cell([0.83, 0.80]))
    assert cell_difference(first, second).low == pytest.approx(without.low)
    triple = [0.80, 0.82, 0.81]
    assert cell_summary(cell(triple, common=shared)).low < cell_summary(cell(triple)).low - 0.01


def test_two_seeds_that_agree_do_not_make_the_interval_shorter_than_that_of_the_examples():
    first, second = cell([0.8, 0.8], 0.01, seed=1), cell([0.82, 0.82], 0.01, seed=2)
    found = cell_difference(first, second)
    resampled = (second.resampled - first.resampled)[0]
    assert (found.low, found.high) == interval_of(resampled)
    assert found.p == p_value_of(resampled)


def test_the_untouched_base_has_no_seeds():
    from scipy.stats import t

    base, trained = cell([0.7], 0.01, has_seed=False, seed=1), cell([0.80, 0.83, 0.81], seed=2)
    found = cell_difference(base, trained)
    assert not found.lacks_seeds
    of_seeds = numpy.var([0.80, 0.83, 0.81], ddof=1) / 3
    half = (0.01**2 * t.ppf(0.975, EXAMPLES - 1) ** 2 + of_seeds * t.ppf(0.975, 2) ** 2) ** 0.5
    assert found.high - found.value == pytest.approx(half, rel=0.03)
    assert cell_summary(base).lacks_seeds is False
    assert cell_difference(base, replace(base, values=base.values + 1)).lacks_seeds is False


@pytest.mark.parametrize(("first", "second"), [([0.8], [0.82]), ([0.8], [0.82, 0.83])])
def test_with_single_runs_the_interval_holds_seeds_only_where_another_cell_tells_what_they_do(first, second):
    from scipy.stats import t

    found = cell_difference(cell(first, 0.001, seed=1), cell(second, 0.001, seed=2))
    assert found.lacks_seeds is (len(second) == 1)
    told = cell_difference(cell(first, seed=1), cell(second, seed=2), others=[cell([0.3, 0.32, 0.34])])
    assert not told.lacks_seeds
    degrees = 2 + len(second) - 1
    variance = (2 * 0.02**2 + sum((value - numpy.mean(second)) ** 2 for value in second)) / degrees
    half = t.ppf(0.975, degrees) * (variance * (1 + 1 / len(second))) ** 0.5
    assert told.high - told.value == pytest.approx(half)


def test_all_cells_of_a_table_may_be_given_as_others():
    table = [cell([0.8, 0.83, 0.82], 0.001, seed=1), cell([0.82, 0.81], 0.001, seed=2), cell([0.3, 0.34], seed=3)]
    assert cell_difference(table[0], table[1], others=table) == cell_difference(table[0], table[1], others=table[2:])
    assert cell_difference(table[0], table[1], others=table) != cell_difference(table[0], table[1])


def test_a_single_run_has_no_standard_deviation_and_the_interval_of_its_examples():
    alone = cell([0.8], 0.01)
    found = cell_summary(alone)
    assert math.isnan(found.std)
    assert found.lacks_seeds
    assert (found.low, found.high) == interval_of(alone.resampled[0])


def models(number, seed=4):
    random = numpy.random.default_rng(seed)
    gold = random.normal(size=60)
    return gold, [gold + random.normal(size=60) for _ in range(number)]


def test_single_runs_are_compared_as_runs_are():
    gold, (first, second) = models(2)
    ranks = _Ranks(gold)
    pair = [_Correlation(ranks, _Ranks(values)) for values in (first, second)]
    found = cell_difference(*resample_cells([[pair[0]], [pair[1]]], 60, 300, seed=5))
    (expected,) = bootstrap_differences([tuple(pair)], 60, 300, seed=5)
    assert (found.low, found.high) == pytest.approx(interval_of(expected))
    assert found.p == p_value_of(expected)
    assert found.lacks_seeds


def test_cells_are_taken_from_the_statistics_of_their_runs_on_the_same_resamples():
    gold, values = models(5)
    ranks = _Ranks(gold)
    runs = [_Correlation(ranks, _Ranks(each)) for each in values]
    first, second = resample_cells([runs[:2], runs[2:]], 60, 300, seed=1)
    assert (first.resampled.shape, second.resampled.shape) == ((2, 300), (3, 300))
    (again,) = resample_cells([runs[1:4]], 60, 300, seed=1)
    assert numpy.concatenate([first.resampled[1:], second.resampled[:2]]).tolist() == again.resampled.tolist()
    assert second.values == pytest.approx(numpy.concatenate([run(whole_of(60)) for run in runs[2:]]))
    assert second.examples == 60


def whole_of(examples):
    from embexp.evaluation.stats.resampling import observed_sample

    return observed_sample(examples)


def test_a_run_without_a_value_leaves_nothing_to_say():
    mean = partial(STATISTICS["mean"], None, None)
    broken = [mean(numpy.full(30, numpy.nan)), mean(numpy.ones(30))]
    first, second = resample_cells([broken, [mean(numpy.arange(30.0))] * 2], 30, 100)
    found = cell_difference(first, second)
    assert all(math.isnan(value) for value in (found.value, found.low, found.high, found.p))
    assert not math.isnan(cell_summary(second).low)
    assert not math.isnan(cell_difference(second, second, others=[first]).low)


def test_the_mirror_of_a_difference_is_its_negative():
    first, second = cell([0.80, 0.82], 0.004, 0.006, seed=1), cell([0.83, 0.80, 0.9], 0.004, 0.006, seed=2)
    one, other = cell_difference(first, second), cell_difference(second, first)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.p == pytest.approx(other.p)
