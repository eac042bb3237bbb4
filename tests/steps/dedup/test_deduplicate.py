"""deduplicate and drop_near_duplicates: which rows repeat, which only contradict, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embexp.data.dataset import StepReport
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError
from embexp.steps.dedup.deduplicate import deduplicate, drop_near_duplicates


def pairs(rows, shape="binary_pair", **others):
    """A data set of (first text, second text, label) rows."""
    label = "score" if shape == "scored_pair" else "label"
    splits = {"train": rows, **others}
    columns = {
        split: dict(zip(("sentence1", "sentence2", label), map(list, zip(*rows, strict=True)), strict=True))
        for split, rows in splits.items()
    }
    return dataset_of("mine", shape, columns)


def rows_of(dataset, split="train"):
    return [tuple(row.values()) for row in dataset.splits[split]]


def test_the_first_of_the_same_rows_stays():
    made = deduplicate(pairs([("a", "b", 1), ("c", "d", 0), ("a", "b", 1), ("b", "a", 1), ("A", "b", 1)]))
    assert rows_of(made) == [("a", "b", 1), ("c", "d", 0), ("b", "a", 1), ("A", "b", 1)]
    assert made.history == (StepReport("deduplicate", 5, 4, "1 repeat an earlier one"),)


def test_texts_of_a_row_are_not_run_together():
    columns = {"anchor": ["ab", "a", "abc"], "positive": ["c", "bc", "abc"]}
    assert deduplicate(dataset_of("mine", "positive_pair", {"train": columns})).num_rows == 3


def test_loosely_the_same_texts_repeat_on_request():
    rows = [("A cat!", "It sat.", 1), ("a  cat", "it sat", 1), ("一只猫。", "坐", 0), ("一只猫", "坐！", 0)]
    assert deduplicate(pairs(rows)).num_rows == 4
    assert rows_of(deduplicate(pairs(rows), ignore_case_and_punctuation=True)) == [rows[0], rows[2]]


def test_pairs_in_either_order_repeat_on_request():
    rows = [("a", "b", 1), ("b", "a", 1), ("a", "a", 1), ("b", "b", 1)]
    assert deduplicate(pairs(rows)).num_rows == 4
    assert rows_of(deduplicate(pairs(rows), either_order=True)) == [rows[0], *rows[2:]]


@pytest.mark.parametrize("shape", ["binary_pair", "scored_pair"])
def test_contradicting_labels_are_counted_and_dropped_only_on_request(shape):
    rows = [("a", "b", 1), ("c", "d", 1), ("a", "b", 0), ("a", "b", 1)]
    kept = deduplicate(pairs(rows, shape))
    assert rows_of(kept) == rows[:3]
    reason = "1 repeat an earlier one, 1 texts or pairs with contradicting labels"
    assert kept.history[0].reason == f"{reason} kept"
    dropped = deduplicate(pairs(rows, shape), on_conflict="drop")
    assert rows_of(dropped) == [("c", "d", 1)]
    assert dropped.history[0].reason == f"{reason} dropped"


def test_contradictions_are_found_in_either_order():
    made = deduplicate(pairs([("a", "b", 1), ("b", "a", 0), ("c", "d", 0)]), either_order=True, on_conflict="drop")
    assert rows_of(made) == [("c", "d", 0)]


def test_texts_with_many_labels_are_counted_once():
    made = deduplicate(pairs([("a", "b", score) for score in (0.1, 0.2, 0.3, 0.1)] + [("c", "d", 0.5)], "scored_pair"))
    assert made.history[0].reason == "1 repeat an earlier one, 1 texts or pairs with contradicting labels kept"


def test_rows_repeat_by_one_column():
    made = deduplicate(pairs([("a", "b", 1), ("a", "c", 0), ("d", "b", 1)]), by="sentence1")
    assert rows_of(made) == [("a", "b", 1), ("d", "b", 1)]
    assert made.history[0].reason == "1 repeat the sentence1 of an earlier one"


def test_each_split_is_checked_alone():
    made = deduplicate(pairs([("a", "b", 1), ("a", "b", 1)], dev=[("a", "b", 1)]))
    assert (rows_of(made), rows_of(made, "dev")) == ([("a", "b", 1)], [("a", "b", 1)])
    assert made.history[0].reason == "1 repeat an earlier one"


def test_lists_of_texts_repeat_as_a_whole():
    columns = {
        "query": ["q", "q", "q", "q", "q"],
        "positives": [["a", "b"], ["a", "b"], ["b", "a"], ["a"], ["a", "b"]],
        "negatives": [[], [], [], ["b"], ["a"]],
    }
    made = deduplicate(dataset_of("mine", "ranked", {"train": columns}))
    assert [row[1] for row in rows_of(made)] == [["a", "b"], ["b", "a"], ["a"], ["a", "b"]]


def test_lists_of_numbers_are_labels_too():
    columns = {"text": ["a", "a", "a"], "label": [[0.1, 0.2], [0.1, 0.2], [0.2, 0.1]]}
    made = deduplicate(dataset_of("mine", "embedded_text", {"train": columns}))
    assert rows_of(made) == [("a", [0.1, 0.2]), ("a", [0.2, 0.1])]
    assert made.history[0].reason == "1 repeat an earlier one, 1 texts or pairs with contradicting labels kept"


def test_all_bad_arguments_are_named_at_once():
    texts = dataset_of("mine", "text", {"train": {"text": ["a"]}})
    with pytest.raises(ConfigError) as error:
        deduplicate(texts, by="txt", either_order=True, on_conflict="keeep")
    for fault in (
        "by=txt was given. Expected one of: row, text. Did you mean 'text'?",
        "either_order=true compares whole pairs, but mine is text (text)",
        "on_conflict=keeep was given. Expected one of: keep, drop. Did you mean 'keep'?",
    ):
        assert fault in str(error.value)
    with pytest.raises(ConfigError, match="on_conflict=drop has no effect without labels"):
        deduplicate(texts, on_conflict="drop")


ROWS = st.lists(st.tuples(st.sampled_from("abAB"), st.sampled_from("ab"), st.integers(0, 1)), min_size=1, max_size=20)


@settings(max_examples=80, deadline=None, database=None)
@given(ROWS, st.booleans(), st.booleans())
def test_what_stays_is_what_a_dictionary_would_keep(rows, loosely, either_order):
    def key(row):
        texts = [text.lower() if loosely else text for text in row[:2]]
        return (*(sorted(texts) if either_order else texts), row[2])

    made = deduplicate(pairs(rows), ignore_case_and_punctuation=loosely, either_order=either_order)
    first = {}
    for row in rows:
        first.setdefault(key(row), row)
    assert rows_of(made) == list(first.values())
    assert deduplicate(made, "row", loosely, either_order).num_rows == made.num_rows


LONG = "The committee approved the annual budget for the coming year"


def test_near_rows_go_and_the_first_stays():
    made = drop_near_duplicates(pairs([(LONG, "Yes", 1), (LONG + "s", "yes!", 1), ("A different text", "Yes", 1)]))
    assert rows_of(made) == [(LONG, "Yes", 1), ("A different text", "Yes", 1)]
    reason = "1 nearly repeat an earlier one, Jaccard similarity from 0.8"
    assert made.history == (StepReport("drop_near_duplicates", 3, 2, reason),)


def test_every_text_must_be_near_and_the_label_the_same():
    rows = [(LONG, "What is it about?", 1), (LONG, "Who approved it?", 1), (LONG + "s", "What is it about?", 0)]
    assert rows_of(drop_near_duplicates(pairs(rows))) == rows


def test_a_row_goes_only_for_one_that_stays():
    # Each is near the next (18 of 22 n-grams), the first and the third are not near (16 of 24).
    texts = ["abcdefghijklmnopqrstuv", "cdefghijklmnopqrstuvwx", "efghijklmnopqrstuvwxyz"]
    dataset = dataset_of("mine", "text", {"train": {"text": texts}})
    assert rows_of(drop_near_duplicates(dataset, threshold=0.8)) == [(texts[0],), (texts[2],)]
    assert drop_near_duplicates(dataset, threshold=0.82).num_rows == 3


def test_near_rows_are_found_in_chinese_and_in_lists():
    zh = ["委员会批准了下一年度的年度预算方案并公布。", "委员会批准了下一年度的年度预算方案并公布了"]
    made = drop_near_duplicates(dataset_of("mine", "text", {"train": {"text": zh}}))
    assert rows_of(made) == [(zh[0],)]
    ranked = {"query": [LONG, LONG], "positives": [[LONG, "a"], [LONG + "s", "a"]], "negatives": [[], []]}
    assert drop_near_duplicates(dataset_of("mine", "ranked", {"train": ranked})).num_rows == 1


def test_all_bad_arguments_of_the_search_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        drop_near_duplicates(pairs([("a", "b", 1)]), threshold=1.5, ngram=0, num_perm=8)
    assert all(fault in str(error.value) for fault in ("threshold=1.5", "ngram=0", "num_perm=8"))
