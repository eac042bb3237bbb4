"""Multiruns: children below one parent, a table at the end, and one failing job that stops no other."""

import json
import os
import subprocess
import sys

import mlflow
import pytest
from conftest import TINY


def sweep(folder, *arguments):
    command = [sys.executable, "-m", "embexp", "-m", *TINY, "trainer.max_steps=2", "hydra.sweep.dir=sweep", *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=300)


def runs_in(store):
    client = mlflow.MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return client, parents, [run for run in runs if run not in parents]


def test_a_grid_gives_children_under_one_parent_and_a_table(workplace, store):
    done = sweep(
        workplace, "loss=mnrl,cosent", "seed=1,2", "+trainer.dataloader_drop_last=true", "~trainer.weight_decay"
    )
    assert done.returncode == 0, done.stderr
    client, (parent,), children = runs_in(store)
    assert {child.info.run_name for child in children} == {
        f"{loss}/tiny/{seed}" for loss in ("mnrl", "cosent") for seed in "12"
    }
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert parent.data.params["override.loss"] == "mnrl,cosent"
    assert parent.data.params["override.trainer.dataloader_drop_last"] == "true"
    assert parent.data.params["override.trainer.weight_decay"] == "left out"
    assert [artifact.path for artifact in client.list_artifacts(parent.info.run_id)] == ["table.txt"]
    table = (workplace / "sweep/table.txt").read_text()
    assert all(word in table for word in ("mnrl", "cosent", "tiny", "(untouched)"))
    value = json.loads((workplace / "sweep/0/result.json").read_text())["primary"]["trained"]
    assert f"{value:.4f}" in table
    assert all(part in done.stdout for part in ("(untouched)", "cosent"))


@pytest.mark.usefixtures("store")
def test_a_job_gives_the_same_result_alone_and_in_a_sweep(workplace):
    sweep(workplace, "loss=cosent,mnrl")
    alone = [sys.executable, "-m", "embexp", *TINY, "trainer.max_steps=2", "loss=mnrl", "hydra.run.dir=alone"]
    subprocess.run(alone, cwd=workplace, env=os.environ, check=True, capture_output=True, timeout=120)
    metrics = [
        json.loads((workplace / folder / "result.json").read_text())["metrics"] for folder in ("sweep/1", "alone")
    ]
    measured = [key for key in metrics[0] if not key.startswith("cost/")]
    assert [metrics[0][key] for key in measured] == [metrics[1][key] for key in measured]


def test_one_failing_job_does_not_end_the_others(workplace, store):
    done = sweep(workplace, "loss.scale=20.0,inf,10.0")
    assert done.returncode == 1
    _, (parent,), children = runs_in(store)
    assert sorted(child.info.status for child in children) == ["FAILED", "FINISHED", "FINISHED"]
    assert parent.info.status == "FAILED"
    assert "TrainingError: The loss is nan at step 1." in done.stdout
    assert "again: python -m embexp model=tiny trainer=smoke threads=1 " in done.stdout


def test_a_cell_that_does_not_fit_is_listed_and_the_others_run(workplace, store):
    done = sweep(workplace, "shape=triplet,text")
    assert done.returncode == 1
    assert "ShapeError: shape=text was given" in done.stdout
    _, _, children = runs_in(store)
    assert [child.info.status for child in children] == ["FINISHED"]
