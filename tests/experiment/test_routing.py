"""What is said when no way leads from the data to a loss or an evaluator."""

from dataclasses import replace

import pytest

from embexp.data.arrow import schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset, StepReport
from embexp.data.shapes import SHAPES
from embexp.errors import ShapeError
from embexp.experiment.routing import _fitting_losses, few_rows_warnings, route_to_evaluator, route_to_loss
from embexp.steps.conversions.conversion import default_settings

MNRL = ("triplet", "positive_pair")


def test_a_number_that_would_open_a_way_is_named_and_not_guessed():
    with pytest.raises(ShapeError) as error:
        route_to_loss(["scored_pair"], MNRL, "stsb", "mnrl")
    first, second = str(error.value).splitlines()
    assert first == (
        "loss=mnrl accepts triplet (anchor, positive, negative_1) or positive_pair (anchor, positive); data set stsb "
        "is scored_pair (sentence1, sentence2, score), and the conversion needs a number that only you know. "
        "Expected min_score to take pairs scored at least 0.8 as positives, or data of such a shape, or a "
        "loss that fits."
    )
    assert second.startswith("hint: type one of: conversion.min_score=0.8, loss=angle, ")
    assert "loss=mnrl" not in second


def test_with_the_number_the_way_is_open():
    settings = default_settings(min_score=0.8)
    start, (conversion,) = route_to_loss(["scored_pair"], MNRL, "stsb", "mnrl", settings)
    assert (start, conversion.target) == ("scored_pair", "positive_pair")
    assert "mnrl" in _fitting_losses(["scored_pair"], settings)
    assert "mnrl" not in _fitting_losses(["scored_pair"])


def test_without_any_way_no_number_is_asked_for():
    with pytest.raises(ShapeError, match=r"accepts class_pair \(.*\), and no conversion leads there\. Expected"):
        route_to_loss(["scored_pair"], ("class_pair",), "stsb", "softmax", default_settings(min_score=0.8))


def test_an_evaluator_takes_one_conversion_at_most():
    assert len(route_to_evaluator(["binary_pair"], ("scored_pair",), "qqp", "sts")[1]) == 1
    with pytest.raises(ShapeError, match="no conversion leads there"):
        route_to_evaluator(["triplet"], ("scored_pair",), "mine", "sts")
    with pytest.raises(ShapeError, match=r"(?s)needs a number .*hint: type conversion\.min_score="):
        route_to_evaluator(["scored_pair"], ("binary_pair",), "stsb", "pairs")


def test_of_few_rows_only_a_shape_within_reach_is_offered():
    pairs = table_of_rows(
        iter([{"anchor": "a", "positive": "b"}]), schema_of(SHAPES["positive_pair"], ["anchor", "positive"])
    )
    few = EmbeddingDataset("mine", SHAPES["positive_pair"], {"train": pairs, "test": pairs})

    def after(step: str, rows_in: int) -> EmbeddingDataset:
        return replace(few, history=(StepReport(step, rows_in, 2),))

    settings = default_settings(min_score=0.8)
    assert few_rows_warnings(after("convert scored_pair -> positive_pair", 9), MNRL, settings) == []
    assert few_rows_warnings(after("convert class_pair -> positive_pair", 8), MNRL, settings) == []
    assert few_rows_warnings(after("clean", 9), MNRL, settings) == []
    assert [
        str(each) for each in few_rows_warnings(after("convert class_pair -> positive_pair", 9), MNRL, settings)
    ] == [
        "Only 2 of 9 rows of mine make a positive_pair, 1 of them to train on. "
        "Another shape may keep more.\nhint: type shape=triplet"
    ]
