"""Conversions: exact rows for each of them, the way that is chosen, and what is refused."""

import pytest

from embexp.data.checks import dataset_of
from embexp.data.dataset import StepReport
from embexp.errors import ShapeError
from embexp.steps.convert import CONVERSIONS, convert, limit_negatives, route

NLI = ("entailment", "neutral", "contradiction")
# For each shape a few rows, column by column.
ROWS = {
    "class_pair": {
        "sentence1": ["p1", "p1", "p1", "p1", "p2"],
        "sentence2": ["e1", "n1", "c1", "e2", "c2"],
        "label": [0, 1, 2, 0, 2],
    },
    "ranked": {"query": ["q", "r"], "positives": [["a", "b", "c"], ["d"]], "negatives": [["x", "y"], []]},
    "triplet": {"anchor": ["a"], "positive": ["p"], "negative_1": ["n1"], "negative_2": ["n2"]},
    "labelled_text": {"text": ["t1", "u", "t2"], "label": [0, 1, 0]},  # leaves the draw no choice
    "binary_pair": {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [1, 0]},
}
GRADED = [("p1", "e1", 1.0), ("p1", "n1", 0.0), ("p1", "c1", 0.0), ("p1", "e2", 1.0), ("p2", "c2", 0.0)]
EXPECTED = {
    ("class_pair", "triplet"): [("p1", "e1", "c1")],
    ("class_pair", "positive_pair"): [("p1", "e1"), ("p1", "e2")],
    ("class_pair", "binary_pair"): [("p1", "e1", 1), ("p1", "c1", 0), ("p1", "e2", 1), ("p2", "c2", 0)],
    ("class_pair", "scored_pair"): GRADED,
    ("ranked", "triplet"): [("q", "a", "x"), ("q", "b", "y"), ("q", "c", "x")],
    ("ranked", "positive_pair"): [("q", "a"), ("q", "b"), ("q", "c"), ("r", "d")],
    ("triplet", "positive_pair"): [("a", "p")],
    ("triplet", "binary_pair"): [("a", "p", 1), ("a", "n1", 0), ("a", "n2", 0)],
    ("labelled_text", "triplet"): [("t1", "t2", "u"), ("t2", "t1", "u")],
    ("labelled_text", "positive_pair"): [("t1", "t2"), ("t2", "t1")],
    ("binary_pair", "positive_pair"): [("a", "c")],
    ("binary_pair", "scored_pair"): [("a", "c", 1.0), ("b", "d", 0.0)],
}
BY_ENDS = {(conversion.source, conversion.target): conversion for conversion in CONVERSIONS}


def of_shape(shape, label_names=NLI):
    names = {"class_pair": label_names, "labelled_text": ("t", "u")}.get(shape, ())
    return dataset_of("mine", shape, {"train": ROWS[shape]}, names)


def rows_of(dataset):
    return [tuple(row.values()) for row in dataset.training_rows()]


def test_every_conversion_has_its_expected_rows():
    assert len(BY_ENDS) == len(CONVERSIONS)
    assert set(BY_ENDS) == set(EXPECTED)


@pytest.mark.parametrize("ends", EXPECTED, ids=" to ".join)
def test_a_conversion_gives_exactly_these_rows_and_reports_them(ends):
    before = of_shape(ends[0])
    made = convert(before, BY_ENDS[ends])
    assert (made.shape.name, made.label_names) == (ends[1], ())
    assert rows_of(made) == EXPECTED[ends]
    report = StepReport(f"convert {ends[0]} -> {ends[1]}", before.num_rows, len(EXPECTED[ends]), BY_ENDS[ends].reason)
    assert made.history == (report,)


def test_the_class_names_count_and_not_their_numbers():
    dataset = of_shape("class_pair", ("contradiction", "neutral", "entailment"))
    assert rows_of(convert(dataset, BY_ENDS["class_pair", "triplet"])) == [("p1", "c1", "e1")]


def test_every_split_is_converted():
    dataset = dataset_of("mine", "ranked", {"train": ROWS["ranked"], "dev": ROWS["ranked"]})
    made = convert(dataset, BY_ENDS["ranked", "triplet"])
    assert made.splits["dev"].to_dict() == made.splits["train"].to_dict()
    assert (made.history[0].rows_in, made.history[0].rows_out) == (4, 6)


def test_drawn_texts_are_of_the_right_class_and_the_same_each_time():
    texts = [f"{letter}{number}" for letter in "abc" for number in range(5)]
    dataset = dataset_of("mine", "labelled_text", {"train": {"text": texts, "label": [n // 5 for n in range(15)]}})
    triplets = rows_of(convert(dataset, BY_ENDS["labelled_text", "triplet"]))
    assert [anchor for anchor, _, _ in triplets] == texts
    assert all(
        anchor != positive and anchor[0] == positive[0] != negative[0] for anchor, positive, negative in triplets
    )
    assert rows_of(convert(dataset, BY_ENDS["labelled_text", "triplet"])) == triplets


@pytest.mark.parametrize("target", ["triplet", "positive_pair", "binary_pair", "scored_pair"])
def test_classes_that_are_not_those_of_nli_are_refused(target):
    with pytest.raises(ShapeError) as error:
        convert(of_shape("class_pair", ("same", "different", "unclear")), BY_ENDS["class_pair", target])
    assert str(error.value) == (
        "The classes of mine are same, different, unclear; this conversion reads NLI classes "
        "(entailment, neutral, contradiction). Name yours in that spelling with dataset.reader.label_names=[...], "
        "in the order of their numbers, or choose loss=softmax."
    )


def test_classes_without_names_are_said_to_be_not_named():
    with pytest.raises(ShapeError, match="The classes of mine are not named; "):
        convert(of_shape("class_pair", ()), BY_ENDS["class_pair", "triplet"])


def test_a_conversion_that_leaves_no_row_to_train_on_is_refused():
    all_different = {"sentence1": ["a"], "sentence2": ["b"], "label": [0]}
    with pytest.raises(ShapeError) as error:
        convert(dataset_of("mine", "binary_pair", {"train": all_different}), BY_ENDS["binary_pair", "positive_pair"])
    assert str(error.value) == (
        "No row of mine is left after binary_pair -> positive_pair (pairs labelled 1 only). "
        "Choose another shape with shape=<name>, or other data."
    )


@pytest.mark.parametrize(
    ("offered", "accepted", "start", "targets"),
    [
        (["class_pair", "positive_pair"], ["triplet", "positive_pair"], "positive_pair", []),  # as it is comes first
        (["class_pair"], ["triplet", "positive_pair"], "class_pair", ["triplet"]),  # then the loss's order
        (["class_pair"], ["positive_pair", "triplet"], "class_pair", ["positive_pair"]),
        (["labelled_text"], ["binary_pair", "positive_pair"], "labelled_text", ["positive_pair"]),  # one beats two
        (["labelled_text"], ["scored_pair"], "labelled_text", ["triplet", "binary_pair", "scored_pair"]),
        (["ranked", "binary_pair"], ["scored_pair"], "binary_pair", ["scored_pair"]),
    ],
)
def test_the_shortest_way_is_taken(offered, accepted, start, targets):
    begins_with, conversions = route(offered, accepted)
    assert (begins_with, [conversion.target for conversion in conversions]) == (start, targets)


@pytest.mark.parametrize("offered", [["scored_pair"], ["text"], ["positive_pair", "text"], []])
def test_without_a_way_there_is_none(offered):
    assert route(offered, ["triplet", "binary_pair"]) is None


def triplets(num_negatives):
    columns = {f"negative_{number}": [f"n{number}"] for number in range(1, num_negatives + 1)}
    return dataset_of("mine", "triplet", {"train": {"anchor": ["a"], "positive": ["p"], **columns}})


def test_further_negatives_go_to_rows_of_their_own():
    made = limit_negatives(triplets(3), 1)
    assert rows_of(made) == [("a", "p", "n1"), ("a", "p", "n2"), ("a", "p", "n3")]
    assert made.history == (StepReport("at most 1 negative(s) a row", 1, 3, "one row for each further negative"),)
    assert rows_of(limit_negatives(triplets(4), 2)) == [("a", "p", "n1", "n2"), ("a", "p", "n3", "n4")]


def test_negatives_that_do_not_divide_evenly_are_all_kept():
    made = limit_negatives(triplets(3), 2)
    assert {text for row in rows_of(made) for text in row} == {"a", "p", "n1", "n2", "n3"}


@pytest.mark.parametrize(("dataset", "most"), [(triplets(3), None), (triplets(3), 3), (of_shape("binary_pair"), 0)])
def test_rows_within_the_limit_stay_as_they_are(dataset, most):
    assert limit_negatives(dataset, most) is dataset
