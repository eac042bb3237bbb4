"""Every benchmark runs at a tiny size, so that none rots; what it measures is looked at where a machine is quiet."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
HAS_DATA = "EMBEXP_DATA" in os.environ
SLOW = {"bootstrap": (), "big_files": (), "mixtures": (), "engines": ("sleep=0.1",)}  # under ten seconds
MATRIX = {
    "gpu": (),
    "growth": (),
    "leaderboard": (),
    "negatives": (),
    "scoring": ("--only", "STS-B" if HAS_DATA else "short"),
    "start": (),
    "sweep": ("--only", "workers"),
    "tracking": (),
    "training": ("--only", "MNLI, mnrl, batch 32" if HAS_DATA else "bundled"),
}
ELSEWHERE = {"racing"}  # tests/racing/test_replays.py
PARTS = {"harness", "plain_script", "workloads"}  # of the others
NOT_RUN = {"growth": "EMBEXP_DATA names no folder"}


def test_no_benchmark_is_left_out():
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == {*SLOW, *MATRIX, *ELSEWHERE, *PARTS}


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        *(pytest.param(*each, id=each[0], marks=pytest.mark.slow) for each in SLOW.items()),
        *(pytest.param(*each, id=each[0], marks=pytest.mark.matrix) for each in MATRIX.items()),
    ],
)
def test_a_benchmark_runs_at_a_tiny_size(name, typed, tmp_path):
    _runs_tiny(name, typed, tmp_path)


@pytest.mark.matrix
def test_the_command_on_a_big_file_runs_at_a_tiny_size(tmp_path):
    _runs_tiny("big_files", ("--command",), tmp_path)


def _runs_tiny(name, typed, tmp_path):
    environment = os.environ | {"BENCHMARK_TINY": "1", "PYTHONPATH": str(BENCHMARKS.parents[1])}
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *typed]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if NOT_RUN.get(name, "no reason") not in done.stdout:
        numbers = [line for line in done.stdout.splitlines() if re.search(r"\| [\d.,]+ \||\d s\b", line)]
        assert numbers, done.stdout


@pytest.mark.slow
def test_runs_written_into_the_tables_are_those_that_the_client_sends(tmp_path, monkeypatch):
    from embexp.tracking.mlflow_runs import MlflowRuns
    from embexp.tracking.mlflow_tracker import MlflowTracker

    monkeypatch.syspath_prepend(BENCHMARKS)
    leaderboard = import_module("leaderboard")
    grid = leaderboard.Grid(2, 2, 1)

    def tracker(name):
        uri = f"sqlite:///{tmp_path / name}"
        return MlflowTracker(uri, leaderboard.EXPERIMENT, log_model=False, checkpoint="none", telemetry=False)

    leaderboard.make_store(tmp_path / "written.db", grid)
    sent = tracker("sent.db")
    experiment = sent.client.create_experiment(leaderboard.EXPERIMENT)
    for number, content in enumerate(leaderboard.contents(grid)):
        leaderboard.send(sent.client, experiment, number, content)
    found = [MlflowRuns(each, tmp_path).matching("") for each in (tracker("written.db"), sent)]
    kept = ("name", "status", "params", "metrics", "tags")
    written, through_client = ([{key: getattr(run, key) for key in kept} for run in runs] for runs in found)
    assert written == through_client
    assert len(written) == grid.runs
