"""split_missing: rows that share a text stay together, given splits stay, and the seed decides."""

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from embexp.data.checks import dataset_of
from embexp.data.dataset import StepReport
from embexp.errors import ConfigError, DataError
from embexp.steps.split import connected_rows, split_missing


def pairs(anchors, positives, **others):
    splits = {"train": {"anchor": list(anchors), "positive": list(positives)}, **others}
    return dataset_of("mine", "positive_pair", splits)


def rows_of(dataset):
    """The rows of each split as a list of tuples."""
    return {
        split: list(zip(rows["anchor"][:], rows["positive"][:], strict=True)) for split, rows in dataset.splits.items()
    }


TEN = pairs([f"a{number}" for number in range(10)], [f"p{number}" for number in range(10)])


def test_dev_and_test_get_their_share_and_no_row_is_lost():
    made = split_missing(TEN, dev=0.2, test=0.3, seed=1)
    sizes = {split: rows.num_rows for split, rows in made.splits.items()}
    assert sizes == {"train": 5, "dev": 2, "test": 3}
    assert sorted(row for rows in rows_of(made).values() for row in rows) == rows_of(TEN)["train"]
    assert made.history == (StepReport("split", 10, 10, "train 5, dev 2, test 3"),)


def test_rows_keep_their_order_within_a_split():
    for rows in rows_of(split_missing(TEN, dev=0.4, test=0.3, seed=1)).values():
        assert rows == sorted(rows)


def test_the_same_seed_gives_the_same_splits_and_another_one_others():
    first, again, other = (rows_of(split_missing(TEN, 0.3, 0.3, seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("columns", "groups"),
    [
        ([["a", "b", "c"], ["x", "y", "z"]], [[0], [1], [2]]),
        ([["a", "b", "a"], ["x", "y", "z"]], [[0, 2], [1]]),
        ([["a", "b", "c"], ["x", "y", "a"]], [[0, 2], [1]]),  # the text stands in another column
        ([["a", "b", "d", "c"], ["b", "x", "y", "x"]], [[0, 1, 3], [2]]),  # 0 and 3 only through 1
        ([["q", "r", "s"], [["a", "b"], ["c"], ["b", "d"]]], [[0, 2], [1]]),  # lists of texts
    ],
)
def test_rows_that_share_a_text_are_connected(columns, groups):
    assert connected_rows(columns) == groups


@pytest.mark.parametrize("seed", range(5))
def test_connected_rows_go_to_one_split(seed):
    dataset = pairs(["a", "a", "c", "d", "e", "f"], ["b", "c", "x", "y", "z", "w"])
    made = rows_of(split_missing(dataset, dev=0.5, test=0.0, seed=seed))
    assert {"train", "dev"} == set(made)
    assert sum({("a", "b"), ("a", "c"), ("c", "x")} <= set(rows) for rows in made.values()) == 1


def test_one_large_group_does_not_keep_single_rows_from_their_share():
    dataset = pairs(["same"] * 50 + [f"a{number}" for number in range(50)], [f"p{number}" for number in range(100)])
    made = [split_missing(dataset, dev=0.1, test=0.1, seed=seed) for seed in range(20)]
    assert {(each.splits["dev"].num_rows, each.splits["test"].num_rows) for each in made} == {(10, 10)}


def test_given_splits_stay_as_they_are():
    given_test = {"anchor": ["q"], "positive": ["r"]}
    made = split_missing(pairs("abcd", "wxyz", test=given_test), dev=0.25, test=0.5, seed=1)
    assert made.splits["test"].to_dict() == given_test
    assert (made.splits["train"].num_rows, made.splits["dev"].num_rows) == (3, 1)
    assert list(made.splits) == ["train", "dev", "test"]


@pytest.mark.parametrize(
    "dataset",
    [
        pairs("ab", "cd", dev={"anchor": ["e"], "positive": ["f"]}, test={"anchor": ["g"], "positive": ["h"]}),
        dataset_of("mine", "positive_pair", {"dev": {"anchor": ["a"], "positive": ["b"]}}),
    ],
    ids=["nothing_is_missing", "nothing_to_take_from"],
)
def test_a_data_set_that_needs_no_split_is_returned_itself(dataset):
    assert split_missing(dataset, dev=0.5, test=0.4, seed=1) is dataset


def test_a_share_of_0_makes_no_split():
    assert list(split_missing(TEN, dev=0.0, test=0.1, seed=1).splits) == ["train", "test"]
    assert split_missing(TEN, dev=0, test=0, seed=1) is TEN


@pytest.mark.parametrize(("dev", "test"), [(-0.1, 0.2), (0.2, -0.1), (0.5, 0.5), (1.0, 0.0), (0.9, 10)])
def test_shares_out_of_range_are_refused(dev, test):
    with pytest.raises(ConfigError) as error:
        split_missing(TEN, dev, test, seed=1)
    expected = f"dev={dev} and test={test} must be 0 or more and add up to less than 1."
    assert str(error.value) == expected


def test_too_few_rows_for_a_split_are_refused():
    with pytest.raises(DataError, match=r"3 rows of mine, 3 groups .* leave nothing for dev and test"):
        split_missing(pairs("abc", "xyz"), dev=0.1, test=0.1, seed=1)


TEXTS = st.sampled_from([f"t{number}" for number in range(60)])
SHARES = st.sampled_from([0.0, 0.25, 0.4])


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=25), SHARES, SHARES, st.integers(0, 9))
def test_no_text_is_in_two_splits_and_no_row_is_lost(rows, dev, test, seed):
    try:
        made = rows_of(split_missing(pairs(*zip(*rows, strict=True)), dev, test, seed))
    except DataError:  # too few rows for a share that small
        reject()
    assert sorted(row for split in made.values() for row in split) == sorted(rows)
    texts = [{text for row in split for text in row} for split in made.values()]
    assert sum(map(len, texts)) == len(set().union(*texts))
    assert len(made.get("dev", [])) <= dev * len(rows)
    assert len(made.get("test", [])) <= test * len(rows)
