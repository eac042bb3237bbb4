"""Queries with lists of positives and negatives: the BGE / FlagEmbedding JSONL form, and rows wrapped in a set."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embexp.data.readers import read_files
from embexp.data.storage import write_dataset
from embexp.errors import DataError

BGE = [
    {"query": "q1", "pos": ["p1", "p2"], "neg": ["n1"], "pos_scores": [0.9, 0.8], "neg_scores": [0.1]},
    {"query": "问", "pos": ["答"], "neg": [], "prompt": "Represent: ", "type": "symmetric_sts"},
]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_bge_form_is_read_by_name(tmp_path):
    dataset = read_files(write_lines(tmp_path / "bge.jsonl", BGE), "mine")
    assert dataset.shape.name == "ranked"
    assert dataset.splits["train"].to_dict() == {
        "query": ["q1", "问"],
        "positives": [["p1", "p2"], ["答"]],
        "negatives": [["n1"], []],
        "positive_scores": [[0.9, 0.8], None],
        "negative_scores": [[0.1], None],
        "type": [None, "symmetric_sts"],
        "prompt": [None, "Represent: "],
    }


@pytest.mark.parametrize("wrapped", [True, False])
def test_rows_wrapped_in_a_set_are_unwrapped(tmp_path, wrapped):
    from datasets import Dataset

    rows = [{"set": row} if wrapped else row for row in [{"query": "q", "pos": ["p"], "neg": ["n", "m"]}]]
    expected = {"query": ["q"], "positives": [["p"]], "negatives": [["n", "m"]]}
    assert read_files(write_lines(tmp_path / "qqp.jsonl", rows), "mine").splits["train"].to_dict() == expected
    Dataset.from_list(rows).to_parquet(tmp_path / "qqp.parquet")
    assert read_files(tmp_path / "qqp.parquet", "mine").splits["train"].to_dict() == expected


def test_rows_without_negatives_have_empty_ones(tmp_path):
    path = write_lines(tmp_path / "pos.jsonl", [{"query": "q", "pos": ["p"]}])
    assert read_files(path, "mine").splits["train"]["negatives"][:] == [[]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": "q", "pos": 5, "neg": []}, "pos holds no list: 5"),
        ({"query": "q", "pos": "['a' 'b']"}, "pos holds no list: \"['a' 'b']\""),
        ({"query": "q", "pos": [], "neg": []}, "pos is an empty list"),
        ({"query": "q", "pos": ["p", None]}, "pos holds a list with no text: ['p', None]"),
        ({"query": "q", "pos": ["p"], "pos_scores": ["high"]}, "pos_scores holds no list of numbers: ['high']"),
        ({"query": "q", "pos": ["p", " "]}, "pos holds a list with an empty text: ['p', ' ']"),
        ({"query": "q", "pos": ["p"], "pos_scores": [1, 2]}, "positive_scores are not as many as positives"),
        ({"query": None, "pos": ["p"]}, "query is empty or missing"),
    ],
)
def test_a_faulty_row_is_named(tmp_path, row, message):
    path = write_lines(tmp_path / "bge.jsonl", [{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [1]}, row])
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine")
    assert f"{path}:2: {message}" in str(refusal.value)


def test_writing_and_reading_again_gives_the_same_lines(tmp_path):
    dataset = read_files(write_lines(tmp_path / "bge.jsonl", BGE), "mine")
    write_dataset(dataset, tmp_path / "out", "jsonl")
    written = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert written == BGE


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
SCORES = st.floats(-10, 10).map(float)


@st.composite
def ranked_row(draw):
    positives, negatives = draw(st.lists(TEXT, min_size=1, max_size=3)), draw(st.lists(TEXT, max_size=3))
    row = {"query": draw(TEXT), "pos": positives, "neg": negatives}
    if draw(st.booleans()):
        row |= {
            "pos_scores": draw(st.lists(SCORES, min_size=len(positives), max_size=len(positives))),
            "neg_scores": draw(st.lists(SCORES, min_size=len(negatives), max_size=len(negatives))),
        }
    return row | draw(st.fixed_dictionaries({}, optional={"prompt": TEXT, "type": TEXT}))


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(ranked_row(), min_size=1, max_size=8))
@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_round_trip(tmp_path_factory, format, rows):
    folder = tmp_path_factory.mktemp("round")
    dataset = read_files(write_lines(folder / "rows.jsonl", rows), "mine")
    write_dataset(dataset, folder / "out", format)
    again = read_files(folder / "out", "mine")
    assert again.splits["train"].to_dict() == dataset.splits["train"].to_dict()
    assert again.shape == dataset.shape
