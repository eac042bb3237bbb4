"""A sweep that is killed again and again ends like one that nobody disturbed."""

import json
import random
import shutil
import time

import pytest
from conftest import TINY
from typed_commands import run_typed, typed

GRID = ("-m", *TINY, "trainer.max_steps=4", "loss=mnrl,cosent")
DONE = "stages/main/done"


def results_of(folder):
    """What each job found, by its overrides, without what clocks and folders say."""
    found = {}
    for path in sorted(folder.glob("sweeps/*/*/*/result.json")):
        result = json.loads(path.read_text())
        assert result["run"]["status"] == "FINISHED"
        measured = {key: value for key, value in result["metrics"].items() if not key.startswith("cost/")}
        choices = result["choices"]
        found[choices["loss"], choices["model"], result["seed"]] = (measured, result["comparisons"], result["verdict"])
    return found


def ends_of_trainings(folder):
    """When each training came to its end: one that is trained again has another time."""
    return {path: path.stat().st_mtime_ns for path in folder.glob(f"sweeps/*/*/*/{DONE}")}


def kill_somewhere(folder, grid, moments):
    """Run the sweep until a random moment after a job has begun, then kill its whole process group."""
    command = typed(folder, *grid)
    began, wait = [], moments.uniform(0, 2)

    def is_time(text):
        if not began and "[" in text:
            began.append(time.monotonic())
        return bool(began) and time.monotonic() > began[0] + wait

    assert command.kill_when(is_time), command.text()


@pytest.mark.parametrize(
    ("seeds", "kills"), [pytest.param(2, 3, marks=pytest.mark.slow), pytest.param(3, 5, marks=pytest.mark.matrix)]
)
def test_a_sweep_killed_at_random_moments_ends_like_one_that_was_not(tmp_path, empty_store, seeds, kills):
    import mlflow

    grid = (*GRID, f"seed={','.join(map(str, range(seeds)))}")
    moments = random.Random()
    folders = [tmp_path / name for name in ("undisturbed", "killed")]
    for folder in folders:
        folder.mkdir()
        shutil.copy(empty_store, folder / "mlflow.db")
    code, output = run_typed(folders[0], *grid)
    assert code == 0, output
    ended = {}
    for _ in range(kills):
        kill_somewhere(folders[1], grid, moments)
        ended |= {path: when for path, when in ends_of_trainings(folders[1]).items() if path not in ended}
    code, output = run_typed(folders[1], *grid)
    assert code == 0, output
    expected = results_of(folders[0])
    assert len(expected) == 2 * seeds
    assert results_of(folders[1]) == expected
    now = ends_of_trainings(folders[1])
    assert len(now) == 2 * seeds
    assert {path: now[path] for path in ended} == ended, "a cell was trained to its end twice"
    assert not [*folders[1].glob("sweeps/*/*/outdated")]
    client = mlflow.MlflowClient(f"sqlite:///{folders[1] / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    assert len(runs) == 2 * seeds + 1
    assert {run.info.status for run in runs} == {"FINISHED"}
