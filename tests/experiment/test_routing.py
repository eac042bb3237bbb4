"""What is said when no way leads from the data to a loss or an evaluator."""

import pytest

from embexp.data.row_checks import dataset_of
from embexp.errors import ShapeError
from embexp.experiment.routing import (
    _fitting_losses,
    check_rows_kept,
    fitting_evaluators,
    makeable,
    route_to_evaluator,
    route_to_loss,
)
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


def test_without_any_way_no_number_is_requested():
    with pytest.raises(ShapeError, match=r"accepts class_pair \(.*\), and no conversion leads there\. Expected"):
        route_to_loss(["scored_pair"], ("class_pair",), "stsb", "softmax", default_settings(min_score=0.8))


def test_an_evaluator_takes_one_conversion_at_most():
    assert len(route_to_evaluator(["binary_pair"], ("scored_pair",), "qqp", "sts")[1]) == 1
    with pytest.raises(ShapeError, match="no conversion leads there"):
        route_to_evaluator(["triplet"], ("scored_pair",), "mine", "sts")
    with pytest.raises(ShapeError, match=r"(?s)needs a number .*hint: type conversion\.min_score="):
        route_to_evaluator(["scored_pair"], ("binary_pair",), "stsb", "pairs")


def refusal(dataset, accepted, taken, settings=None):
    try:
        check_rows_kept(dataset, accepted, taken, settings)
    except ShapeError as error:
        return str(error)
    return ""


def nli(entailments, contradictions):
    """One premise a row; the first ones have a contradiction, too."""
    rows = [("entailment", n) for n in range(entailments)] + [("contradiction", n) for n in range(contradictions)]
    names = ("entailment", "neutral", "contradiction")
    columns = {"sentence1": [f"premise {n}" for _, n in rows], "sentence2": [f"{name} {n}" for name, n in rows]}
    columns["label"] = [names.index(name) for name, _ in rows]
    return dataset_of("mine", "class_pair", {"train": columns}, names)


def ranked(with_negatives, without):
    many = with_negatives + without
    columns = {"query": [f"q{n}" for n in range(many)], "positives": [[f"p{n}"] for n in range(many)]}
    columns["negatives"] = [["n"]] * with_negatives + [[]] * without
    return dataset_of("mine", "ranked", {"train": columns})


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (nli(40, 40), ""),
        (nli(40, 10), ""),  # 10 of 50 rows are few, but 40 as pairs: see below
        (ranked(30, 10), ""),
        (
            ranked(2, 18),
            "Of 20 training rows of mine (ranked) the loss can train on 2 as triplet, 20 as positive_pair. "
            "Expected the shape to train on, named by you.\nhint: type shape=triplet\nhint: type shape=positive_pair",
        ),
        (
            nli(40, 3),
            "Of 43 training rows of mine (class_pair) the loss can train on 3 as triplet, 40 as positive_pair. "
            "Expected the shape to train on, named by you.\nhint: type shape=triplet\nhint: type shape=positive_pair",
        ),
        (
            nli(40, 0),
            "Of 40 training rows of mine (class_pair) the loss can train on 0 as triplet, 40 as positive_pair. "
            "Expected the shape to train on, named by you.\nhint: type shape=positive_pair",
        ),
    ],
    ids=["all", "a_fifth", "ranked", "ranked_few", "few", "none"],
)
def test_a_shape_that_keeps_few_rows_is_not_taken_where_another_keeps_more(dataset, message):
    found = refusal(dataset, MNRL, "triplet")
    if dataset.num_rows == 50:
        assert found.startswith("Of 50 training rows of mine (class_pair) the loss can train on 10 as triplet, 40 as")
    else:
        assert found == message
    assert refusal(dataset, ("triplet",), "triplet") == ""
    assert refusal(dataset, MNRL, "positive_pair") == ""


def test_ranked_rows_without_any_negative_make_pairs():
    assert makeable(MNRL, ranked(0, 3)) == ("positive_pair",)
    assert makeable(("triplet",), ranked(0, 3)) == ("triplet",)
    for other in (ranked(1, 3), nli(3, 0)):
        assert makeable(MNRL, other) == MNRL


@pytest.mark.parametrize(
    ("offered", "names", "expected"),
    [
        (["positive_pair"], (), ["retrieval"]),
        (["ranked"], (), ["retrieval", "triplet"]),
        (["labelled_text"], (), ["classification", "retrieval", "triplet"]),
        (["class_pair"], ("entailment", "neutral", "contradiction"), ["sts", "retrieval", "triplet", "binary"]),
        (["class_pair"], ("yes", "no"), []),
        (["text"], (), []),
        (["binary_pair"], (), ["binary", "sts", "retrieval"]),
    ],
)
def test_evaluators_that_read_the_data_need_nothing_else(offered, names, expected):
    assert fitting_evaluators(offered, label_names=names) == expected
