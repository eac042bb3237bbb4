"""Jobs in worker processes: side by side, and none is lost with a process that dies."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import TINY
from typed_commands import done_in, typed

DEADLY = '''
"""Losses that end the process they run in."""
import os
import signal
import sys

import torch


class Ending(torch.nn.Module):
    def __init__(self, model, way):
        super().__init__()
        self.model, self.way = model, way

    def forward(self, features, labels):
        if self.way == "exit":
            sys.exit(3)
        if self.way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.way == "memory":
            raise MemoryError("no memory is left")
        if self.way == "threads":
            print("threads:", torch.get_num_threads())
        return self.model(features[0])["sentence_embedding"].sum()
'''
YAML = """# A loss that ends its process, in one way or another.
_target_: deadly.Ending
_partial_: true
_accepts_: [triplet]
way: live
"""


@pytest.fixture
def deadly(workplace):
    """A folder with a loss that ends its process, and the environment and options to find it."""
    (workplace / "deadly.py").write_text(DEADLY)
    (workplace / "own/loss").mkdir(parents=True)
    (workplace / "own/loss/deadly.yaml").write_text(YAML)
    return os.environ | {"PYTHONPATH": f"{workplace}:{os.environ.get('PYTHONPATH', '')}"}


def command(*arguments):
    tiny = (*(each for each in TINY if not each.startswith("threads")), "trainer.max_steps=1", "hydra.sweep.dir=sweep")
    return ["-m", "--config-dir", "own", *tiny, "loss=deadly", *arguments]


def statuses(store):
    import mlflow

    client = mlflow.MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    parents = [run.info.status for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = sorted(run.info.status for run in runs if "mlflow.parentRunId" in run.data.tags)
    return parents, children


@pytest.mark.slow
def test_a_job_that_is_killed_runs_out_of_memory_or_exits_ends_no_other(workplace, store, deadly):
    environment = {key: value for key, value in deadly.items() if key != "OMP_NUM_THREADS"}
    words = command("loss.way=kill,live,memory,exit,threads", "sweep.workers=2")
    done = done_in(workplace, *words, environment=environment)
    assert done.returncode == 1, done.stderr
    assert statuses(store) == (["FAILED"], ["FAILED", "FAILED", "FAILED", "FINISHED", "FINISHED"])
    assert "The process of the job ended by SIGKILL (out of memory?)." in done.stdout
    assert "MemoryError: no memory is left" in done.stdout
    assert "SystemExit: 3" in done.stdout
    assert done.stdout.count("again: python -m embexp --config-dir own model=tiny") == 3
    assert "2 of 5 done, 3 failed" in done.stderr
    assert f"threads: {max(1, os.cpu_count() // 2)}" in (workplace / "sweep/4/output.txt").read_text()


@pytest.mark.slow
def test_a_job_that_exits_in_this_process_ends_no_other(workplace, store, deadly):
    done = done_in(workplace, *command("loss.way=exit,live"), environment=deadly)
    assert done.returncode == 1, done.stderr
    assert statuses(store) == (["FAILED"], ["FAILED", "FINISHED"])


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.matrix
def test_a_sweep_that_is_stopped_stops_its_workers_and_closes_their_runs(workplace, store, deadly, how, code):
    slow = command("loss.way=live", "seed=1,2,3,4,5,6", "trainer.max_steps=4000", "sweep.workers=2")
    sweep = typed(workplace, *slow, environment=deadly)
    metrics = [workplace / f"sweep/{number}/metrics.jsonl" for number in (0, 1)]
    while not all(path.is_file() and "train/loss" in path.read_text() for path in metrics):
        assert sweep.process.is_alive(), sweep.text()
        time.sleep(0.05)
    stop(sweep, how)
    assert sweep.wait(60) == code
    assert statuses(store) == (["KILLED"], ["KILLED", "KILLED"])
    results = [json.loads((workplace / f"sweep/{number}/result.json").read_text()) for number in (0, 1)]
    assert [result["run"]["status"] for result in results] == ["KILLED", "KILLED"]
    assert "type the same command again" in sweep.text()


def stop(sweep, how):
    """Ctrl-C reaches the whole group, SIGTERM the process that was typed."""
    os.killpg(sweep.pid, how) if how == signal.SIGINT else os.kill(sweep.pid, how)


MOMENTS = {  # of a sweep of three jobs in two workers
    "it begins": "sweep/0/output.txt",
    "workers import": "sweep/1/.hydra/config.yaml",
    "both train": "sweep/1/metrics.jsonl",
    "one is done": "sweep/0/stages/main/done",
}


def processes_of(session):
    """The processes of a session that are still there, without those that have ended and wait for their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, of = path.read_text().rpartition(")")[2].split()[:4]
            found += [path.parent.name] if of == str(session) and state != "Z" else []
    return found


# The others are of the same kinds. At "it begins" a worker once died before it had read what it was to do.
SAMPLE = [("one is done", signal.SIGTERM)]


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        pytest.param(moment, how, marks=() if (moment, how) in SAMPLE else pytest.mark.matrix)
        for moment in MOMENTS
        for how in (signal.SIGTERM, signal.SIGINT)
    ],
)
@pytest.mark.slow
def test_a_sweep_with_workers_ends_soon_at_any_moment_and_the_same_command_ends_it(
    workplace, store, deadly, moment, how
):
    words = command("loss.way=live", "seed=1,2,3", "trainer.max_steps=10", "sweep.workers=2")
    sweep = typed(workplace, *words, environment=deadly)
    while not (workplace / MOMENTS[moment]).exists():
        assert sweep.process.is_alive(), sweep.text()
        time.sleep(0.01)
    stop(sweep, how)
    soon = 10 * max(1.0, os.getloadavg()[0] / os.cpu_count())  # seconds; on a busy machine all takes longer
    assert sweep.wait(soon) == 128 + how, sweep.text()
    end = time.monotonic() + 2
    while (left := processes_of(sweep.pid)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left
    assert "Traceback" not in sweep.text()
    done = done_in(workplace, *words, environment=deadly)
    assert done.returncode == 0, done.stderr
    parents, children = statuses(store)
    assert parents == ["FINISHED"]
    assert children.count("FINISHED") == 3
    assert {*children} <= {"FINISHED", "KILLED"}
