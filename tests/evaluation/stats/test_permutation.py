"""The paired permutation test: the same p as trying all swaps one by one, and the same whatever a model's scale."""

import itertools
import math

import numpy
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import average_precision_score, f1_score

from embexp.evaluation.metrics import Measure
from embexp.evaluation.stats.paired_tests import permutation_p_value
from embexp.evaluation.stats.resampling import CHUNK

N = 8
MANY = 20_000
ERROR = 0.016  # more than four standard errors of a share of so many
GOLD = numpy.array([0, 0.25, 0.25, 0.5, 0.5, 0.75, 1, 1])
CLASSES = numpy.array([0, 0, 1, 1, 1, 2, 2, 2])
FIRST = numpy.array([0.31, 0.12, 0.44, 0.29, 0.61, 0.33, 0.58, 0.47])
SECOND = numpy.array([0.11, 0.22, 0.19, 0.52, 0.49, 0.71, 0.87, 0.9])
FIRST_CLASSES, SECOND_CLASSES = numpy.array([0, 1, 1, 2, 1, 0, 2, 1]), numpy.array([0, 0, 1, 1, 2, 2, 2, 2])
CASES = {  # measure, gold, both models, the statistic of rows
    "mean": (None, FIRST, SECOND, lambda _, values: values.mean()),
    "spearman": (GOLD, rankdata(FIRST), rankdata(SECOND), lambda gold, values: spearmanr(gold, values).statistic),
    "average_precision": (GOLD > 0.4, rankdata(FIRST), rankdata(SECOND), average_precision_score),
    "macro_f1": (
        CLASSES,
        FIRST_CLASSES,
        SECOND_CLASSES,
        lambda gold, values: f1_score(gold, values, average="macro", zero_division=0),
    ),
}


def p_of(name, gold, first, second, permutations=MANY, seed=0, where=None):
    measure = Measure(name, name, "predicted", None if gold is None else "gold", None if where is None else "where")
    shared = {"gold": gold, "where": where}
    columns = ({**shared, "predicted": first}, {**shared, "predicted": second})
    return permutation_p_value(measure, *columns, permutations, seed)


def p_of_all_swaps(statistic, gold, first, second):
    differences = []
    for swapped in itertools.product([False, True], repeat=len(first)):
        one, other = numpy.where(swapped, second, first), numpy.where(swapped, first, second)
        differences.append(abs(statistic(gold, other) - statistic(gold, one)))
    return numpy.mean(numpy.array(differences) >= differences[0] - 1e-9)


@pytest.mark.parametrize("name", CASES)
def test_p_is_that_of_all_swaps(name):
    gold, first, second, statistic = CASES[name]
    expected = p_of_all_swaps(statistic, gold, first, second)
    assert 0.01 < expected < 0.95
    assert p_of(name, gold, first, second) == pytest.approx(expected, abs=ERROR)


def test_pearson_is_that_of_all_swaps_of_standardised_values():
    from scipy.stats import pearsonr

    first, second = ((values - values.mean()) / values.std() for values in (FIRST, SECOND))
    expected = p_of_all_swaps(lambda gold, values: pearsonr(gold, values).statistic, GOLD, first, second)
    assert p_of("pearson", GOLD, FIRST, SECOND) == pytest.approx(expected, abs=ERROR)


def test_a_mean_has_the_p_of_scipys_permutation_test():
    from scipy.stats import permutation_test

    theirs = permutation_test(
        (SECOND, FIRST), lambda x, y: x.mean() - y.mean(), permutation_type="samples", n_resamples=numpy.inf
    ).pvalue
    assert p_of("mean", None, FIRST, SECOND) == pytest.approx(theirs, abs=ERROR)


def test_clusters_are_the_same_by_whatever_numbers_they_are_called():
    names = numpy.array([2, 0, 1])
    assert p_of("v_measure", CLASSES, FIRST_CLASSES, names[FIRST_CLASSES], 300) == 1
    plain = p_of("v_measure", CLASSES, FIRST_CLASSES, SECOND_CLASSES, 300)
    assert p_of("v_measure", CLASSES, FIRST_CLASSES, names[SECOND_CLASSES], 300) == plain


def test_clusters_are_swapped_once_the_numbers_mean_the_same():
    from sklearn.metrics import v_measure_score

    # the second model's 1, 0, 2 share most with the first's 0, 1, 2
    first, second = numpy.array([0, 0, 0, 1, 1, 1, 2, 2]), numpy.array([1, 1, 2, 0, 0, 0, 2, 2])
    renamed = numpy.array([1, 0, 2])[second]
    expected = p_of_all_swaps(v_measure_score, CLASSES, first, renamed)
    assert p_of("v_measure", CLASSES, first, second) == pytest.approx(expected, abs=ERROR)


def test_several_runs_of_clustering_are_swapped_together_and_averaged():
    from sklearn.metrics import v_measure_score

    def by_example(*runs):
        found = numpy.empty(N, dtype=object)
        found[:] = [*numpy.stack(runs, axis=1)]
        return found

    # those of the second model are called as those of the first that they share most with
    first = [FIRST_CLASSES, FIRST_CLASSES[::-1]]
    second = [numpy.array([0, 1, 1, 2, 2, 0, 2, 2]), numpy.array([1, 2, 0, 1, 2, 2, 1, 0])]

    def mean(gold, values):
        return numpy.mean([v_measure_score(gold, values[:, run]) for run in (0, 1)])

    swaps = [numpy.array(each)[:, None] for each in itertools.product([False, True], repeat=N)]
    one, other = numpy.stack(first, axis=1), numpy.stack(second, axis=1)
    differences = [
        abs(mean(CLASSES, numpy.where(swap, one, other)) - mean(CLASSES, numpy.where(swap, other, one)))
        for swap in swaps
    ]
    expected = numpy.mean(numpy.array(differences) >= differences[0] - 1e-9)
    found = p_of("v_measure", CLASSES, by_example(*first), by_example(*second))
    assert found == pytest.approx(expected, abs=ERROR)
    assert found != pytest.approx(p_of("v_measure", CLASSES, first[0], second[0]), abs=2 * ERROR)


@pytest.mark.parametrize("name", ["spearman", "pearson", "average_precision", "best_f1"])
def test_the_scale_of_a_model_does_not_matter(name):
    gold = GOLD if name in ("spearman", "pearson") else GOLD > 0.4
    narrow = 0.9 + FIRST / 100
    assert p_of(name, gold, narrow, SECOND, 500) == p_of(name, gold, FIRST, SECOND, 500)
    assert p_of(name, gold, narrow, FIRST, 500) == 1


def test_a_difference_that_no_swap_makes_has_the_smallest_p_that_can_be():
    gold = numpy.linspace(0, 1, 200)
    noise = numpy.random.default_rng(1).normal(size=200)
    assert p_of("spearman", gold, noise, gold, 999) == 1 / 1000
    assert p_of("spearman", gold, gold, noise, 999) == 1 / 1000


def test_equal_models_have_p_1():
    assert p_of("spearman", GOLD, FIRST, FIRST.copy(), 50) == 1
    assert p_of("mean", None, FIRST, FIRST.copy(), 50) == 1


def test_rows_that_do_not_count_do_not():
    where = numpy.array([True] * N + [False] * 4)
    gold, first, second = (numpy.append(values, [0.9, 0.1, 0.5, 0.3]) for values in (GOLD, FIRST, SECOND))
    found = p_of("spearman", gold, first, second, 400, where=where)
    assert found == p_of("spearman", GOLD, FIRST, SECOND, 400)
    assert found != p_of("spearman", gold, first, second, 400)


def test_of_a_statistic_that_does_not_exist_there_is_no_p():
    assert math.isnan(p_of("spearman", GOLD, FIRST * 0, SECOND, 50))


def test_the_same_seed_gives_the_same_p_and_chunks_do_not_show():
    many = 2 * CHUNK + 10
    found = p_of("spearman", GOLD, FIRST, SECOND, many, seed=1)
    assert found == p_of("spearman", GOLD, FIRST, SECOND, many, seed=1)
    assert found != p_of("spearman", GOLD, FIRST, SECOND, many, seed=2)
    assert (found * (many + 1)) % 1 == pytest.approx(0, abs=1e-6)
