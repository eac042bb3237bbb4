"""Retrieval benchmarks in the form of BEIR: what the rows hold, and how faults name file and line."""

import json

import pytest

from embexp.config.compose import compose, resolve
from embexp.data.beir import read_beir, read_documents
from embexp.data.faults import FaultLog
from embexp.errors import ConfigError, DataError
from embexp.experiment.datasets import builder_of

CORPUS = [
    {"_id": "d1", "title": "Bonds", "text": "They pay coupons.", "metadata": {}},
    {"_id": "d2", "title": "", "text": "Shares pay dividends."},
    {"_id": "d3", "text": "Cash pays nothing."},
    {"_id": 4, "title": "Empty", "text": ""},
]
QUERIES = [
    {"_id": "q1", "text": "What do bonds pay?"},
    {"_id": "q2", "text": "股票付什么?"},
    {"_id": "q3", "text": "?"},
]
HEADER = "query-id\tcorpus-id\tscore\n"


def beir_folder(folder, qrels, corpus=CORPUS, queries=QUERIES):
    """A folder in the form of BEIR; qrels by split, as lines."""
    (folder / "qrels").mkdir(parents=True)
    for file, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{file}.jsonl").write_text(lines, encoding="utf-8")
    for split, lines in qrels.items():
        (folder / "qrels" / f"{split}.tsv").write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return folder


def read(folder, splits=None, on_fault="stop", max_rows=None):
    return read_beir("toy", folder, splits, on_fault, max_rows=max_rows)


def test_queries_come_with_the_texts_that_answer_them(tmp_path):
    qrels = {"test": ["q1\td1\t1", "q2\td2\t1", "q1\td3\t0"], "dev": ["q3\t4\t1"]}
    dataset = read(beir_folder(tmp_path, qrels))
    assert dataset.shape.name == "ranked"
    assert list(dataset.splits) == ["dev", "test"]
    assert dataset.splits["test"].to_dict() == {
        "query": ["What do bonds pay?", "股票付什么?"],
        "positives": [["Bonds They pay coupons."], ["Shares pay dividends."]],
        "negatives": [["Cash pays nothing."], []],
    }
    assert dataset.splits["dev"]["positives"][:] == [["Empty"]]
    assert {key for key in dataset.provenance if key.startswith("sha256")} == {
        *("sha256/dev", "sha256/test", "sha256/queries.jsonl", "sha256/corpus.jsonl")
    }


def test_graded_scores_are_kept(tmp_path):
    dataset = read(beir_folder(tmp_path, {"test": ["q1\td1\t1", "q1\td2\t2", "q1\td3\t-1"], "dev": ["q2\td2\t1"]}))
    assert dataset.splits["test"]["positive_scores"][:] == [[1, 2]]
    assert dataset.splits["test"]["negatives"][:] == [["Cash pays nothing."]]
    assert dataset.splits["dev"]["positive_scores"][:] == [[1]]


def test_a_document_judged_twice_has_its_higher_score(tmp_path):
    dataset = read(beir_folder(tmp_path, {"test": ["q1\td1\t0", "q1\td1\t2", "q1\td1\t1"]}))
    assert dataset.splits["test"]["positive_scores"][:] == [[2]]


def test_queries_without_a_relevant_document_are_left_out(tmp_path, caplog):
    caplog.set_level("INFO")
    dataset = read(beir_folder(tmp_path, {"test": ["q1\td1\t0", "q2\td2\t1"]}))
    assert dataset.splits["test"]["query"][:] == ["股票付什么?"]
    assert "test.tsv: 1 queries without a relevant document are left out" in caplog.text


def test_splits_are_named_as_their_files_are(tmp_path):
    folder = beir_folder(tmp_path, {"validation": ["q1\td1\t1"], "test": ["q2\td2\t1"]})
    assert list(read(folder, {"dev": "validation"}).splits) == ["dev"]
    with pytest.raises(ConfigError, match=r"splits=\[valid\] was given\. Expected .*one of: train, dev, test"):
        read(folder, {"valid": "validation"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q9\td1\t1", "query-id has no text in queries.jsonl: 'q9'"),
        ("q2\td9\t1", "corpus-id has no text in corpus.jsonl: 'd9'"),
        ("q1\td1\tgood", "score holds no number: 'good'"),
        ("q1\td1", "not 3 fields as in the header: ['q1', 'd1']"),
    ],
)
def test_a_faulty_judgement_is_named_by_file_and_line(tmp_path, line, message):
    folder = beir_folder(tmp_path, {"test": ["q2\td2\t1", line]})
    with pytest.raises(DataError) as refusal:
        read(folder)
    assert f"{folder / 'qrels' / 'test.tsv'}:3: {message}" in str(refusal.value)
    assert read(folder, on_fault="drop").splits["test"]["query"][:] == ["股票付什么?"]


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ([*CORPUS, {"title": "T", "text": "no id"}], "corpus.jsonl:5: has no _id: 'T no id'"),
        ([*CORPUS, CORPUS[0]], "corpus.jsonl:5: has an _id that was there before: 'd1'"),
        ([*CORPUS, 7], "corpus.jsonl:5: no JSON object (expected one in each line): 7"),
    ],
)
def test_a_faulty_document_is_named_by_file_and_line(tmp_path, corpus, message):
    with pytest.raises(DataError) as refusal:
        read(beir_folder(tmp_path, {"test": ["q1\td1\t1"]}, corpus))
    assert message in str(refusal.value)


def test_missing_files_are_named_together(tmp_path):
    (tmp_path / "corpus.jsonl").write_text("{}")
    with pytest.raises(DataError) as refusal:
        read(tmp_path)
    assert f"there is no file {tmp_path / 'queries.jsonl'}, {tmp_path / 'qrels' / 'test.tsv'}" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("test.tsv", "q1\td1\t1\nq2\td2\t1\n"),
        ("test.tsv", "q1\t0\td1\t1\nq2\t0\td2\t1\n"),
        ("test.txt", "q1 0 d1 1\nq2 Q0 d2 1\n"),
        ("test.qrels", "qid iter docno rel\nq1 0 d1 1\nq2 0 d2 1\n"),
        ("test.tsv", "score\tcorpus-id\tquery-id\n1\td1\tq1\n1\td2\tq2\n"),
    ],
)
def test_judgements_are_read_with_and_without_names_of_columns(tmp_path, name, content):
    folder = beir_folder(tmp_path, {})
    (folder / "qrels" / name).write_text(content)
    assert read(folder).splits["test"]["query"][:] == ["What do bonds pay?", "股票付什么?"]
    assert read(folder, max_rows=1).num_rows == 1


@pytest.mark.parametrize("content", ["a\tb\tc\n", "q1\td1\n", "q1 d1 x y z 1\n"])
def test_judgements_in_another_form_are_refused(tmp_path, content):
    folder = beir_folder(tmp_path, {})
    (folder / "qrels" / "test.tsv").write_text(content)
    with pytest.raises(DataError, match=r"test\.tsv: .*Expected a first line that names query-id, corpus-id, score"):
        read(folder)


def test_the_dataset_yaml_reads_a_folder(tmp_path):
    folder = beir_folder(tmp_path, {"test": ["q1\td1\t1"]})
    config = resolve(compose(["dataset=beir", f"dataset.reader.folder={folder}", "paths.cache=null"]))
    dataset = builder_of(config).read(config["dataset"], "toy", "ranked")
    assert dataset.splits["test"].num_rows == 1


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("corpus.jsonl", '{"_id": 1, "title": "A", "text": "b"}\n{"text": "c"}\n'),
        ("corpus.csv", "text,title\nb,A\nc,\n"),
        ("corpus.tsv", "_id\ttext\ttitle\n1\tb\tA\n2\tc\t\n"),
        ("corpus.csv", "document\nA b\nc\n"),
        ("corpus.txt", "A b\nc\n"),
    ],
)
def test_documents_are_read_from_any_kind_of_file(tmp_path, file, content):
    (tmp_path / file).write_text(content)
    assert [document.text for document in read_documents(tmp_path / file, FaultLog("stop"))] == ["A b", "c"]


def test_documents_in_an_unknown_column_are_refused(tmp_path):
    (tmp_path / "corpus.csv").write_text("id,body\n1,b\n")
    with pytest.raises(
        DataError, match=r"corpus\.csv: the columns are id, body\. Expected documents in a column called text"
    ):
        [*read_documents(tmp_path / "corpus.csv", FaultLog("stop"))]
