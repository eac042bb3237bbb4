"""split: rows that share a text stay together, given splits stay, hashes and the seed decide."""

from collections import Counter

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.steps.split import draw_rows, split
from embexp.steps.split_groups import connected_rows, identical_rows


def pairs(anchors, positives, **others):
    splits = {"train": {"anchor": list(anchors), "positive": list(positives)}, **others}
    return dataset_of("mine", "positive_pair", splits)


def numbered(many):
    return pairs([f"a{number:04}" for number in range(many)], [f"p{number}" for number in range(many)])


def rows_of(dataset):
    """The rows of each split as a list of tuples."""
    return {
        name: list(zip(*(rows[column][:] for column in rows.column_names), strict=True))
        for name, rows in dataset.splits.items()
    }


def sizes_of(dataset):
    return {name: rows.num_rows for name, rows in dataset.splits.items()}


def groups_of(columns, group=connected_rows):
    names = [f"column{number}" for number in range(len(columns))]
    table = dataset_of("mine", "text", {"train": {"text": ["x"] * len(columns[0])}}).splits["train"]
    for name, column in zip(names, columns, strict=True):
        table = table.add_column(name, column)
    return group(table, names).of_rows.tolist()


def test_train_dev_and_test_get_their_share_and_no_row_is_lost():
    made = split(numbered(5000))
    assert sizes_of(made) == pytest.approx({"train": 4000, "dev": 500, "test": 500}, abs=80)
    assert sorted(row for rows in rows_of(made).values() for row in rows) == rows_of(numbered(5000))["train"]
    (report,) = made.history
    assert (report.step, report.rows_in, report.rows_out) == ("split", 5000, 5000)
    assert report.reason == "train {train:,}, dev {dev}, test {test}".format(**sizes_of(made))


def test_rows_keep_their_order_within_a_split():
    for rows in rows_of(split(numbered(100), (4, 3, 3))).values():
        assert rows == sorted(rows)


def test_the_same_seed_gives_the_same_splits_and_another_one_others():
    first, again, other = (rows_of(split(numbered(50), (4, 3, 3), seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("columns", "groups"),
    [
        ([["a", "b", "c"], ["x", "y", "z"]], [0, 1, 2]),
        ([["a", "b", "a"], ["x", "y", "z"]], [0, 1, 0]),
        ([["a", "b", "c"], ["x", "y", "a"]], [0, 1, 0]),  # the text stands in another column
        ([["a", "b", "d", "c"], ["b", "x", "y", "x"]], [0, 0, 1, 0]),  # 0 and 3 only through 1
        ([["q", "r", "s"], [["a", "b"], ["c"], ["b", "d"]]], [0, 1, 0]),  # lists of texts
        ([["q", "r", "s"], [["a"], [], ["b", "a"]], [[], ["q"], []]], [0, 0, 0]),
        ([["a", "A", "a."], ["x", "y", "z"]], [0, 0, 0]),  # case, spaces and punctuation do not count
    ],
)
def test_rows_that_share_a_text_are_connected(columns, groups):
    assert groups_of(columns) == groups


@pytest.mark.parametrize(
    ("columns", "groups"),
    [
        ([["a", "b", "a", "b"], ["x", "y", "z", "y"]], [0, 1, 2, 1]),
        ([["a", "x"], ["x", "a"]], [0, 1]),
        ([["q", "r", "q"], [["a", "b"], ["a"], ["a", "b"]]], [0, 1, 0]),
    ],
)
def test_identical_rows_are_known(columns, groups):
    assert groups_of(columns, identical_rows) == groups


@pytest.mark.parametrize("seed", range(5))
def test_connected_rows_go_to_one_split(seed):
    dataset = pairs(["a", "a", "c", "d", "e", "f", *"ghijklmn"], ["b", "c", "x", "y", "z", "w", *"GHIJKLMN"])
    made = rows_of(split(dataset, (5, 5, 0), seed=seed))
    assert {"train", "dev"} == set(made)
    assert sum({("a", "b"), ("a", "c"), ("c", "x")} <= set(rows) for rows in made.values()) == 1


def test_a_group_larger_than_the_smallest_split_is_in_train_and_reported():
    dataset = pairs(["same"] * 50 + [f"a{number}" for number in range(50)], [f"p{number}" for number in range(100)])
    for seed in range(20):
        made = split(dataset, seed=seed)
        assert rows_of(made)["train"][:50] == rows_of(dataset)["train"][:50]
        assert min(sizes_of(made).values()) > 0
        assert made.history[0].reason.endswith(
            "; 1 group(s) of connected rows, the largest of 50, are larger than the smallest split and stay in train"
        )


def test_a_given_split_stays_and_the_others_share_by_their_ratios():
    given_test = {"anchor": ["q"], "positive": ["r"]}
    dataset = numbered(3000)
    dataset = pairs(*dataset.splits["train"].to_dict().values(), test=given_test)
    made = split(dataset, (2, 1, 7))
    assert made.splits["test"].to_dict() == given_test
    assert sizes_of(made) == pytest.approx({"train": 2000, "dev": 1000, "test": 1}, abs=80)
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
    assert split(dataset) is dataset


def test_a_ratio_of_0_makes_no_split():
    assert list(split(numbered(30), (9, 0, 1)).splits) == ["train", "test"]
    whole = split(numbered(30), (1, 0, 0))
    assert (sizes_of(whole), str(whole.history[0])) == ({"train": 30}, "split: 30 -> 30 rows (all rows are train)")


def test_few_rows_still_give_each_split_one():
    for seed in range(20):
        assert sizes_of(split(pairs("abc", "xyz"), seed=seed)) == {"train": 1, "dev": 1, "test": 1}


@pytest.mark.parametrize("dataset", [pairs("ab", "xy"), pairs("aaaaaa", "uvwxyz")], ids=["too_few", "all_connected"])
def test_groups_that_are_too_few_are_refused(dataset):
    with pytest.raises(DataError, match=r"mine cannot be divided into train, dev, test: its rows make \d group\(s\)"):
        split(dataset)


def test_rows_drawn_alone_may_share_texts_and_the_report_counts_them():
    dataset = pairs(["same"] * 400, [f"p{number // 2}" for number in range(400)])
    made = split(dataset, by="rows")
    assert sizes_of(made) == pytest.approx({"train": 320, "dev": 40, "test": 40}, abs=25)
    texts = [{text for row in rows for text in row} for rows in rows_of(made).values()]
    assert [sum("same" in of_split for of_split in texts), sum(map(len, texts))] == [3, 203]  # identical rows together
    assert made.history[0].reason.endswith("; 1 texts are in two splits")


def labelled(shape, label, labels):
    texts = {"text": [f"t{number}" for number in range(len(labels))]}
    if shape != "labelled_text":
        texts = {"sentence1": texts["text"], "sentence2": [f"u{number}" for number in range(len(labels))]}
    return dataset_of("mine", shape, {"train": texts | {label: labels}})


@pytest.mark.parametrize(
    ("shape", "label", "labels"),
    [
        ("labelled_text", "label", [0] * 100 + [1] * 50 + [2] * 10),
        ("binary_pair", "label", [1] * 150 + [0] * 10),
        ("scored_pair", "score", [1.0] * 60 + [0.85] * 40 + [0.5] * 50 + [0.0] * 10),
    ],
)
def test_stratified_splits_have_the_same_share_of_every_label(shape, label, labels):
    made = split(labelled(shape, label, labels), stratify=True)
    bins = {value: min(int(value * 5), 4) if label == "score" else value for value in set(labels)}
    expected = Counter(bins[value] for value in labels)
    for name, share in (("train", 0.8), ("dev", 0.1), ("test", 0.1)):
        found = Counter(bins[value] for value in made.splits[name][label][:])
        assert found == {value: share * count for value, count in expected.items()}


def test_a_group_counts_with_its_most_frequent_label():
    texts = [f"t{number // 3}" for number in range(300)]
    columns = {"sentence1": texts, "sentence2": texts, "label": [1, 1, 0] * 50 + [0, 0, 1] * 50}
    made = split(dataset_of("mine", "binary_pair", {"train": columns}), stratify=True)
    assert sizes_of(made) == {"train": 240, "dev": 30, "test": 30}
    assert [sum(made.splits[name]["label"][:]) for name in ("dev", "test")] == [15, 15]


def test_with_one_ratio_above_0_all_rows_go_there_and_given_splits_stay():
    assert sizes_of(split(numbered(10), ratios=(0, 0, 1))) == {"test": 10}
    given = pairs(["a", "b"], ["p", "q"], test={"anchor": ["c"], "positive": ["r"]})
    assert rows_of(split(given, ratios=(0, 0, 1))) == rows_of(given)


def test_without_a_ratio_for_train_all_rows_go_to_dev_and_test():
    made = split(numbered(500), ratios=(0, 1, 1))
    assert sizes_of(made) == pytest.approx({"dev": 250, "test": 250}, abs=40)
    assert made.num_rows == 500
    one = pairs(["same"] * 30 + [f"a{n}" for n in range(30)], [f"p{n}" for n in range(60)])
    assert "the largest of 30, are larger than the smallest split and stay in test" in str(
        split(one, (0, 1, 2)).history[0]
    )


@pytest.mark.parametrize(
    ("dataset", "ratios", "ways"),
    [
        (pairs("aaaaaa", "uvwxyz"), (8, 1, 1), ["by=rows", "ratios=[1,0,0]"]),
        (pairs("ab", "xy"), (8, 1, 1), ["ratios=[1,0,0]"]),
        (pairs("aabbccdd", "stuvwxyz"), (8, 1, 1), ["ratios=[2,1,1]", "ratios=[1,0,0]"]),
    ],
)
def test_ways_out_of_groups_that_are_too_few_lead_out(dataset, ratios, ways):
    with pytest.raises(DataError) as error:
        split(dataset, ratios)
    (problem,) = error.value.problems
    assert [fix.replace("dataset.steps.split.", "") for fix in problem.fix] == ways
    for fix in problem.fix:
        changes = dict(part.rpartition(".")[2].split("=") for part in fix.split())
        given = {"ratios": ratios} | changes
        given["ratios"] = [float(each) for each in str(given["ratios"]).strip("[]()").split(",")]
        split(dataset, **given)


def test_all_problems_are_listed_at_once():
    with pytest.raises(ConfigError) as error:
        split(numbered(10), ratios=(8, -1), by="text", stratify=True, seed="x")
    assert [str(problem) for problem in error.value.problems] == [
        "ratios=[8,-1] was given. Expected three numbers for train, dev and test, none below 0 and one or more "
        "above 0.\nhint: type ratios=[8,1,1]\nhint: type ratios=[0,0,1]",
        "by=text was given. Expected one of: texts, rows. Did you mean 'texts'?\nhint: type by=texts",
        "stratify=true needs classes or scores, which mine (positive_pair) does not have.\nhint: type stratify=false",
        "seed=x was given. Expected a whole number.\nhint: type seed=42",
    ]


@pytest.mark.parametrize("ratios", [(0, 0, 0), (8, 1), (8, 1, 1, 1), (8, -1, 1), (8, "1", 1), 8, (True, 1, 1)])
def test_ratios_that_are_none_are_refused(ratios):
    with pytest.raises(ConfigError, match=r"^ratios="):
        split(numbered(10), ratios)


TEXTS = st.sampled_from([f"t{number}" for number in range(60)])
ROWS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=25)
RATIOS = st.tuples(st.sampled_from([1, 4, 8]), st.sampled_from([0, 1, 3]), st.sampled_from([0, 1, 3]))


@settings(max_examples=80, deadline=None, database=None)
@given(ROWS, RATIOS, st.integers(0, 9))
def test_no_text_is_in_two_splits_and_no_row_is_lost(rows, ratios, seed):
    try:
        made = rows_of(split(pairs(*zip(*rows, strict=True)), ratios, seed=seed))
    except DataError:  # too few groups
        reject()
    assert sorted(row for part in made.values() for row in part) == sorted(rows)
    assert all(made.values())
    texts = [{text for row in part for text in row} for part in made.values()]
    assert sum(map(len, texts)) == len(set().union(*texts))
    for part in made.values():  # a subsequence: the order is kept
        remaining = iter(rows)
        assert all(row in remaining for row in part)


@settings(max_examples=40, deadline=None, database=None)
@given(
    st.lists(st.tuples(TEXTS, TEXTS), max_size=30),
    st.sampled_from(["texts", "rows"]),
    st.integers(0, 9),
    st.randoms(use_true_random=False),
)
def test_rows_that_are_added_do_not_move_the_others(added, by, seed, draw):
    before = rows_of(numbered(200))["train"]
    mixed = before + [(f"new {first}", f"new {second}") for first, second in added]
    draw.shuffle(mixed)
    first = rows_of(split(numbered(200), (8, 2, 2), by, seed=seed))
    second = rows_of(split(pairs(*zip(*mixed, strict=True)), (8, 2, 2), by, seed=seed))
    for name, rows in first.items():
        assert set(rows) <= set(second[name])


def with_copies(many, made_by="typos"):
    """Numbered rows, and after each a copy with other texts."""
    numbers = [number for number in range(many) for _ in range(2)]
    marks = ["", "'"] * many
    rows = {
        "anchor": [
            f"a{number:04}{mark}x" if mark else f"a{number:04}" for number, mark in zip(numbers, marks, strict=True)
        ],
        "positive": [f"p{number}" for number in numbers],
        "made_from": [f"id{number}" for number in numbers],
        "made_by": [made_by if mark else None for mark in marks],
    }
    return dataset_of("mine", "positive_pair", {"train": rows})


@pytest.mark.parametrize("by", ["texts", "rows"])
def test_rows_made_of_others_go_with_them_to_train_and_nowhere_else(by):
    made, plain = split(with_copies(200), by=by), split(numbered(200), by=by)
    sources = {name: [row[0] for row in rows if row[3] is None] for name, rows in rows_of(made).items()}
    assert sources == {name: [row[0] for row in rows] for name, rows in rows_of(plain).items()}
    copies = {name: [row[2] for row in rows if row[3]] for name, rows in rows_of(made).items()}
    assert copies == {
        "train": [row[2] for row in rows_of(made)["train"] if row[3] is None],
        "dev": [],
        "test": [],
    }
    held_out = 200 - len(sources["train"])
    assert f"; {held_out} made of rows in other splits, or like them, left out" in made.history[-1].reason
    assert made.num_rows == 400 - held_out


def test_a_row_made_of_another_one_that_has_a_text_of_dev_or_test_is_left_out():
    plain = rows_of(split(numbered(50)))
    (stranger, *_), (kept, *_) = plain["test"][0], plain["train"][0]
    rows = with_copies(50).splits["train"].to_dict()
    place = rows["anchor"].index(kept)
    rows["anchor"][place + 1] = stranger.upper()
    made = split(dataset_of("mine", "positive_pair", {"train": rows}))
    assert sizes_of(made)["train"] == 2 * len(plain["train"]) - 1
    assert stranger.upper() not in made.splits["train"]["anchor"][:]


def test_rows_that_were_all_made_of_others_cannot_be_split():
    rows = with_copies(20).splits["train"].select(range(1, 40, 2)).to_dict()
    with pytest.raises(DataError, match=r"Every row of mine is a copy(.|\n)*hint: type step=\[split,augment_typos\]"):
        split(dataset_of("mine", "positive_pair", {"train": rows}))


def test_labels_of_sources_are_stratified_where_rows_were_made_of_them():
    numbers = [number for number in range(300) for _ in range(2)]
    rows = {"text": [f"t{place}" for place in range(600)], "label": [number % 3 for number in numbers]}
    rows |= {"made_from": [str(number) for number in numbers], "made_by": [None, "typos"] * 300}
    made = split(dataset_of("mine", "labelled_text", {"train": rows}), stratify=True)
    assert Counter(made.splits["test"]["label"][:]) == {0: 10, 1: 10, 2: 10}


def test_rows_are_drawn_with_replacement_from_train_alone_and_by_the_seed():
    dataset = pairs([f"a{number:04}" for number in range(400)], ["p"] * 400, test={"anchor": ["t"], "positive": ["u"]})
    first, same, other = (draw_rows(dataset, seed=seed) for seed in (1, 1, 2))
    assert sizes_of(first) == sizes_of(dataset)
    assert rows_of(first) == rows_of(same) != rows_of(other)
    assert rows_of(first)["test"] == rows_of(dataset)["test"]
    anchors = [anchor for anchor, _ in rows_of(first)["train"]]
    assert anchors == sorted(anchors)
    assert {*anchors} < {anchor for anchor, _ in rows_of(dataset)["train"]}
    assert 0.55 < len({*anchors}) / 400 < 0.71  # 1 - 1 / e
    assert first.history[-1].reason == f"train: {len({*anchors})} different ones"


@pytest.mark.parametrize(("given", "key"), [({"splits": ["valid"]}, "splits"), ({"seed": -1}, "seed")])
def test_a_draw_by_no_split_or_seed_is_refused(given, key):
    with pytest.raises(ConfigError, match=rf"^{key}="):
        draw_rows(numbered(3), **given)
