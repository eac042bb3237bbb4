"""Statistics of decisions: scikit-learn's own numbers, with ties, on all examples and on resamples."""

import numpy
import pytest

from embexp.evaluation.metrics import STATISTICS, _Prepared
from embexp.evaluation.stats.resampling import bootstrap_samples, observed_sample
from embexp.evaluation.threshold_metrics import accuracies, best_threshold, f1_scores

EXAMPLES = 60


def brute_force(goodness):
    """The best of a score over all thresholds, the one that takes nothing among them."""

    def best(gold, predicted):
        thresholds = [*numpy.unique(predicted), numpy.inf]
        return max(goodness(gold, predicted >= threshold) for threshold in thresholds)

    return best


def reference(name):
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

    return {
        "average_precision": average_precision_score,
        "roc_auc": roc_auc_score,
        "best_accuracy": brute_force(accuracy_score),
        "best_f1": brute_force(lambda gold, taken: f1_score(gold, taken, zero_division=0)),
    }[name]


NAMES = ["average_precision", "roc_auc", "best_accuracy", "best_f1"]


def toy_scores(kind, seed):
    random = numpy.random.default_rng(seed)
    predicted = random.normal(size=EXAMPLES)
    gold = (predicted + random.normal(size=EXAMPLES) > 0.5).astype(int)
    return {
        "distinct": (gold, predicted),
        "ties": (gold, numpy.round(predicted)),
        "all tied": (gold, numpy.zeros(EXAMPLES)),
        "upside down": (1 - gold, predicted),
        "rare": ((numpy.arange(EXAMPLES) % 20 == 0).astype(int), predicted),
    }[kind]


KINDS = ["distinct", "ties", "all tied", "upside down", "rare"]


def statistic_of(name, gold, predicted):
    return STATISTICS[name](_Prepared(), gold, predicted)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_on_all_examples_the_statistic_is_that_of_scikit_learn(name, kind, seed):
    gold, predicted = toy_scores(kind, seed)
    found = statistic_of(name, gold, predicted)(observed_sample(EXAMPLES))
    assert found.shape == (1,)
    assert found[0] == pytest.approx(reference(name)(gold, predicted), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_on_a_resample_it_is_that_of_the_rows_that_were_drawn(name, kind):
    gold, predicted = toy_scores(kind, 5)
    draw = next(bootstrap_samples(EXAMPLES, 25))
    found = statistic_of(name, gold, predicted)(draw)
    compared = 0
    for counts, value in zip(draw.counts.astype(int), found, strict=True):
        rows = numpy.repeat(numpy.arange(EXAMPLES), counts)
        if 0 < gold[rows].sum() < EXAMPLES:
            assert value == pytest.approx(reference(name)(gold[rows], predicted[rows]), abs=1e-12)
            compared += 1
    assert compared >= 20


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_without_one_of_the_classes_has_no_value(name):
    found = statistic_of(name, numpy.array([1, 0]), numpy.array([0.5, 0.1]))
    draw = next(bootstrap_samples(2, 50))
    both = (draw.counts > 0).all(axis=1)
    assert 0 < both.sum() < 50
    assert numpy.isnan(found(draw)).tolist() == (~both).tolist()


def test_nothing_taken_for_positive_is_a_decision_too():
    gold, predicted = numpy.array([0, 0, 0, 1]), numpy.array([0.9, 0.8, 0.7, 0.1])
    assert statistic_of("best_accuracy", gold, predicted)(observed_sample(4))[0] == 0.75
    assert 0.9 < best_threshold(gold, predicted, accuracies) < 0.9 + 1e-9


@pytest.mark.parametrize(
    ("gold", "goodness", "expected"),
    [
        ([1, 1, 0, 0], accuracies, 0.5),  # half way between 0.6 and 0.4
        ([1, 1, 0, 0], f1_scores, 0.5),
        ([1, 0, 1, 1], f1_scores, 0.2),  # all are taken
        ([1, 0, 0, 0], accuracies, 0.7),
        ([1, 0, 0, 1], f1_scores, 0.7),  # as good as taking all: the higher threshold
    ],
)
def test_the_best_threshold_lies_half_way_between_what_is_taken_and_what_is_not(gold, goodness, expected):
    assert best_threshold(numpy.array(gold), numpy.array([0.8, 0.6, 0.4, 0.2]), goodness) == pytest.approx(expected)


def test_a_threshold_between_neighbouring_floats_does_not_take_the_lower_one():
    lower = 1.0
    higher = numpy.nextafter(lower, 2)
    assert (lower + higher) / 2 == lower
    assert best_threshold(numpy.array([1, 0]), numpy.array([higher, lower]), accuracies) == higher
