"""Several models on the same examples: who is best, and who cannot be told from it."""

import numpy
import pytest

from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import Scores
from embexp.evaluation.stats.multiple_comparisons import rank_models

MEASURE = Measure("accuracy", "mean", "right")
RANDOM = numpy.random.default_rng(3)


def scores_of(right) -> Scores:
    examples = {"id": [f"test-{place}" for place in range(len(right))]}
    columns = {"right": numpy.asarray(right, dtype=float)}
    return Scores("test", examples, columns, {"accuracy": value_of(MEASURE, columns)}, (MEASURE,))


def test_models_stand_in_order_and_only_those_that_are_clearly_worse_are_not_marked():
    base = RANDOM.random(400) < 0.8
    almost = base.copy()
    almost[:3] = ~almost[:3]
    models = {"poor": scores_of(RANDOM.random(400) < 0.5), "almost": scores_of(almost), "good": scores_of(base)}
    placed = rank_models(models, "accuracy", 500)
    assert [each.value for each in placed] == sorted((each.value for each in placed), reverse=True)
    assert {each.name: each.is_best for each in placed} == {"good": True, "almost": True, "poor": False}
    assert all(each.low < each.value < each.high for each in placed)
    assert placed[0].to_best == 0
    assert placed[-1].p < 0.02 < placed[1].p
    assert placed[-1].to_best == pytest.approx(placed[-1].value - placed[0].value)


def test_one_model_alone_is_the_best():
    (only,) = rank_models({"a": scores_of([1, 0, 1, 1])}, "accuracy", 100)
    assert (only.is_best, only.p) == (True, 1.0)


def test_without_values_for_each_example_only_the_highest_is_marked():
    models = {name: Scores("test", {"id": []}, {}, {"task": value}) for name, value in (("a", 0.5), ("b", 0.6))}
    placed = rank_models(models, "task", 100)
    assert [(each.name, each.is_best) for each in placed] == [("b", True), ("a", False)]
    assert all(numpy.isnan(each.low) for each in placed)


def test_models_that_are_level_are_both_the_best_in_whatever_order_they_are_named():
    level = {"z": scores_of([1, 0, 1, 0]), "a": scores_of([0, 1, 0, 1])}
    placed = rank_models(level, "accuracy", 100)
    assert [(each.value, each.is_best) for each in placed] == [(0.5, True), (0.5, True)]


def test_an_interval_lies_about_its_value_where_drawing_twice_makes_it_higher():
    gold, cluster = RANDOM.integers(0, 20, 60), RANDOM.integers(0, 20, 60)
    measure = Measure("v_measure", "v_measure", "cluster", "gold")
    columns = {"gold": gold, "cluster": cluster}
    examples = {"id": [*range(60)], "gold": gold}
    scores = Scores("test", examples, {"cluster": cluster}, {"v_measure": value_of(measure, columns)}, (measure,))
    (placed,) = rank_models({"a": scores}, "v_measure", 300)
    assert placed.low < placed.value < placed.high
