"""Runs that are trained to a share of their training, and then go on, are finished or are dropped."""

import json
import shlex
from contextlib import suppress
from pathlib import Path

import numpy
import pytest
from conftest import TINY
from killed_runs import SERVER, assert_same_end, at_step, before, killed, measured, model_of
from killed_runs import run as whole_run
from test_run import plan_of

from embexp.core.run_context import RunContext
from embexp.core.run_folder import RESULT, read_json, status_of
from embexp.errors import ConfigError, Paused
from embexp.evaluation.example_evaluator import ExampleEvaluator
from embexp.evaluation.scores import read_examples
from embexp.experiment.execute import execute
from embexp.experiment.rungs import DROPPED_TAG, drop, finish, train_to

# Four steps, each with an evaluation and a checkpoint; the losses are logged in between, too.
STEPS = ("trainer.eval_steps=1", "trainer.save_steps=1", "keep=full")
QUIET = (*STEPS, "tracking=none")
KEY = "spearman_cosine"


def rung_of(folder, share, *overrides):
    """What a process of its own comes to: it plans the run again, and knows nothing of earlier ones."""
    return train_to(plan_of(folder, *overrides), share, context=RunContext())


def finished(folder, *overrides):
    return finish(plan_of(folder, *overrides), context=RunContext()).content


@pytest.fixture
def scored(monkeypatch) -> list[str]:
    """The splits that evaluators scored, one after the other."""
    splits, score = [], ExampleEvaluator.score

    def watched(self, encoder, split):
        splits.append(split)
        return score(self, encoder, split)

    monkeypatch.setattr(ExampleEvaluator, "score", watched)
    return splits


VARIANTS = {
    "static vectors": ("loss=mnrl", "model=static", "model.modules.words.vocabulary_size=200"),
    "a loss with weights": ("loss=softmax", "trainer.logging_steps=3"),
    "by epochs": (
        "trainer.max_steps=12",
        "trainer.per_device_train_batch_size=24",
        "trainer.eval_strategy=epoch",
        "trainer.save_strategy=epoch",
    ),
    "checkpoints of evaluations alone": ("trainer.max_steps=5", "trainer.eval_steps=2", "trainer.save_strategy=no"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_pauses_thrice_ends_like_one_that_never_did(variant, workplace):
    overrides = (*QUIET, *VARIANTS[variant])
    whole_run(workplace / "whole", *TINY, *overrides)
    rungs = [rung_of(workplace / "paused", share, *overrides) for share in (0.25, 0.5, 1)]
    assert status_of(workplace / "paused") == "RUNNING"
    assert not list(workplace.glob("paused/stages/*/model"))
    assert [rung.share >= share for rung, share in zip(rungs, (0.25, 0.5, 1), strict=True)] == [True] * 3
    assert sorted(rung.seconds for rung in rungs) == [rung.seconds for rung in rungs]
    assert finished(workplace / "paused", *overrides)["run"]["status"] == "FINISHED"
    assert_same_end(workplace / "whole", workplace / "paused")


def test_a_rung_has_the_best_models_scores_on_dev_and_nothing_is_scored_on_test(workplace, scored):
    folder = workplace / "run"
    rungs = [rung_of(folder, share, *QUIET) for share in (0.25, 0.5, 1)]
    assert {*scored} == {"dev"}
    assert [(rung.share, rung.step) for rung in rungs] == [(0.25, 1), (0.5, 2), (1.0, 4)]
    curve = dev_curve(folder)
    for rung in rungs:
        best = max(range(1, rung.step + 1), key=lambda step: curve[step])
        assert (rung.best_step, rung.value) == (best, curve[best])
        kept = read_examples(rung.examples)
        assert (kept.base.metrics[KEY], kept.trained.metrics[KEY]) == (curve[0], rung.value)
    result = finished(folder, *QUIET)
    assert result["primary_value"] == rungs[-1].value
    assert scored[-1] == "test"


def dev_curve(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    key = f"train/dev/sts/{KEY}"
    return {line["step"]: line["metrics"][key] for line in lines if key in line["metrics"]}


def test_a_rung_on_the_disk_is_taken_and_an_earlier_share_needs_no_training(workplace, scored):
    folder = workplace / "run"
    first = rung_of(folder, 0.5, *QUIET)
    del scored[:]
    assert rung_of(folder, 0.5, *QUIET) == first
    assert scored == []
    earlier = rung_of(folder, 0.25, *QUIET)
    assert (earlier.step, earlier.share, earlier.value) == (2, 0.5, first.value)
    assert scored == ["dev"]  # of the untouched model
