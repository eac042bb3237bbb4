"""What an evaluation leaves: per-example scores as a file, and verdicts."""

import numpy
import pyarrow.parquet
import pytest

from embexp.evaluation.scores import Difference, Scores, write_examples


def toy_scores(cosine: list[float], dot: list[float]) -> Scores:
    predicted = {"cosine": numpy.array(cosine), "dot": numpy.array(dot)}
    return Scores("test", (["a", "股票"], ["c", "d"]), numpy.array([0.25, 1.0]), predicted, {})


def test_examples_hold_ids_texts_gold_and_the_predictions_of_both_models(tmp_path):
    path = tmp_path / "examples" / "sts_test.parquet"
    write_examples(path, toy_scores([0.1, 0.2], [1.0, 2.0]), toy_scores([0.3, 0.4], [3.0, 4.0]))
    assert pyarrow.parquet.read_table(path).to_pydict() == {
        "id": ["test-0", "test-1"],
        "sentence1": ["a", "股票"],
        "sentence2": ["c", "d"],
        "gold": [0.25, 1.0],
        "base_cosine": [0.1, 0.2],
        "trained_cosine": [0.3, 0.4],
        "base_dot": [1.0, 2.0],
        "trained_dot": [3.0, 4.0],
    }


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.03, "better"),
        (-0.03, -0.01, "worse"),
        (-0.01, 0.03, "no difference"),
        (0.0, 0.0, "no difference"),
        (0.0, 0.1, "no difference"),
        (-0.1, 0.0, "no difference"),
    ],
)
def test_the_verdict_says_where_the_interval_lies(low, high, verdict):
    assert Difference("spearman_cosine", 0.5, 0.52, low, high).verdict == verdict


def test_the_difference_is_trained_minus_base():
    assert Difference("spearman_cosine", base=0.5, trained=0.25, low=-0.3, high=-0.2).value == -0.25
