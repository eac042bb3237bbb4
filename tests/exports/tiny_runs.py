"""A finished run of a tiny model, and the texts that it was trained on."""

from pathlib import Path

from conftest import TINY

from embexp.config.compose import compose
from embexp.experiment.execute import RunResult, execute
from embexp.experiment.plan import plan_run

CHOICES = {"dataset": "finance", "model": "tiny", "loss": "mnrl", "modifier": "none", "trainer": "smoke"}


def tiny_plan(folder: Path, *overrides: str):
    """The plan of a run on the bundled corpus that takes seconds."""
    return plan_run(compose([*TINY, *overrides]), CHOICES, folder)


def finished_run(folder: Path, *overrides: str) -> RunResult:
    """That run, done."""
    return execute(tiny_plan(folder, *overrides))


def training_texts(folder: Path) -> set[str]:
    """Every text of its train split that is long enough to be known again."""
    return {text for text in tiny_plan(folder, "tracking=none").stages[-1].dataset.texts("train") if len(text) > 20}
