"""Per-example scores as files: what was written is read again, and gives the same metrics."""

import csv

import numpy
import pyarrow.parquet
import pytest

from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import Scores, read_examples, write_examples
from embexp.experiment.artifacts import write_examples_csv

MEASURES = (
    Measure("spearman_cosine", "spearman", "cosine", "gold"),
    Measure("spearman_cosine_no_leaks", "spearman", "cosine", "gold", "no_leaks"),
)


def toy_scores(cosine: list[float]) -> Scores:
    examples = {
        "id": ["test-0", "test-1", "test-2", "test-3"],
        "sentence1": ["a", "股票", "c", "d"],
        "sentence2": ["b", "份额", "c", "d"],
        "gold": numpy.array([0.25, 1.0, 0.5, 0.75]),
        "no_leaks": numpy.array([True, True, True, False]),
    }
    predicted = {"cosine": numpy.array(cosine)}
    metrics = {measure.name: value_of(measure, examples | predicted) for measure in MEASURES}
    return Scores("test", examples, predicted, metrics, MEASURES)


BASE, TRAINED = toy_scores([0.1, 0.2, 0.3, 0.4]), toy_scores([0.1, 0.9, 0.5, 0.2])
BOTH = {"base": BASE, "trained": TRAINED}


def test_a_table_holds_texts_gold_and_the_values_of_both_models(tmp_path):
    path = tmp_path / "examples" / "sts_test.parquet"
    write_examples(path, BOTH)
    table = pyarrow.parquet.read_table(path).to_pydict()
    assert [*table] == ["id", "sentence1", "sentence2", "gold", "no_leaks", "base_cosine", "trained_cosine"]
    assert (table["sentence1"][1], table["gold"][1], table["base_cosine"][1]) == ("股票", 1.0, 0.2)
    assert table["trained_cosine"] == [0.1, 0.9, 0.5, 0.2]


def test_what_was_written_gives_the_same_metrics_again(tmp_path):
    write_examples(tmp_path / "sts_test.parquet", BOTH)
    kept = read_examples(tmp_path / "sts_test.parquet")
    for again, scores in ((kept.base, BASE), (kept.trained, TRAINED)):
        assert again.split == "test"
        assert again.metrics == pytest.approx(scores.metrics)
        assert again.measures == MEASURES
    assert BASE.metrics["spearman_cosine_no_leaks"] != BASE.metrics["spearman_cosine"]


def test_a_report_can_be_opened_in_a_spreadsheet(tmp_path):
    write_examples_csv(tmp_path / "reports" / "sts_test.csv", BOTH, "cosine")
    content = (tmp_path / "reports" / "sts_test.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")  # tells Excel that it is UTF-8
    rows = [*csv.DictReader(content.decode("utf-8-sig").splitlines())]
    assert rows[1]["sentence1"] == "股票"
    assert (rows[1]["gold"], rows[1]["base"], rows[1]["trained"]) == ("1.0", "0.2", "0.9")


def test_a_class_is_named_and_a_query_has_the_document_it_finds_first(tmp_path):
    classes = {"id": ["a", "b"], "text": ["退款", "物流"], "label": ["钱", "车"], "gold": numpy.array([0, 1])}
    found = {name: Scores("test", classes, {"right": numpy.array([1.0, right]), "class": numpy.array([0, wrong])}, {})
             for name, right, wrong in (("tiny", 0.0, 0), ("模型", 1.0, 1))}  # fmt: skip
    queries = {"id": ["a"], "query": ["谁"]}
    answer = {"ndcg_at_10": numpy.array([0.5]), "first_rank": numpy.array([3]), "top_document": ["别人"]}
    write_examples_csv(tmp_path / "classes.csv", found, "right")
    write_examples_csv(tmp_path / "queries.csv", {"tiny": Scores("test", queries, answer, {})}, "ndcg_at_10")
    rows = [*csv.DictReader((tmp_path / "classes.csv").read_text(encoding="utf-8-sig").splitlines())]
    assert [(row["label"], row["tiny"], row["tiny_class"], row["模型_class"]) for row in rows] == [
        ("钱", "1.0", "钱", "钱"),
        ("车", "0.0", "钱", "车"),
    ]
    assert (tmp_path / "queries.csv").read_text(encoding="utf-8-sig").splitlines() == [
        "id,query,tiny,tiny_first_rank,tiny_top_document",
        "a,谁,0.5,3,别人",
    ]
