"""EmbeddingDataset: the check against its shape, fingerprints, its texts, and what a loss is given."""

import pytest
from datasets import Dataset

from embexp.data.dataset import StepReport, fingerprint
from embexp.data.row_checks import check_rows, dataset_of
from embexp.errors import DataError

PAIRS = {"sentence1": ["a", "b"], "sentence2": ["c", "d"]}


def test_all_faults_are_reported_at_once_with_column_row_and_fix():
    with pytest.raises(DataError) as error:
        dataset_of(
            "mine",
            "scored_pair",
            {
                "train": {"sentence1": ["a", " ", ""], "sentence2": ["d", "e", "f"], "score": [0.0, 1.0, 4.5]},
                "dev": {"sentence1": ["g"], "score": [0.5], "right": ["h"]},
            },
        )
    assert [str(problem).removeprefix("Data set mine is not a scored_pair: ") for problem in error.value.problems] == [
        "train.sentence1: 2 of 3 rows hold no text, first in row 2: ' '.",
        "train.score: 1 of 3 labels do not fit, first in row 3: 4.5. "
        "Expected numbers from 0 to 1, or the range of yours.\nhint: type dataset.reader.score_range=[0,5]",
        "dev has the columns sentence1, score, right; missing: sentence2.\n"
        "hint: type 'dataset.reader.columns={sentence2: right}'",
    ]


@pytest.mark.parametrize(
    ("shape", "label", "label_names", "fault"),
    [
        ("binary_pair", {"label": [1, 2]}, (), "row 2: 2. Expected 0 or 1."),
        ("class_pair", {"label": [2, 3]}, ("x", "y", "z"), "row 2: 3. Expected whole numbers below 3."),
        ("class_pair", {"label": [-1, 3]}, (), "row 1: -1. Expected whole numbers from 0."),
        ("class_pair", {"label": ["x", "y"]}, ("x", "y"), "2 of 2 labels do not fit, first in row 1: 'x'."),
        ("scored_pair", {"score": [0.5, None]}, (), "row 2: None. Expected numbers from 0 to 1"),
        ("scored_pair", {"score": [float("nan"), -0.1]}, (), "2 of 2 labels do not fit, first in row 1: nan."),
    ],
)
def test_labels_out_of_range_are_faults(shape, label, label_names, fault):
    with pytest.raises(DataError) as error:
        dataset_of("mine", shape, {"train": PAIRS | label}, label_names)
    assert fault in str(error.value)


def test_a_text_that_is_a_number_is_a_fault():
    with pytest.raises(DataError, match=r"train\.text: 1 of 1 rows hold no text, first in row 1: 12\."):
        dataset_of("mine", "text", {"train": {"text": [12]}})


def test_a_data_set_without_faults_is_returned_itself():
    dataset = dataset_of("mine", "binary_pair", {"train": PAIRS | {"label": [0, 1]}})
    assert check_rows(dataset) is dataset


ROWS = {"text": ["a", "b", "c"], "label": [1, 2, 3]}
LARGER = Dataset.from_dict({"label": [9, 1, 2, 3, 8], "text": ["z", "a", "b", "c", "y"], "other": [0.5] * 5})


def test_the_same_rows_have_the_same_fingerprint():
    assert fingerprint(Dataset.from_dict(ROWS)) == fingerprint(Dataset.from_dict(ROWS))


@pytest.mark.parametrize(
    "places",
    [
        [1, 2, 3],
        [3, 1, 2],
    ],
)
def test_the_fingerprint_does_not_tell_how_the_rows_were_made(places):
    selected = LARGER.select(places).select_columns(["text", "label"])
    assert fingerprint(selected) == fingerprint(Dataset.from_dict(selected[:]))


@pytest.mark.parametrize(
    "other",
    [
        {"text": ["a", "b", "d"], "label": [1, 2, 3]},
        {"text": ["a", "b", "c"], "label": [1, 2, 4]},
        {"text": ["b", "a", "c"], "label": [2, 1, 3]},
        {"text": ["a", "b"], "label": [1, 2]},
        {"label": [1, 2, 3], "text": ["a", "b", "c"]},
        {"words": ["a", "b", "c"], "label": [1, 2, 3]},
        {"text": ["a", "bc", ""], "label": [1, 2, 3]},
    ],
    ids=["text", "label", "row_order", "fewer_rows", "column_order", "column_name", "text_border"],
)
def test_other_content_has_another_fingerprint(other):
    assert fingerprint(Dataset.from_dict(other)) != fingerprint(Dataset.from_dict(ROWS))


def test_fingerprints_are_named_by_split():
    dataset = dataset_of("mine", "text", {"train": {"text": ["a"]}, "test": {"text": ["b"]}})
    prints = dataset.fingerprints()
    assert list(prints) == ["train", "test"]
    assert prints["train"] == fingerprint(Dataset.from_dict({"text": ["a"]})) != prints["test"]
    assert len(prints["train"]) == 16


def test_texts_of_ranked_rows_come_one_by_one():
    rows = {"query": ["q", "r"], "positives": [["p1", "p2"], ["s"]], "negatives": [["n"], []]}
    dataset = dataset_of("mine", "ranked", {"train": rows})
    assert list(dataset.texts("train")) == ["q", "r", "p1", "p2", "s", "n"]


def test_training_rows_hold_the_columns_of_the_shape_in_its_order():
    columns = {"id": [7], "score": [0.5], "sentence2": ["b"], "sentence1": ["a"]}
    dataset = dataset_of("mine", "scored_pair", {"train": columns})
    assert dataset.training_rows().column_names == ["sentence1", "sentence2", "score"]


@pytest.mark.parametrize(
    ("splits", "named"), [({"dev": {"text": ["a"]}}, "dev"), ({"train": {"text": []}}, "train"), ({}, "none")]
)
def test_without_rows_to_train_on_the_splits_are_named(splits, named):
    with pytest.raises(DataError) as error:
        dataset_of("mine", "text", splits).training_rows()
    expected = f"Data set mine has no rows to train on (splits: {named}). Expected a split called train."
    assert str(error.value) == expected


def test_a_step_is_reported_with_its_rows_in_and_out():
    before = dataset_of("mine", "text", {"train": {"text": ["a", "b"]}, "dev": {"text": ["c"]}})
    after = before.after("drop", {"train": before.splits["train"].select([0])}, "too short")
    assert (before.history, after.history) == ((), (StepReport("drop", 3, 1, "too short"),))
    assert str(after.history[0]) == "drop: 3 -> 1 rows (too short)"
