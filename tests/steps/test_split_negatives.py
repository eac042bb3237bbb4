"""Negatives of rows that are divided: many rows share them, and train has none that dev or test look for."""

import pytest

from embexp.data.row_checks import dataset_of
from embexp.steps.dedup.leaks import find_leaks
from embexp.steps.split import split
from embexp.steps.split_groups import without_negatives_of


def sizes_of(dataset):
    return {name: rows.num_rows for name, rows in dataset.splits.items()}


def mined(shape, many=400, each=3, pool=7):
    """Rows whose negatives are all drawn from a few texts, as mined ones are."""
    texts = [[f"n{(number * 5 + place) % pool}" for place in range(each)] for number in range(many)]
    if shape == "ranked":
        rows = {
            "query": [f"q{n}" for n in range(many)],
            "positives": [[f"p{n}"] for n in range(many)],
            "negatives": texts,
        }
    else:
        rows = {"anchor": [f"q{n}" for n in range(many)], "positive": [f"p{n}" for n in range(many)]}
        rows |= {f"negative_{place + 1}": [row[place] for row in texts] for place in range(each)}
        if shape == "scored_triplet":
            rows["label"] = [[1.0, *(place / 10 for place in range(each))] for _ in range(many)]
    return dataset_of("mine", shape, {"train": rows})


@pytest.mark.parametrize("shape", ["triplet", "ranked", "scored_triplet"])
def test_negatives_that_rows_share_do_not_tie_them_together(shape):
    made = split(mined(shape))
    assert sizes_of(made) == pytest.approx({"train": 320, "dev": 40, "test": 40}, abs=25)
    assert made.num_rows == 400
    assert "left out" not in made.history[-1].reason


def table(shape, **columns):
    return dataset_of("mine", shape, {"train": columns}).splits["train"]


def cleaned(shape, train, test):
    splits = {"train": table(shape, **train), "test": table(shape, **test)}
    dataset = dataset_of("mine", shape, {name: rows.to_dict() for name, rows in splits.items()})
    splits, remarks = without_negatives_of(dataset.shape, dataset.splits)
    return splits["train"].to_dict(), remarks


def test_a_list_loses_the_negatives_that_another_split_looks_for_and_their_scores():
    train = {
        "query": ["a", "b"],
        "positives": [["A"], ["B"]],
        "negatives": [["X!", "T", "n"], ["Q"]],
        "positive_scores": [[1.0], [1.0]],
        "negative_scores": [[0.1, 0.2, 0.3], [0.4]],
    }
    test = {"query": ["q"], "positives": [["x", "t"]], "negatives": [["n"]]}
    test |= {"positive_scores": [[1.0, 1.0]], "negative_scores": [[0.0]]}
    rows, remarks = cleaned("ranked", train, test)
    assert rows["negatives"] == [["n"], []]  # n is only a negative of test
    assert rows["negative_scores"] == [[0.3], []]
    assert remarks == ["3 negatives of train left out, which are queries or positives of other splits"]


def test_another_negative_of_the_row_takes_the_place_and_a_row_without_one_goes():
    train = {"anchor": ["a", "b", "c"], "positive": ["A", "B", "C"]}
    train |= {"negative_1": ["x", "n1", "X."], "negative_2": ["n2", "q", "q"], "negative_3": ["n3", "n4", "x"]}
    test = {"anchor": ["q"], "positive": ["x"], "negative_1": ["n9"], "negative_2": ["n8"], "negative_3": ["n7"]}
    rows, remarks = cleaned("triplet", train, test)
    assert [rows["anchor"], rows["negative_1"], rows["negative_2"], rows["negative_3"]] == [
        ["a", "b"],
        ["n2", "n1"],
        ["n2", "n4"],
        ["n3", "n4"],
    ]
    assert remarks[0].startswith("5 negatives of train left out")
    assert remarks[0].endswith("with 1 rows that had no other")


@pytest.mark.parametrize("positive", [[9.0], []], ids=["scores", "margins"])
def test_a_teachers_score_goes_with_its_negative(positive):
    train = {"anchor": ["a"], "positive": ["A"], "negative_1": ["n1"], "negative_2": ["x"]}
    test = {"anchor": ["q"], "positive": ["x"], "negative_1": ["n9"], "negative_2": ["n8"]}
    labels = {"label": [[*positive, 0.1, 0.2]]}
    rows, _ = cleaned("scored_triplet", train | labels, test | labels)
    assert (rows["negative_2"], rows["label"]) == (["n1"], [[*positive, 0.1, 0.1]])


def test_rows_without_negatives_stay_as_they_are():
    train, test = {"anchor": ["a"], "positive": ["x"]}, {"anchor": ["q"], "positive": ["x"]}
    assert cleaned("positive_pair", train, test) == (train, [])


def test_a_pool_of_answers_loses_only_what_the_other_splits_look_for():
    """Each row's negatives are positives of other rows, as those that were mined among the answers are."""
    many = 300
    rows = {"anchor": [f"q{n}" for n in range(many)], "positive": [f"p{n}" for n in range(many)]}
    rows |= {f"negative_{k}": [f"p{(n + 7 * k) % many}" for n in range(many)] for k in (1, 2, 3)}
    made = split(dataset_of("mine", "triplet", {"train": rows}))
    held_out = {text for name in ("dev", "test") for text in made.splits[name]["positive"][:]}
    train = made.splits["train"]
    assert not held_out & {text for k in (1, 2, 3) for text in train[f"negative_{k}"][:]}
    assert train.num_rows > 200
    assert "negatives of train left out, which are queries or positives of other splits" in made.history[-1].reason


@pytest.mark.parametrize("shape", ["triplet", "ranked"])
def test_a_negative_on_both_sides_stays_and_the_audit_counts_it_as_a_text_and_not_as_a_row(shape):
    train = {"anchor": ["a"], "positive": ["A"], "negative_1": ["n"]}
    test = {"anchor": ["q"], "positive": ["x"], "negative_1": ["N."]}
    if shape == "ranked":
        train, test = (
            {"query": each["anchor"], "positives": [each["positive"]]} | lists(each) for each in (train, test)
        )
    splits = {name: table(shape, **columns).to_dict() for name, columns in {"train": train, "test": test}.items()}
    dataset = dataset_of("mine", shape, splits)
    assert without_negatives_of(dataset.shape, dataset.splits) == (dataset.splits, [])
    leaks = find_leaks(dataset)
    assert [leaks.between("test", "train", level).rows for level in ("text", "row")] == [1, 0]


def lists(row):
    return {"negatives": [row["negative_1"]], "positive_scores": [[1.0]], "negative_scores": [[0.0]]}
