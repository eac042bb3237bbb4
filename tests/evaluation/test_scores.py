"""Verdicts of differences."""

import math

import numpy
import pytest

from embexp.evaluation.metrics import Measure
from embexp.evaluation.scores import Difference, Scores, compare


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
