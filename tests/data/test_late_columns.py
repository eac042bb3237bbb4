"""Columns are those of the whole split: of rows after the first chunk, of later parts, of other splits."""

import json

import pytest

from embexp.data import arrow, text_files
from embexp.data.readers import read_files
from embexp.errors import DataError

CHUNK = 50


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(text_files, "BATCH_ROWS", CHUNK)
    monkeypatch.setattr(arrow, "BATCH_ROWS", CHUNK)
    monkeypatch.setattr("embexp.data.formats.BATCH_ROWS", CHUNK)


def write(path, rows):
    """The rows as the path's ending says, with the columns of the first row in CSV."""
    from datasets import Dataset

    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        Dataset.from_list(rows).to_csv(path, index=False)
    else:
        Dataset.from_list(rows).to_parquet(path)
    return path


def pairs(number, **more):
    return [{"anchor": f"how is it {n}", "positive": f"it is so {n}", **more} for n in range(number)]


BGE = [{"query": f"q {n}", "pos": [f"p {n}"]} for n in range(3 * CHUNK)]


@pytest.mark.parametrize("place", [1, CHUNK, CHUNK + 1, 3 * CHUNK - 1])
def test_optional_columns_that_come_late_are_read(tmp_path, place):
    rows = [dict(row) for row in BGE]
    rows[place] |= {"neg": ["n"], "prompt": "P: ", "neg_scores": [0.1]}
    read = read_files(write(tmp_path / "bge.jsonl", rows), "mine").splits["train"]
    assert read.num_rows == 3 * CHUNK
    assert {name: read[name][place] for name in ("negatives", "prompt", "negative_scores")} == {
        "negatives": ["n"],
        "prompt": "P: ",
        "negative_scores": [0.1],
    }


@pytest.mark.parametrize("place", [1, CHUNK + 1])
@pytest.mark.parametrize(
    ("late", "message"),
    [
        ({"negative": "n"}, "negative is empty or missing"),
        ({"negative_2": "n"}, "it lacks negative_1.\nhint: type 'dataset.reader.columns={negative_1: negative_2}'"),
        ({"label": 1}, "can be positive_pair, but then label would be ignored"),
        ({"is_duplicate": 0}, "can be positive_pair, but then is_duplicate would be ignored"),
        ({"标签": "是"}, "can be positive_pair, but then 标签 would be ignored"),
    ],
)
def test_the_outcome_does_not_depend_on_where_a_column_first_appears(tmp_path, place, late, message):
    rows = pairs(3 * CHUNK)
    rows[place] |= late
    with pytest.raises(DataError) as refusal:
        read_files(write(tmp_path / "rows.jsonl", rows), "mine")
    assert message in str(refusal.value)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_column_of_a_later_part_counts(tmp_path, suffix):
    write(tmp_path / f"train-00000-of-00002.{suffix}", pairs(2 * CHUNK))
    write(tmp_path / f"train-00001-of-00002.{suffix}", pairs(20, negative="it is not so"))
    with pytest.raises(DataError, match=r"100 of 120 rows cannot be used \(100 negative is empty or missing\)"):
        read_files(tmp_path, "mine")
    dataset = read_files(tmp_path, "mine", on_fault="drop")
    assert (dataset.shape.name, dataset.num_rows) == ("triplet", 20)
    assert read_files(tmp_path, "mine", ignore=["negative"]).num_rows == 120


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_column_that_only_another_split_has_counts(tmp_path, suffix):
    write(tmp_path / f"train.{suffix}", pairs(20))
    write(tmp_path / f"test.{suffix}", pairs(20, negative="it is not so"))
    with pytest.raises(DataError, match=r"the other splits have no column negative, which would be ignored here"):
        read_files(tmp_path, "mine")
    assert read_files(tmp_path, "mine", shape="positive_pair").num_rows == 40


def test_a_column_that_begins_to_vary_late_has_a_meaning(tmp_path):
    rows = [row | {"flag": int(place >= 2 * CHUNK)} for place, row in enumerate(pairs(3 * CHUNK))]
    with pytest.raises(DataError, match="but then flag would be ignored"):
        read_files(write(tmp_path / "rows.csv", rows), "mine")
    same = [row | {"flag": 0} for row in rows]
    assert read_files(write(tmp_path / "rows.csv", same), "mine").provenance["ignored_columns"] == "flag"


def test_a_column_that_is_mapped_or_ignored_may_come_late(tmp_path):
    rows = [{"question": "q", "answer": "a"} | ({"tip": "t"} if place > CHUNK else {}) for place in range(2 * CHUNK)]
    path, columns = write(tmp_path / "rows.jsonl", rows), {"anchor": "question", "positive": "answer"}
    dataset = read_files(path, "mine", columns=columns | {"prompt": "tip"})
    assert dataset.splits["train"]["prompt"][-1] == "t"
    assert read_files(path, "mine", columns=columns, ignore=["tip"]).num_rows == 2 * CHUNK
    with pytest.raises(DataError, match=r"ignore=\[tap\] names tap, which is no column.*Did you mean 'tip'"):
        read_files(path, "mine", columns=columns, ignore=["tap"])


def test_rows_that_are_not_read_count_for_nothing(tmp_path):
    rows = [row | ({"label": 1} if place >= 2 * CHUNK else {}) for place, row in enumerate(pairs(3 * CHUNK))]
    path = write(tmp_path / "rows.jsonl", rows)
    assert read_files(path, "mine", max_rows=2 * CHUNK).num_rows == 2 * CHUNK


def test_faults_are_counted_once_although_the_rows_are_read_again(tmp_path):
    rows = [dict(row) for row in BGE]
    rows[1], rows[-1] = {"query": "", "pos": ["p"]}, rows[-1] | {"neg": ["n"]}
    dataset = read_files(write(tmp_path / "rows.jsonl", rows), "mine", on_fault="drop")
    assert str(dataset.history[0]) == "read: 150 -> 149 rows (1 query is empty or missing)"
