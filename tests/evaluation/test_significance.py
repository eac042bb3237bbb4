"""The paired bootstrap: the same intervals as a plain loop over resamples."""

import numpy
import pytest
from scipy.stats import pearsonr, spearmanr

from embexp.evaluation.significance import CHUNK, bootstrap_differences

CORRELATE = {"spearman": spearmanr, "pearson": pearsonr}
N = 40


def toy_scores(seed: int = 3) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Gold, a poor model and a better one, rounded so that all of them have ties."""
    draw = numpy.random.default_rng(seed)
    gold = draw.integers(0, 5, N) / 4
    base, trained = gold + draw.normal(0, 1.5, N), gold + draw.normal(0, 0.2, N)
    return gold, base.round(1), trained.round(1)


def bootstrap_difference(statistic, gold, base, trained, resamples, seed=0):
    (interval,) = bootstrap_differences(gold, [(statistic, base, trained)], resamples, seed)
    return interval


def test_what_is_compared_at_once_is_compared_as_alone():
    gold, base, trained = toy_scores()
    compared = [("spearman", base, trained), ("pearson", base, trained), ("spearman", trained, base)]
    together = bootstrap_differences(gold, compared, 300)
    assert together == [bootstrap_difference(each[0], gold, *each[1:], 300) for each in compared]


def naive_interval(statistic, gold, base, trained, resamples, seed):
    draw, differences = numpy.random.default_rng(seed), []
    for _ in range(resamples):
        rows = draw.integers(0, len(gold), len(gold))
        before, after = (CORRELATE[statistic](gold[rows], values[rows]).statistic for values in (base, trained))
        differences.append(after - before)
    return tuple(numpy.percentile(differences, [2.5, 97.5]))


@pytest.mark.parametrize("statistic", ["spearman", "pearson"])
@pytest.mark.parametrize("resamples", [20, CHUNK + 30])
def test_the_interval_equals_that_of_a_loop_that_ranks_every_resample(statistic, resamples):
    gold, base, trained = toy_scores()
    assert all(len(set(values)) < N for values in (gold, base, trained))
    expected = naive_interval(statistic, gold, base, trained, resamples, seed=7)
    assert bootstrap_difference(statistic, gold, base, trained, resamples, seed=7) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("statistic", ["spearman", "pearson"])
def test_identical_predictions_differ_by_exactly_nothing(statistic):
    gold, base, _ = toy_scores()
    assert bootstrap_difference(statistic, gold, base, base.copy(), 300) == (0, 0)


@pytest.mark.parametrize("statistic", ["spearman", "pearson"])
def test_a_clearly_better_model_lies_above_zero_and_its_mirror_below(statistic):
    gold, base, trained = toy_scores()
    low, high = bootstrap_difference(statistic, gold, base, trained, 500)
    assert 0 < low < high
    assert bootstrap_difference(statistic, gold, trained, base, 500) == pytest.approx((-high, -low))


def test_ranks_do_not_care_about_a_monotone_change_but_values_do():
    gold, base, trained = toy_scores()
    grown = numpy.exp(3 * base)
    assert bootstrap_difference("spearman", gold, base, trained, 100) == bootstrap_difference(
        "spearman", gold, grown, trained, 100
    )
    assert bootstrap_difference("pearson", gold, base, trained, 100) != pytest.approx(
        bootstrap_difference("pearson", gold, grown, trained, 100), abs=0.01
    )


def test_the_same_seed_gives_the_same_interval_and_another_seed_another_one():
    arguments = ("spearman", *toy_scores(), 200)
    assert bootstrap_difference(*arguments, seed=1) == bootstrap_difference(*arguments, seed=1)
    assert bootstrap_difference(*arguments, seed=1) != bootstrap_difference(*arguments, seed=2)


def test_a_resample_in_which_gold_is_constant_is_left_out():
    gold = numpy.array([0.0, 1.0, 1.0])  # one resample in three draws only one of the two values
    low, high = bootstrap_difference("spearman", gold, -gold, gold, 200)
    assert (low, high) == pytest.approx((2, 2))
