"""MiniLM saved through embexp, loaded by plain sentence-transformers in another process: the published scores."""

import json
import subprocess
import sys

import pytest

from embexp.config.compose import compose, instantiate, resolve
from embexp.experiment.datasets import builder_of
from embexp.models.adapters import save_model

pytestmark = pytest.mark.slow
PROGRAM = """
import csv, json, sys
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
model = SentenceTransformer(sys.argv[1])
scores = EmbeddingSimilarityEvaluator(*map(list, zip(*json.load(sys.stdin))))(model)
print("spearman", scores["spearman_cosine"])
"""


def rows_of_stsb(folder, split) -> list[list]:
    """Sentences and score of the rows of a split."""
    config = resolve(compose(["dataset=stsb", f"paths.data={folder}"]))
    splits = builder_of(config).read(config["dataset"], "stsb", "scored_pair").splits
    return [[row["sentence1"], row["sentence2"], row["score"]] for row in splits[split]]


# tests/evaluation/test_similarity.py has the number of dev, by our own evaluator.
@pytest.mark.parametrize(
    ("split", "published"), [("test", 0.82032), pytest.param("dev", 0.86717, marks=pytest.mark.matrix)]
)
def test_minilm_saved_through_embexp_gives_the_published_scores_of_stsb(real_data, tmp_path, split, published):
    save_model(instantiate(compose(["model=minilm"]).model).load(list, tmp_path), tmp_path / "saved")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "saved"],
        cwd=tmp_path,
        input=json.dumps(rows_of_stsb(real_data, split)),
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    (score,) = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("spearman")]
    assert score == pytest.approx(published, abs=1e-5)
