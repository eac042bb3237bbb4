"""The leak audit: counts by pair of splits and level, what goes, what the evaluator asks, and the published sets."""

import logging

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.steps.dedup.leaks import _single_texts, _texts_together, audit_leaks, find_leaks, leaked_rows


def pairs(**splits):
    """A data set of positive pairs from (anchor, positive) rows."""
    columns = {
        split: {"anchor": [row[0] for row in rows], "positive": [row[1] for row in rows]}
        for split, rows in splits.items()
    }
    return dataset_of("mine", "positive_pair", columns)


def rows_of(dataset, split):
    return [tuple(row.values()) for row in dataset.splits[split]]


LEAKY = pairs(
    train=[("A cat.", "It sat."), ("a dog", "it ran"), ("a bird", "it flew")],
    dev=[("it sat", "a  CAT!"), ("a fish", "it swam"), ("a dog", "it slept")],
    test=[("a bird", "it flew"), ("it flew", "A bird"), ("a fish", "it swam"), ("a cow", "it ate")],
)


def test_leaks_are_counted_by_splits_and_level():
    leaks = find_leaks(LEAKY)
    counts = {(leak.held_out, leak.seen, leak.level): (leak.rows, leak.distinct, leak.num_rows) for leak in leaks.found}
    assert counts == {
        ("dev", "train", "row"): (1, 1, 3),
        ("dev", "train", "text"): (2, 3, 3),
        ("test", "train", "row"): (2, 1, 4),  # two rows, one pair
        ("test", "train", "text"): (2, 2, 4),
        ("test", "dev", "row"): (1, 1, 4),
        ("test", "dev", "text"): (1, 2, 4),
    }
    assert leaks.between("test", "train").rows == 2
    assert leaks.between("dev", "train", "text").distinct == 3


def test_examples_are_the_texts_that_leak():
    leaks = find_leaks(LEAKY, examples=1)
    assert leaks.between("dev", "train").examples == ("it sat | a  CAT!",)
    assert leaks.between("dev", "train", "text").examples == ("it sat",)
    assert find_leaks(LEAKY, examples=0).between("dev", "train").examples == ()


def test_lines_are_for_people():
    lines = find_leaks(LEAKY, examples=1).lines()
    assert lines[:4] == [
        "1 of 3 dev rows (33.3 %) also stand in train, 1 different",
        "  it sat | a  CAT!",
        "2 of 3 dev rows (66.7 %) share a text with train, 3 different",
        "  it sat",
    ]
    assert find_leaks(pairs(train=[("a", "b")], test=[("c", "d")])).lines() == []


def test_long_examples_are_cut():
    text = "word " * 40
    (example,) = find_leaks(pairs(train=[(text, "b")], test=[(text, "b")])).between("test", "train").examples
    assert example == f"{text[:79]}… | b"


def test_near_rows_are_counted_apart_from_the_same_ones():
    long, near = "The committee approved the annual budget", "The committee approved the annual budgets"
    dataset = pairs(
        train=[(long, "Yes it did"), ("other", "text")],
        test=[(near, "yes it did"), ("Yes, it did", near), (long, "yes it did"), (long, "no"), ("x", "y")],
    )
    leak = find_leaks(dataset, near_threshold=0.8).between("test", "train", "near")
    assert (leak.rows, leak.distinct) == (2, 2)
    assert leak.examples[0] == f"{near} | yes it did ~ {long} | Yes it did"
    assert find_leaks(dataset).between("test", "train", "row").rows == 1


def test_nothing_is_removed_without_request_and_leaks_are_logged(caplog):
    with caplog.at_level(logging.INFO):
        made = audit_leaks(LEAKY)
    assert made.splits == LEAKY.splits
    assert made.history[0].reason.startswith("1 of 3 dev rows (33.3 %) also stand in train; 2 of 3 dev rows")
    assert "mine: 2 of 4 test rows (50.0 %) also stand in train, 1 different" in caplog.messages


def test_train_rows_that_stand_in_dev_or_test_go():
    made = audit_leaks(LEAKY, remove="train")
    assert rows_of(made, "train") == [("a dog", "it ran")]
    assert {split: rows.num_rows for split, rows in made.splits.items()} == {"train": 1, "dev": 3, "test": 4}
    assert made.history[0].reason.endswith("; 2 train rows removed")
    assert find_leaks(made).between("test", "train").rows == find_leaks(made).between("dev", "train").rows == 0


def test_dev_and_test_rows_that_stand_in_train_go():
    made = audit_leaks(LEAKY, remove="eval")
    assert rows_of(made, "dev") == rows_of(LEAKY, "dev")[1:]
    assert rows_of(made, "test") == rows_of(LEAKY, "test")[2:]
    assert made.history[0].reason.endswith("; 1 dev rows removed; 2 test rows removed")


def test_a_split_is_not_emptied():
    dataset = pairs(train=[("a", "b"), ("c", "d")], dev=[("a", "b")])
    with pytest.raises(DataError, match=r"audit_leaks leaves no row of dev in mine \(1 of 1 dev rows"):
        audit_leaks(dataset, remove="eval")


def test_a_data_set_without_leaks_says_so():
    made = audit_leaks(pairs(train=[("a", "b")], dev=[("c", "d")]), remove="train", near_threshold=0.8)
    assert made.history[0].reason == "no leaks among train, dev"


def test_an_audit_before_the_split_is_refused():
    with pytest.raises(ConfigError, match=r"has only the split train, (.|\n)*hint: type step=\[split,leaks\]"):
        audit_leaks(pairs(train=[("a", "b")]), remove="eval")


def test_all_bad_arguments_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        audit_leaks(LEAKY, remove="all", near_threshold=0, examples=-1)
    for fault in (
        "remove=all was given. Expected one of: nothing, train, eval.",
        "near_threshold=0 was",
        "examples=-1",
    ):
        assert fault in str(error.value)


def test_rows_of_later_batches_have_their_own_numbers():
    dataset = pairs(
        train=[(f"a {number}", "b") for number in range(20_005)], test=[(f"a {number}", "b") for number in (3, 20_004)]
    )
    made = audit_leaks(dataset, remove="train")
    assert made.splits["train"]["anchor"][:] == [f"a {number}" for number in range(20_004) if number != 3]


TRAINED = {
    "pairs": pairs(train=[("a", "b"), ("a", "n")]),
    "triplet": dataset_of(
        "t", "triplet", {"train": {"anchor": ["a"], "positive": ["b"], "negative_1": ["x"], "negative_2": ["n"]}}
    ),
    "ranked": dataset_of("r", "ranked", {"train": {"query": ["a"], "positives": [["z", "b"]], "negatives": [["n"]]}}),
}
JUDGED = {
    "test": {"sentence1": ["a", "B!", "n", "b", "a"], "sentence2": ["b", "A", "a", "n", "c"], "score": [0.5] * 5},
}


@pytest.mark.parametrize("trained", TRAINED)
def test_texts_are_seen_when_they_stood_in_one_row_of_any_shape(trained):
    judged = dataset_of("judged", "scored_pair", JUDGED)
    # "b" with "n" never stood together: they are not anchor and other text.
    assert leaked_rows(TRAINED[trained], judged, "test").tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("trained", TRAINED)
def test_a_single_text_is_seen_in_any_row(trained):
    judged = dataset_of("judged", "text", {"dev": {"text": ["A", "b", "n", "c"]}})
    assert leaked_rows(TRAINED[trained], judged, "dev").tolist() == [True, True, True, False]


def test_ranked_rows_count_by_each_combination():
    judged = {"query": ["a", "b", "q"], "positives": [["y", "b"], ["y"], ["b"]], "negatives": [[], ["a"], []]}
    mask = leaked_rows(TRAINED["pairs"], dataset_of("judged", "ranked", {"test": judged}), "test")
    assert mask.tolist() == [True, True, False]
    assert mask.dtype == bool


def test_pairs_are_not_seen_in_single_texts_nor_without_a_train_split():
    judged = dataset_of("judged", "scored_pair", JUDGED)
    assert not leaked_rows(dataset_of("t", "text", {"train": {"text": ["a", "b"]}}), judged, "test").any()
    assert leaked_rows(pairs(dev=[("a", "b")]), judged, "test").tolist() == [False] * 5


WORDS = st.sampled_from(["a", "b", "A", "b!", "c", "你", "你。"])
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None, database=None)
@given(PAIRS, PAIRS)
def test_the_counts_are_those_of_sets(train, test):
    def read(row):
        return tuple(sorted(text.lower().strip("!。") for text in row))

    dataset = pairs(train=train, test=test)
    seen, texts = {read(row) for row in train}, {text for row in train for text in read(row)}
    expected = [read(row) in seen for row in test]
    assert leaked_rows(dataset, dataset, "test").tolist() == expected
    leaks = find_leaks(dataset, examples=2)
    leak, shared = leaks.between("test", "train"), leaks.between("test", "train", "text")
    assert (leak.rows, leak.distinct) == (sum(expected), len(seen & {read(row) for row in test}))
    assert shared.rows == sum(bool(set(read(row)) & texts) for row in test)
    assert shared.distinct == len({text for row in test for text in read(row)} & texts)


# "Pairs in common" of the folder's README. There an underscore is no punctuation (it is a \w): three MRPC pairs that
# differ in a dash written "_" are pairs in common here and not there, where mrpc/test and mrpc/train have 11.
IN_COMMON = [
    ("mrpc/test", "mrpc/train", 14),
    ("mrpc/test", "stsb/test", 123),
    ("mrpc/test", "stsb/train", 498),
    ("mrpc/test", "stsb/validation", 130),
    ("mrpc/train", "stsb/test", 128),
    ("mrpc/train", "stsb/train", 504),
    ("mrpc/train", "stsb/validation", 121),
    ("stsb/test", "stsb/train", 12),
    ("stsb/test", "stsb/validation", 3),
    ("stsb/train", "stsb/validation", 8),
    ("trec/test", "trec/train", 11),
    ("zh_lcqmc/test", "zh_lcqmc/validation", 31),
    ("zh_pawsx/test", "zh_pawsx/validation", 25),
    ("zh_stsb/test", "zh_stsb/train", 17),
    ("zh_stsb/test", "zh_stsb/validation", 6),
    ("zh_stsb/train", "zh_stsb/validation", 18),
]


def published(folder, file, split="train"):
    """The texts of a public file as one split, without their labels."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / f"{file}.parquet")
    if "text" in table.column_names:
        return dataset_of(file, "text", {split: {"text": table["text"].to_pylist()}})
    columns = {"anchor": table["sentence1"].to_pylist(), "positive": table["sentence2"].to_pylist()}
    return dataset_of(file, "positive_pair", {split: columns})


@pytest.mark.parametrize(("first", "second", "num_pairs"), IN_COMMON)
def test_published_sets_have_these_pairs_in_common(real_data, first, second, num_pairs):
    one = _texts_together(published(real_data, first), "train")
    other = _texts_together(published(real_data, second), "train")
    assert len(numpy.unique(one.values[one.among(other)])) == num_pairs
    assert len(numpy.unique(other.values[other.among(one)])) == num_pairs


def test_the_audit_of_sts_b(real_data):
    files = {"train": "train", "dev": "validation", "test": "test"}
    splits = {split: published(real_data, f"stsb/{file}").splits["train"] for split, file in files.items()}
    dataset = dataset_of("stsb", "positive_pair", {split: rows.to_dict() for split, rows in splits.items()})
    leaks = find_leaks(dataset)
    found = [leaks.between(*which) for which in (("test", "train"), ("test", "dev"), ("dev", "train"))]
    assert [(leak.distinct, leak.rows) for leak in found] == [(12, 12), (3, 4), (8, 8)]
    assert leaked_rows(dataset, dataset, "test").sum() == 12


def test_mrpc_leaks_into_sts_b(real_data):
    train, judged = published(real_data, "mrpc/train"), published(real_data, "stsb/test", split="test")
    assert leaked_rows(train, judged, "test").sum() == 128
    texts = _single_texts(judged, "test")
    assert numpy.array_equal(texts.rows_of(texts.among(texts)), numpy.ones(1379, dtype=bool))
