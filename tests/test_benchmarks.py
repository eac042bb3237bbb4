"""Every benchmark runs at a tiny size, so that none rots; what it measures is looked at where a machine is quiet."""

import os
import re
import subprocess
import sys
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
    environment = os.environ | {"BENCHMARK_TINY": "1", "PYTHONPATH": str(BENCHMARKS.parents[1])}
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *typed]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if NOT_RUN.get(name, "no reason") not in done.stdout:
        numbers = [line for line in done.stdout.splitlines() if re.search(r"\| [\d.,]+ \||\d s\b", line)]
        assert numbers, done.stdout
