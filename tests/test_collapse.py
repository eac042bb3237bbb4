"""A run whose embeddings collapse says so: in its log, its closing table and a tag."""

import logging

import pytest
from test_run import plan_of

from embexp.experiment.execute import execute

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("learning_rate", "is_suspected"), [("5e-3", True), pytest.param("2e-5", False, marks=pytest.mark.matrix)]
)
def test_a_run_that_collapses_says_so_and_a_healthy_one_does_not(
    workplace, caplog, capsys, learning_rate, is_suspected
):
    overrides = ("model=minilm", "tracking=none", "trainer.max_steps=10", "trainer.warmup_steps=0")
    plan = plan_of(workplace / "run", *overrides, f"trainer.learning_rate={learning_rate}")
    with caplog.at_level(logging.WARNING):
        result = execute(plan).content
    line = "collapse suspected: the effective rank of the embeddings fell from "
    assert (line in caplog.text) == is_suspected
    assert ("warning    collapse suspected" in capsys.readouterr().out) == is_suspected
    assert (result["tags"].get("collapse") == "suspected") == is_suspected
