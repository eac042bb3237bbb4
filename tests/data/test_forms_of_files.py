"""Forms that files have: JSON arrays, sets, arrays in lines, separators, percents, no headers."""

import json

import pytest
from typed_hints import read_as_told

from embexp.data.readers import read_files
from embexp.errors import DataError

PAIRS = [(f"how do I pay bill number {place}", f"open the app and choose bill {place}") for place in range(30)]


def rows_of(dataset):
    return [tuple(row.values()) for row in dataset.splits["train"]]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("first", ["", "\n \n"])
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_a_json_array_is_read(tmp_path, indent, first, name):
    path = tmp_path / name
    rows = [{"anchor": a, "positive": b} for a, b in PAIRS]
    path.write_text(first + json.dumps(rows, indent=indent) + "\n")
    assert rows_of(read_files(path, "mine")) == PAIRS


def test_a_fault_in_a_json_array_has_its_line(tmp_path):
    path = tmp_path / "rows.json"
    rows = [{"anchor": a, "positive": b} for a, b in PAIRS] + [{"anchor": "a"}, 5]
    path.write_text(json.dumps(rows, indent=1))
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine")
    assert f"{path}:122: positive is empty or missing" in str(refusal.value)
    assert f"{path}:125: no JSON object (expected one in each line): 5" in str(refusal.value)
    path.write_text('[\n{"anchor": "a", "positive": "b"},\n{"anchor": "c" "positive": "d"}\n]')
    with pytest.raises(DataError, match=r"rows\.json:3: no JSON: Expecting ',' delimiter"):
        read_files(path, "mine")
    path.write_text('[\n{"anchor": "a", "positive": "b"},\n')
    with pytest.raises(DataError, match=r"rows\.json:\d: no JSON"):
        read_files(path, "mine", on_fault="drop")


def test_an_array_larger_than_a_block_is_read_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("embexp.data.text_files._BLOCK", 37)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"anchor": a, "positive": b} for a, b in PAIRS], indent=1))
    assert rows_of(read_files(path, "mine")) == PAIRS


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        ([[a, b] for a, b in PAIRS], "positive_pair"),
        ([[a, b, f"not that {b}"] for a, b in PAIRS], "triplet"),
        ([[a, b, place % 2] for place, (a, b) in enumerate(PAIRS)], "binary_pair"),
        ([[a, b, place / 32] for place, (a, b) in enumerate(PAIRS)], "scored_pair"),
        ([[place, a] for place, (a, _) in enumerate(PAIRS)], "text"),
    ],
)
def test_rows_that_are_arrays_need_names(tmp_path, rows, shape, whole):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(rows) if whole else "".join(json.dumps(row) + "\n" for row in rows))
    dataset, messages = read_as_told(path)
    assert (dataset.shape.name, dataset.num_rows, len(messages)) == (shape, 30, 1)
    assert "the rows are arrays. Expected a name for each of their members" in messages[0]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_set_of_texts_is_a_query_with_its_likes(tmp_path, suffix):
    from datasets import Dataset

    rows = Dataset.from_list([{"set": [a, b, "c"]} for a, b in PAIRS])
    path = tmp_path / f"rows.{suffix}"
    rows.to_json(path) if suffix == "jsonl" else rows.to_parquet(path)
    dataset = read_files(path, "mine")
    assert dataset.shape.name == "ranked"
    assert dataset.splits["train"][0] == {"query": PAIRS[0][0], "positives": [PAIRS[0][1], "c"], "negatives": []}


def table(path, scores, header="sentence1,sentence2,score", separator=","):
    rows = [separator.join((a, b, str(score))) for (a, b), score in zip(PAIRS, scores, strict=False)]
    path.write_text("\n".join([header.replace(",", separator), *rows]) + "\n", encoding="utf-8")
    return path


def test_a_percent_is_a_hundredth_and_said(tmp_path):
    path = table(tmp_path / "rows.csv", [f"{place} %" for place in range(30)])
    dataset = read_files(path, "mine")
    assert dataset.splits["train"]["score"][:3] == [0.0, 0.01, 0.02]
    assert dataset.provenance["reading"] == f"{path}: score: 85 % is read as 0.85"
    assert read_files(path, "mine", score_range=[0, 100]).splits["train"]["score"][:3] == [0.0, 0.01, 0.02]
    mixed = table(tmp_path / "mixed.csv", ["50%", "0.25", "１００％"])
    assert read_files(mixed, "mine").splits["train"]["score"][:] == [0.5, 0.25, 1.0]


@pytest.mark.parametrize(
    ("written", "value"), [("0,85", 0.85), ("0.85", 0.85), ("1", 1.0), ("-0,5", None), ("1.000,5", None), ("1_0", None)]
)
def test_a_decimal_comma_is_read_on_request(tmp_path, written, value):
    path = table(tmp_path / "rows.csv", [written], separator=";")
    if value is None:
        with pytest.raises(DataError):
            read_files(path, "mine", delimiter=";", decimal=",")
    else:
        assert read_files(path, "mine", delimiter=";", decimal=",").splits["train"]["score"][0] == value


@pytest.mark.parametrize("sign", ["||", "|||", "::", ";", "|", "\t"])
def test_separators_are_found_in_csv(tmp_path, sign):
    path = table(tmp_path / "rows.csv", [0.5] * 30, separator=sign)
    dataset, messages = read_as_told(path)
    assert dataset.splits["train"][0]["sentence2"] == PAIRS[0][1]
    assert len(messages) == 1


def test_a_row_with_another_number_of_fields_is_a_fault_with_long_separators_too(tmp_path):
    path = table(tmp_path / "rows.csv", ["0.5", "0.5||x"], separator="||")
    with pytest.raises(DataError, match=r"rows\.csv:3: not 3 fields as in the header"):
        read_files(path, "mine", delimiter="||")


@pytest.mark.parametrize(
    ("line", "is_table"),
    [("{a}, {b}", True), ("{a}; {b}", True), ("{a}.", False), ("{a} || {b}", True), ("just {a}: fine", False)],
)
def test_a_text_file_whose_lines_all_hold_the_same_separator_is_no_plain_text(tmp_path, line, is_table):
    path = tmp_path / "rows.txt"
    path.write_text("".join(line.format(a=a, b=b) + "\n" for a, b in PAIRS))
    dataset, messages = read_as_told(path)
    assert (dataset.shape.name, len(messages)) == (("positive_pair", 1) if is_table else ("text", 0))


@pytest.mark.parametrize(
    ("header", "shape"),
    [("", "scored_pair"), ("foo,bar,score", "scored_pair"), ("Sentence1,Sentence2,Score", "scored_pair")],
)
def test_a_first_line_is_a_header_or_a_row(tmp_path, header, shape):
    path = table(tmp_path / "rows.csv", [place / 32 for place in range(30)], header)
    if not header:
        path.write_text(path.read_text().lstrip("\n").replace("number 0", "number 99", 1))
    dataset, _ = read_as_told(path)
    assert (dataset.shape.name, dataset.num_rows) == (shape, 30)


def test_max_rows_are_taken_by_every_reader():
    from embexp.config.session import conf_dir
    from embexp.data.bundled import read_bundled

    readers = [path.stem for path in conf_dir().glob("dataset/*.yaml") if "reader:" in path.read_text()]
    assert len(readers) > 15
    for name in readers:
        assert "max_rows:" in (conf_dir() / f"dataset/{name}.yaml").read_text(), name
    assert {rows.num_rows for rows in read_bundled("f", "ranked", "finance_en", 5).splits.values()} == {5}
