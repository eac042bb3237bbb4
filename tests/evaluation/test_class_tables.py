"""Statistics of classes and clusters: scikit-learn's own numbers, on all examples and on resamples."""

import tracemalloc

import numpy
import pytest

from embexp.evaluation.metrics import STATISTICS, _Prepared
from embexp.evaluation.stats.resampling import Sample, bootstrap_samples, observed_sample

EXAMPLES = 60
NAMES = ["macro_f1", "v_measure"]
KINDS = ["classes", "other numbers", "one cluster", "one class", "one of each", "right", "many classes", "unrelated"]


def reference(name):
    from sklearn.metrics import f1_score, v_measure_score

    return {
        "macro_f1": lambda gold, found: f1_score(gold, found, average="macro", zero_division=0),
        "v_measure": v_measure_score,
    }[name]


def toy_classes(kind):
    random = numpy.random.default_rng(4)
    gold = random.integers(0, 5, EXAMPLES) ** 2
    found = numpy.where(random.random(EXAMPLES) < 0.6, gold, random.integers(0, 20, EXAMPLES))
    zeros = numpy.zeros(EXAMPLES, int)
    return {
        "classes": (gold, found),
        "other numbers": (gold, gold + 100),
        "one cluster": (gold, zeros),
        "one class": (zeros, found % 7),
        "one of each": (zeros, zeros),
        "right": (gold, gold.copy()),
        "many classes": (numpy.arange(EXAMPLES) // 2, random.permutation(EXAMPLES) // 2),
        "unrelated": (numpy.arange(EXAMPLES) % 2, numpy.arange(EXAMPLES) // 2 % 2),
    }[kind]


def statistic_of(name, gold, found):
    return STATISTICS[name](_Prepared(), gold, found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_on_all_examples_the_statistic_is_that_of_scikit_learn(name, kind):
    gold, found = toy_classes(kind)
    value = statistic_of(name, gold, found)(observed_sample(EXAMPLES))
    assert value.shape == (1,)
    assert value[0] == pytest.approx(reference(name)(gold, found), abs=1e-12)


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_on_a_resample_it_is_that_of_the_rows_that_were_drawn(name, kind):
    gold, found = toy_classes(kind)
    draw = next(bootstrap_samples(EXAMPLES, 25))
    values = statistic_of(name, gold, found)(draw)
    for counts, value in zip(draw.counts.astype(int), values, strict=True):
        rows = numpy.repeat(numpy.arange(EXAMPLES), counts)
        assert value == pytest.approx(reference(name)(gold[rows], found[rows]), abs=1e-12)


def test_a_resample_of_a_single_class_is_distinguished_from_rounding_errors():
    gold, found = numpy.array([0, 0, 0, 0, 0, 0, 0, 1]), numpy.array([0, 1, 2, 3, 4, 5, 6, 6])
    draw = Sample(numpy.array([[1.0, 1, 1, 1, 1, 1, 1, 0]]))  # sevenths do not add up to 1
    assert statistic_of("v_measure", gold, found)(draw)[0] == reference("v_measure")(gold[:7], found[:7]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_in_which_nothing_was_drawn_has_no_value(name):
    found = statistic_of(name, numpy.array([0, 1]), numpy.array([0, 1]))
    assert found(Sample(numpy.array([[1.0, 1], [0, 0]]))) == pytest.approx([1, numpy.nan], nan_ok=True)


def runs_of(number):
    random = numpy.random.default_rng(8)
    gold = random.integers(0, 4, EXAMPLES)
    runs = [numpy.where(random.random(EXAMPLES) < 0.7, gold, random.integers(0, 4, EXAMPLES)) for _ in range(number)]
    by_example = numpy.empty(EXAMPLES, dtype=object)
    by_example[:] = [*numpy.stack(runs, axis=1)]
    return gold, runs, by_example


@pytest.mark.parametrize("name", NAMES)
def test_of_several_runs_it_is_the_mean_and_so_it_is_of_runs_in_lists(name):
    gold, runs, by_example = runs_of(5)
    expected = numpy.mean([reference(name)(gold, run) for run in runs])
    for predicted in (by_example, [run.tolist() for run in by_example]):
        assert statistic_of(name, gold, predicted)(observed_sample(EXAMPLES))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_resamples_of_several_runs_spread_as_the_mean_of_examples_and_runs_does(name):
    gold, runs, by_example = runs_of(5)
    draw = next(bootstrap_samples(EXAMPLES, 4000))
    alone = numpy.stack(
        [
            numpy.concatenate([statistic_of(name, gold, run)(each) for each in bootstrap_samples(EXAMPLES, 4000)])
            for run in runs
        ]
    )
    found = numpy.concatenate(
        [statistic_of(name, gold, by_example)(each) for each in bootstrap_samples(EXAMPLES, 4000)]
    )
    # variance of the mean over fixed runs, and of drawing 4 of 5 runs with replacement in every resample
    expected = alone.mean(axis=0).var() + (alone.var(axis=0) / 4).mean()
    assert found.var() == pytest.approx(expected, rel=0.1)
    assert found.mean() == pytest.approx(alone.mean(), abs=0.005)
    assert numpy.array_equal(statistic_of(name, gold, by_example)(draw), statistic_of(name, gold, by_example)(draw))


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_classes_take_memory_for_the_examples_not_for_the_square_of_the_classes(name):
    gold, found = numpy.arange(2000) % 1000, numpy.arange(2000) % 999
    draw = next(bootstrap_samples(2000, 50))
    tracemalloc.start()
    statistic_of(name, gold, found)(draw)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50e6  # a table of all cells would be 400 MB
