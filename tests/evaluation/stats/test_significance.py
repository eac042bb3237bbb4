"""The paired bootstrap: the same intervals as a plain loop over resamples, and p values that agree with them."""

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score

from embexp.evaluation.metrics import Measure, Statistics
from embexp.evaluation.stats.paired_tests import bootstrap_differences, interval_of, p_value_of
from embexp.evaluation.stats.resampling import CHUNK

N = 40
OF_ROWS = {  # the same statistics of rows, as anyone would write them down
    "spearman": lambda gold, predicted: spearmanr(gold, predicted).statistic,
    "pearson": lambda gold, predicted: pearsonr(gold, predicted).statistic,
    "average_precision": lambda gold, predicted: average_precision_score(gold > 0.5, predicted),
    "macro_f1": lambda gold, predicted: f1_score(gold * 4, predicted.round() * 4, average="macro"),
    "mean": lambda gold, predicted: predicted.mean(),
}


def toy_scores(seed: int = 3) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Gold, a poor model and a better one, rounded so that all of them have ties."""
    draw = numpy.random.default_rng(seed)
    gold = draw.integers(0, 5, N) / 4
    base, trained = gold + draw.normal(0, 1.5, N), gold + draw.normal(0, 0.2, N)
    return gold, base.round(1), trained.round(1)


def statistics_of(name, gold, *models):
    """One statistic of several models on the same gold, as measures have it."""
    if name == "average_precision":
        gold = gold > 0.5
    if name == "macro_f1":
        gold, models = gold * 4, [values.round() * 4 for values in models]
    measure = Measure(name, name, "predicted", None if name == "mean" else "gold")
    statistics = Statistics()
    return [statistics.statistic_for(measure, {"gold": gold, "predicted": values}) for values in models]


def differences_of(name, gold, base, trained, resamples, seed=0):
    (found,) = bootstrap_differences([tuple(statistics_of(name, gold, base, trained))], N, resamples, seed)
    return found


def naive_differences(name, gold, base, trained, resamples, seed):
    draw, differences = numpy.random.default_rng(seed), []
    for _ in range(resamples):
        rows = draw.integers(0, len(gold), len(gold))
        before, after = (OF_ROWS[name](gold[rows], values[rows]) for values in (base, trained))
        differences.append(after - before)
    return differences


@pytest.mark.parametrize("name", OF_ROWS)
@pytest.mark.parametrize("resamples", [20, CHUNK + 30])
def test_the_differences_equal_those_of_a_loop_that_takes_everything_anew_in_every_resample(name, resamples):
    gold, base, trained = toy_scores()
    assert all(len(set(values)) < N for values in (gold, base, trained))
    expected = naive_differences(name, gold, base, trained, resamples, seed=7)
    found = differences_of(name, gold, base, trained, resamples, seed=7)
    assert found == pytest.approx(expected, abs=1e-9)
    assert interval_of(found) == pytest.approx(numpy.percentile(expected, [2.5, 97.5], method="weibull"), abs=1e-9)


def test_what_is_compared_at_once_is_compared_as_alone():
    gold, base, trained = toy_scores()
    compared = [("spearman", base, trained), ("pearson", base, trained), ("spearman", trained, base)]
    pairs = [tuple(statistics_of(name, gold, first, second)) for name, first, second in compared]
    together = bootstrap_differences(pairs, N, 300)
    assert len(together) == 3
    for found, (name, first, second) in zip(together, compared, strict=True):
        assert found.tolist() == differences_of(name, gold, first, second, 300).tolist()


def test_nothing_to_compare_is_no_difference():
    assert bootstrap_differences([], 0, 300) == []


@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_identical_predictions_differ_by_exactly_nothing(name):
    gold, base, _ = toy_scores()
    found = differences_of(name, gold, base, base.copy(), 300)
    assert interval_of(found) == (0, 0)
    assert p_value_of(found) == 1


@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_a_clearly_better_model_lies_above_zero_and_its_mirror_below(name):
    gold, base, trained = toy_scores()
    low, high = interval_of(differences_of(name, gold, base, trained, 500))
    assert 0 < low < high
    assert interval_of(differences_of(name, gold, trained, base, 500)) == pytest.approx((-high, -low))


def test_ranks_do_not_care_about_a_monotone_change_but_values_do():
    gold, base, trained = toy_scores()
    grown = numpy.exp(3 * base)
    for name, is_equal in (("spearman", True), ("pearson", False)):
        before, after = (differences_of(name, gold, values, trained, 100) for values in (base, grown))
        assert (interval_of(before) == pytest.approx(interval_of(after), abs=0.01)) is is_equal


def test_the_same_seed_gives_the_same_differences_and_another_seed_other_ones():
    arguments = ("spearman", *toy_scores(), 200)
    assert (differences_of(*arguments, seed=1) == differences_of(*arguments, seed=1)).all()
    assert (differences_of(*arguments, seed=1) != differences_of(*arguments, seed=2)).any()


def test_a_resample_in_which_gold_is_constant_is_left_out():
    gold = numpy.array([0.0, 1.0, 1.0])  # one resample in three draws only one of the two values
    (found,) = bootstrap_differences([tuple(statistics_of("spearman", gold, -gold, gold))], 3, 200)
    assert 40 < numpy.isnan(found).sum() < 90
    assert interval_of(found) == pytest.approx((2, 2))
    assert p_value_of(found) == pytest.approx(2 / (201 - numpy.isnan(found).sum()))


def test_of_a_statistic_that_never_exists_nothing_is_known():
    nowhere = numpy.full(10, numpy.nan)
    assert all(math.isnan(value) for value in (*interval_of(nowhere), p_value_of(nowhere)))


def test_the_ends_and_p_of_numbers_one_can_count():
    assert interval_of(numpy.arange(1.0, 40)) == pytest.approx((1, 39))
    assert interval_of(numpy.arange(1.0, 80)) == pytest.approx((2, 78))
    ordered = numpy.array([-1.0, *range(1, 99)])  # zero has place 1.5 of 99
    assert p_value_of(ordered) == pytest.approx(2 * 1.5 / 100)
    assert p_value_of(-ordered) == pytest.approx(2 * 1.5 / 100)
    assert p_value_of(numpy.array([0.0] * 5 + [1.0] * 94)) == pytest.approx(2 * 5 / 100)  # zeros: no difference
    assert p_value_of(numpy.arange(-50.0, 51)) == 1


def test_p_is_never_smaller_than_so_many_resamples_can_show():
    assert p_value_of(numpy.arange(1.0, 100)) == p_value_of(-numpy.arange(1.0, 100)) == 2 / 100


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-3, 40), min_size=40, max_size=300), st.sampled_from([1, -1]))
def test_p_is_below_5_percent_where_zero_is_outside_the_interval_and_only_there(values, sign):
    found = sign * numpy.array(values) / 7
    low, high = interval_of(found)
    p = p_value_of(found)
    if low > 1e-12 or high < -1e-12:
        assert p < 0.05 + 1e-12
    if low <= 0 <= high:
        assert p >= 0.05 - 1e-12


def test_p_is_about_that_of_a_normal_distribution():
    draw = numpy.random.default_rng(1).normal(1, 0.5, 200_000)
    assert p_value_of(draw) == pytest.approx(0.0455, abs=0.002)  # two standard deviations
