"""Verdicts of differences."""

import math

import numpy
import pytest

from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import Difference, Scores, compare, undefined_metrics


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.03, "better"),
        (-0.03, -0.01, "worse"),
        (-0.01, 0.03, "no difference"),
        (0.0, 0.0, "no difference"),
        (0.0, 0.1, "no difference"),
        (-0.1, 0.0, "no difference"),
        (math.nan, math.nan, "no interval"),
    ],
)
def test_the_verdict_says_where_the_interval_lies(low, high, verdict):
    assert Difference("spearman_cosine", 0.5, 0.52, low, high).verdict == verdict


def test_the_difference_is_trained_minus_base():
    assert Difference("spearman_cosine", base=0.5, trained=0.25, low=-0.3, high=-0.2).value == -0.25


def test_a_metric_without_values_for_each_example_has_no_interval_and_one_of_only_one_model_is_left_out():
    measures = (Measure("accuracy", "mean", "right"),)
    right = numpy.array([0.0, 1.0, 1.0, 0.0])
    base = Scores("test", {"id": [*"abcd"]}, {"right": right}, {"accuracy": 0.5, "task": 0.4, "old": 1.0}, measures)
    trained = Scores("test", base.examples, {"right": right + 1}, {"accuracy": 1.5, "task": 0.6}, measures)
    accuracy, task = compare(base, trained, 50)
    assert (accuracy.metric, accuracy.low, accuracy.high, accuracy.verdict) == ("accuracy", 1.0, 1.0, "better")
    assert (task.metric, round(task.value, 9), task.verdict) == ("task", 0.2, "no interval")


GOLD = numpy.linspace(0, 1, 60)
LABELS = (GOLD > 0.5).astype(int)
SPREAD = GOLD + numpy.random.default_rng(0).normal(0, 0.3, 60)
STATISTICS = {"spearman": GOLD, "pearson": GOLD, "average_precision": LABELS, "roc_auc": LABELS, "best_f1": LABELS}


def scores_of(statistic, predicted):
    measure = Measure("metric", statistic, "cosine", "gold")
    columns = {"id": [*range(60)], "gold": STATISTICS[statistic]}
    metrics = {"metric": value_of(measure, {**columns, "cosine": predicted})}
    return Scores("test", columns, {"cosine": predicted}, metrics, (measure,))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    "collapsed",
    [numpy.ones(60), numpy.zeros(60), 1 - 1e-7 * numpy.random.default_rng(1).random(60)],
    ids=["ones", "zeros", "rounding"],
)
def test_a_model_that_gives_all_examples_one_value_is_worse(statistic, collapsed):
    untouched, trained = scores_of(statistic, SPREAD), scores_of(statistic, collapsed)
    (difference,) = compare(untouched, trained, 50)
    assert difference.verdict == "worse: collapsed"
    (difference,) = compare(trained, trained, 50)
    assert difference.verdict == "identical"
    names, why = undefined_metrics(trained)
    if statistic in ("spearman", "pearson"):
        assert names == ["metric"]
        assert why.startswith("all 60 examples have one cosine, ")
    assert compare(untouched, scores_of(statistic, SPREAD / 1000), 50)[0].verdict != "worse: collapsed"


def test_a_metric_whose_true_values_are_all_the_same_says_so():
    scores = scores_of("spearman", SPREAD)
    equal = Scores(
        "test", {**scores.examples, "gold": numpy.ones(60)}, scores.predicted, {"metric": math.nan}, scores.measures
    )
    assert undefined_metrics(equal) == (["metric"], "the true values are the same in all examples")
    assert undefined_metrics(scores)[0] == []
