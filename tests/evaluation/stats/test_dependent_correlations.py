"""Williams' t and Steiger's Z: published numbers, and p values that are evenly spread where nothing differs."""

import math

import numpy
import pytest

from embexp.evaluation.stats.paired_tests import compare_correlations, steiger_z, williams_t

TESTS = pytest.mark.parametrize("test", [williams_t, steiger_z])


def test_the_numbers_of_silver_hittner_and_may():
    # "A FORTRAN 77 program for comparing dependent correlations", Applied Psychological Measurement 30 (2006), 152-153
    williams, steiger = (test(0.4, 0.3, 0.5, 100) for test in (williams_t, steiger_z))
    assert (round(williams.statistic, 4), round(williams.p, 4)) == (-1.0767, 0.2843)
    assert (round(steiger.statistic, 4), round(steiger.p, 4)) == (-1.0718, 0.2838)


def test_the_example_of_steiger():
    # Steiger 1980, page 249: -0.8913, from a covariance that was rounded; with it in full it is -0.8887 (R: cocor 1.1)
    assert steiger_z(0.5, 0.4, 0.1, 103).statistic == pytest.approx(-0.8887185, abs=1e-7)
    assert williams_t(0.5, 0.4, 0.1, 103).statistic == pytest.approx(-0.89, abs=0.005)  # R: psych, r.test


@TESTS
def test_the_two_models_may_be_named_either_way_round(test):
    one, other = test(0.7, 0.6, 0.8, 50), test(0.6, 0.7, 0.8, 50)
    assert one.statistic == pytest.approx(-other.statistic)
    assert one.p == pytest.approx(other.p)


@TESTS
def test_models_that_are_alike_show_a_small_difference_better(test):
    assert test(0.70, 0.72, 0.99, 300).p < 0.05 < test(0.70, 0.72, 0.6, 300).p


@TESTS
def test_equal_correlations_do_not_differ(test):
    assert test(0.7, 0.7, 0.9, 50).p == 1
    assert test(0.7, 0.7, 1.0, 50).p == 1


def normal_models(random, cases, n, base, trained, between):
    """Gold and two models, `(cases, n)` each, from a normal distribution with these correlations."""
    table = numpy.array([[1, base, trained], [base, 1, between], [trained, between, 1]])
    return numpy.moveaxis(random.normal(size=(cases, n, 3)) @ numpy.linalg.cholesky(table).T, 2, 0)


@pytest.mark.parametrize("test", ["williams_t", "steiger_z"])
@pytest.mark.parametrize(("correlation", "between"), [(0.8, 0.95), (0.8, 0.75), (0.3, 0.5)])
def test_without_a_difference_p_is_evenly_spread(test, correlation, between):
    from scipy.stats import kstest

    random = numpy.random.default_rng(2)
    cases = zip(*normal_models(random, 1500, 200, correlation, correlation, between), strict=True)
    p_values = [compare_correlations(*case)[test].p for case in cases]
    assert kstest(p_values, "uniform").pvalue > 0.001
    assert numpy.mean(numpy.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.018)  # 3.2 standard errors


def test_what_is_compared_is_pearsons_correlation():
    from scipy.stats import pearsonr

    gold, base, trained = normal_models(numpy.random.default_rng(3), 1, 80, 0.6, 0.7, 0.8)[:, 0]
    first, second, between = (pearsonr(*pair).statistic for pair in ((gold, base), (gold, trained), (base, trained)))
    found = compare_correlations(gold, base, trained)
    assert found["williams_t"].statistic == pytest.approx(williams_t(first, second, between, 80).statistic)
    assert found["steiger_z"].p == pytest.approx(steiger_z(first, second, between, 80).p)
    assert found["williams_t"].statistic > 0


def test_it_agrees_with_the_bootstrap_where_examples_are_many_and_normal():
    from embexp.evaluation.metrics import _Correlation, _Values
    from embexp.evaluation.stats.paired_tests import bootstrap_differences, p_value_of

    gold, base, trained = normal_models(numpy.random.default_rng(5), 1, 2000, 0.80, 0.805, 0.95)[:, 0]
    first, second = (_Correlation(_Values(gold), _Values(values)) for values in (base, trained))
    (found,) = bootstrap_differences([(first, second)], 2000, 4000)
    p = compare_correlations(gold, base, trained)["williams_t"].p
    assert 0.005 < p < 0.9
    assert p_value_of(found) == pytest.approx(p, abs=0.05)


def test_a_constant_model_has_no_p():
    gold = numpy.arange(9.0)
    for found in compare_correlations(gold, gold * 0, gold).values():
        assert math.isnan(found.p)


def test_a_perfect_model_is_surely_better():
    gold = numpy.arange(50.0)
    noisy = gold + numpy.random.default_rng(1).normal(0, 20, 50)
    for found in compare_correlations(gold, noisy, gold).values():
        assert found.statistic > 5
        assert found.p < 1e-6
    assert steiger_z(0.7, 1.0, 0.7, 50).p == steiger_z(1.0, 0.7, 0.7, 50).p == 0


def test_the_same_model_twice_does_not_differ():
    gold, base, _ = normal_models(numpy.random.default_rng(3), 1, 80, 0.6, 0.7, 0.8)[:, 0]
    assert [found.p for found in compare_correlations(gold, base, base).values()] == [1, 1]
