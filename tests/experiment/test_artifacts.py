"""What a run shows of its examples: a table, a report, a page of changed examples, and pictures."""

import csv

import pytest
from test_run import plan_of

from embexp.evaluation.scores import read_examples
from embexp.experiment.execute import execute

EVALUATORS = "evaluator=[sts,binary,triplet,retrieval,classification,clustering]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exhibits")
    return folder, execute(plan_of(folder / "run", "tracking=none", "paths.cache=null", EVALUATORS)).content


def test_every_evaluator_keeps_its_examples_and_they_give_its_metrics(run):
    folder, result = run
    files = sorted((folder / "run" / "examples").glob("*.parquet"))
    assert len(files) == 12
    for file in files:
        name, _, split = file.stem.rpartition("_")
        kept = read_examples(file)
        assert kept.trained.metrics
        for metric, value in kept.trained.metrics.items():
            assert result["metrics"][f"{split}/{name}/{metric}"] == pytest.approx(value, nan_ok=True)


def test_reports_hold_the_predictions_of_both_models(run):
    folder, _ = run
    with open(folder / "run" / "reports" / "sts_test.csv", encoding="utf-8-sig", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [*rows[0]] == ["id", "sentence1", "sentence2", "gold", "base", "trained"]
    kept = read_examples(folder / "run" / "examples" / "sts_test.parquet")
    assert [float(row["trained"]) for row in rows] == pytest.approx(kept.trained.predicted["cosine"].tolist())
    assert "# Changed examples" in (folder / "run" / "reports" / "triplet_test_changed.md").read_text()


def test_pictures_are_drawn(run):
    folder, _ = run
    pictures = {path.stem for path in (folder / "run" / "plots").glob("*.png")}
    assert pictures >= {"training", "test_matrix", "test_projection", "sts_test_scores", "sts_test_gold"}
    assert "binary_test_scores" in pictures


def test_geometry_is_logged_of_both_models_and_while_it_trains(run):
    folder, result = run
    for metric in ("uniformity", "alignment", "mean_random_cosine", "effective_rank", "dead_dimensions", "norm_spread"):
        assert f"base/geometry/{metric}" in result["metrics"]
        assert f"base/geometry/dev/{metric}" in result["metrics"]
        assert f"test/geometry/{metric}" in result["metrics"]
    assert "train/dev/geometry/uniformity" in (folder / "run" / "metrics.jsonl").read_text()
