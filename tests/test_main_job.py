"""The main job on real weights, and real data against published numbers."""

import json

import pytest
from typed_commands import run_typed

pytestmark = pytest.mark.slow


def embexp(folder, *arguments) -> dict:
    code, output = run_typed(folder, "hydra.run.dir=run", "tracking=none", *arguments)
    assert code == 0, output
    return json.loads((folder / "run/result.json").read_text())


HALF_A_PASS = ("trainer.max_steps=20", "trainer.eval_steps=20")


@pytest.mark.parametrize("typed", [HALF_A_PASS, pytest.param((), marks=pytest.mark.matrix)], ids=["half a pass", "all"])
def test_mnrl_improves_minilm_on_the_bundled_corpus(workplace, typed):
    primary = embexp(workplace, "loss=mnrl", "model=minilm", *typed)["primary"]
    assert primary["split"] == "test"
    assert primary["base"] < 0.9
    assert primary["low"] > 0
    assert primary["verdict"] == "better"


def test_a_few_steps_on_real_nli_start_from_the_score_of_minilm(workplace, real_data):
    """On the first 300 pairs of STS benchmark; that of all pairs is in tests/test_published_numbers.py."""
    result = embexp(
        workplace,
        "dataset=nli",
        "shape=triplet",
        "evaluator=[stsb]",
        f"paths.data={real_data}",
        "trainer.max_steps=2",
        "trainer.eval_steps=2",
        "dataset.reader.max_rows=3000",
        "evaluator.stsb.dataset.reader.max_rows=300",
    )
    metrics = result["metrics"]
    assert metrics["base/stsb/dev/spearman_cosine"] == pytest.approx(0.93336, abs=1e-4)
    assert metrics["base/stsb/spearman_cosine"] == pytest.approx(0.93375, abs=1e-4)
