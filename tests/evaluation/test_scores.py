"""Verdicts of differences."""

import math

import numpy
import pytest

from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import Difference, Scores, compare, on_common_examples, undefined_metrics


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.03, "better"),
        (-0.03, -0.01, "worse"),
        (-0.01, 0.03, "undecided"),
        (0.0, 0.0, "equal within 0.005"),
        (0.001, 0.0049, "equal within 0.005"),
        (-0.0049, 0.0049, "equal within 0.005"),
        (0.001, 0.005, "better"),
        (-0.001, 0.005, "undecided"),
        (0.0, 0.1, "undecided"),
        (-0.1, 0.0, "undecided"),
        (math.nan, math.nan, "no interval"),
    ],
)
def test_the_verdict_says_where_the_interval_lies(low, high, verdict):
    assert Difference("spearman_cosine", 0.5, 0.52, low, high, margin=0.005).verdict == verdict


def test_the_difference_is_trained_minus_base():
    assert Difference("spearman_cosine", base=0.5, trained=0.25, low=-0.3, high=-0.2, margin=0.005).value == -0.25


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


def pairs(texts, gold, cosine, seen=None, **columns):
    """Scores of pairs; `seen`: which are also in the training data."""
    measures = [Measure("spearman_cosine", "spearman", "cosine", "gold")]
    examples = {"id": [f"test-{place}" for place in range(len(texts))], "sentence1": list(texts), **columns}
    examples |= {"gold": numpy.array(gold, dtype=float)}
    if seen is not None:
        measures.append(measures[0].without("no_leaks"))
        examples["no_leaks"] = ~numpy.array(seen, dtype=bool)
    return Scores("test", examples, {"cosine": numpy.array(cosine, dtype=float)}, {}, tuple(measures))


def test_common_examples_are_found_by_texts_and_true_values():
    first = pairs("abcd", [1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4])
    second = pairs("dbxa", [4, 2.5, 9, 1], [0.9, 0.8, 0.7, 0.6])
    found, left_out = on_common_examples([first, second])
    assert [each.examples["sentence1"] for each in found] == [["a", "d"]] * 2
    assert [each.predicted["cosine"].tolist() for each in found] == [[0.1, 0.4], [0.6, 0.9]]
    assert left_out == "3 of 5 examples (1 with other true values, 2 not in all of them)"


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0]])
def test_equal_texts_are_distinguished_by_their_true_values(order):
    first = pairs("aab", [1, 5, 3], [0.1, 0.5, 0.3])
    second = pairs([first.examples["sentence1"][row] for row in order], first.examples["gold"][order], order)
    found, left_out = on_common_examples([first, second])
    assert left_out == ""
    assert found[1].predicted["cosine"].tolist() == [0, 1, 2]


def test_of_a_measure_without_leaks_the_examples_count_that_count_for_all():
    seen = [[True, False, False, False], [False, True, False, False], None]
    several = [pairs("abcd", [1, 2, 3, 4], [1, 2, 3, 4], each) for each in seen]
    found, left_out = on_common_examples(several)
    assert left_out == ""
    assert {tuple(each.examples["no_leaks"].tolist()) for each in found} == {(False, False, True, True)}
    assert {each.measures[-1].name for each in found} == {"spearman_cosine_no_leaks"}


@pytest.mark.parametrize("column", ["label", "relevant_document", "positive"])
def test_texts_that_say_what_is_right_are_true_values(column):
    first, second = (pairs("abc", [1, 1, 1], [1, 2, 3], **{column: ["x", "y", last]}) for last in "zw")
    assert on_common_examples([first, second])[1] == "1 of 3 examples (1 with other true values)"


def test_nothing_in_common_is_said():
    found, left_out = on_common_examples([pairs("ab", [1, 2], [1, 2]), pairs("cd", [1, 2], [1, 2])])
    assert found[0].examples["sentence1"] == []
    assert left_out == "4 of 4 examples (4 not in all of them)"
