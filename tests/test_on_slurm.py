"""Sweeps on a real Slurm of one node: whatever dies, the end is that of a sweep which nobody disturbed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import slurm_cluster
from conftest import TINY
from typed_commands import done_in

from embexp.core.claims import holder

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(bool(slurm_cluster.lacks()), reason=slurm_cluster.lacks() or "-"),
]
LOSS = '''
"""mnrl, whose steps take as long as a test wants, so that a job can be ended in its middle."""
import os
import time

from sentence_transformers.losses import MultipleNegativesRankingLoss


class SlowLoss(MultipleNegativesRankingLoss):
    def forward(self, features, labels):
        time.sleep(float(os.environ.get("SECONDS_OF_A_STEP", 0)))
        return super().forward(features, labels)
'''
YAML = """# mnrl, slowly.
_target_: slow_loss.SlowLoss
_partial_: true
_accepts_: [positive_pair, triplet]
scale: 20.0
"""
CELLS = (
    *TINY,
    "loss=slow",
    "tracking=none",
    "trainer.max_steps=30",
    "trainer.save_steps=5",
    "seed=1,2,3",
    "hydra.sweep.dir=sweep",
)
ON_SLURM = ("sweep/engine=slurm", "sweep.workers=2", "sweep.engine.pause=1", "sweep.engine.signal_seconds=20")
DONE = "stages/main/done"
PATIENCE = 600.0


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The folder with the slow loss, and what the environment must hold to find it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "loss").mkdir()
    (folder / "slow_loss.py").write_text(LOSS)
    (folder / "loss/slow.yaml").write_text(YAML)
    return {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}", "OWN": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, own):
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as found:
        found.environment.update(own, PYTHONUNBUFFERED="1", SECONDS_OF_A_STEP="1")
        yield found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, own):
    """What a sweep in one process of this machine finds that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = done_in(folder, "-m", "--config-dir", own["OWN"], *CELLS, environment=os.environ | own)
    assert done.returncode == 0, done.stderr
    return found_in(folder)


@contextmanager
def typed(folder, environment, *arguments):
    """`python -m embexp -m <arguments>` as somebody types it in a folder; killed at the end of the context."""
    with open(folder / "output.txt", "a") as output:
        command = subprocess.Popen(
            [sys.executable, "-m", "embexp", "-m", "--config-dir", environment["OWN"], *arguments],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield command
    finally:
        command.kill()
        command.wait()


def said(folder):
    logs = [folder / "output.txt", *folder.glob("sweep/slurm/*.out"), *folder.glob("sweep/*/output.txt")]
    return "\n".join(f"{path}:\n{path.read_text()}" for path in logs)


def wait_for(happens, folder, patience=PATIENCE):
    """What the function returns as soon as it is true."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := happens():
            return found
        time.sleep(0.1)
    raise AssertionError(said(folder))


def trains(folder, but=()):
    """The number of a job in whose middle its training is, and who has it."""
    for number in {0, 1, 2} - {*but}:
        job = folder / "sweep" / str(number)
        lines = (job / "metrics.jsonl").read_text() if (job / "metrics.jsonl").is_file() else ""
        owner = holder(job, "job")
        if owner and "train/loss" in lines and not (job / DONE).exists():
            return number, owner
    return None


def found_in(folder):
    """What each job found and what the leaderboard says, without what clocks say; that nothing was trained twice."""
    found = []
    for number in range(3):
        job = folder / "sweep" / str(number)
        result = json.loads((job / "result.json").read_text())
        assert result["run"]["status"] == "FINISHED", said(folder)
        lines = [json.loads(line) for line in (job / "metrics.jsonl").read_text().splitlines()]
        steps = [(line["step"], line["metrics"]["train/loss"]) for line in lines if "train/loss" in line["metrics"]]
        assert [step for step, _ in steps] == [*range(1, 31)], "a step was logged twice, or not at all"
        measured = {key: value for key, value in result["metrics"].items() if not key.startswith("cost/")}
        found.append((steps, measured, result["comparisons"], result["verdict"]))
    assert not [*folder.glob("sweep/outdated")]
    assert not (folder / "sweep/engine").exists()
    with open(folder / "sweep/leaderboard/leaderboard.csv", newline="") as file:
        clocks = ("seconds", "second", "wall", "peak", "cost", "front")
        board = [
            {k: v for k, v in row.items() if not any(word in k for word in clocks)} for row in csv.DictReader(file)
        ]
    return found, board


def ended(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob(f"sweep/*/{DONE}")}


def job_of(owner):
    return owner.job.partition("/")[2]


def test_preempted_timed_out_and_killed_jobs_go_on_from_their_checkpoints(cluster, undisturbed, tmp_path):
    with typed(tmp_path, cluster.environment, *CELLS, *ON_SLURM) as command:
        number, owner = wait_for(lambda: trains(tmp_path), tmp_path)
        os.kill(owner.pid, signal.SIGKILL)  # as for lack of memory
        died = "The process of the job ended by"
        wait_for(lambda: died in said(tmp_path), tmp_path)
        number, owner = wait_for(lambda: trains(tmp_path), tmp_path)
        urgent = ("sbatch", "--wait", "-p", "high", "-n", "2", "-o", "/dev/null", "--wrap", "true")
        cluster.run(*urgent)
        assert holder(tmp_path / f"sweep/{number}", "job") != owner
        number, owner = wait_for(lambda: trains(tmp_path), tmp_path)
        cluster.run("scontrol", "update", f"JobId={job_of(owner)}", "TimeLimit=1")
        wait_for(lambda: "The time of the job is up" in said(tmp_path) or command.poll() is not None, tmp_path)
        if command.poll() is None:
            cluster.run("scontrol", "update", f"JobId={job_of(owner)}", "TimeLimit=60")
        assert command.wait(PATIENCE) == 0, said(tmp_path)
    assert found_in(tmp_path) == undisturbed


@pytest.mark.matrix
def test_a_sweep_whose_shell_was_killed_is_found_again_and_closed_when_nobody_comes(cluster, undisturbed, tmp_path):
    with typed(tmp_path, cluster.environment, *CELLS, *ON_SLURM) as command:
        wait_for(lambda: trains(tmp_path), tmp_path)
        os.killpg(command.pid, signal.SIGKILL)
    jobs = cluster.jobs("RUNNING")
    sweep = json.loads((tmp_path / "sweep/sweep.json").read_text())["id"]
    assert [*jobs.values()] == [f"embexp-{sweep}"] * 2
    with typed(tmp_path, cluster.environment, *CELLS, *ON_SLURM) as command:
        _, owner = wait_for(lambda: trains(tmp_path), tmp_path)
        wait_for(lambda: said(tmp_path).count("3 jobs; the report") == 2, tmp_path)
        time.sleep(2)
        assert jobs.keys() == cluster.jobs("RUNNING", "COMPLETING").keys()  # not one more
        os.killpg(command.pid, signal.SIGKILL)
    os.kill(owner.pid, signal.SIGKILL)  # and nobody looks
    before = ended(tmp_path)
    wait_for(lambda: not cluster.jobs("RUNNING", "PENDING", "COMPLETING"), tmp_path)
    assert found_in(tmp_path) == undisturbed
    assert {path: when for path, when in ended(tmp_path).items() if path in before} == before
    closed = ended(tmp_path)
    with typed(tmp_path, cluster.environment, *CELLS, *ON_SLURM) as command:
        assert command.wait(PATIENCE) == 0, said(tmp_path)
    assert ended(tmp_path) == closed
    assert said(tmp_path).count("was done before") == 3


@pytest.mark.matrix
def test_ctrl_c_leaves_the_jobs_and_cancel_ends_them(cluster, tmp_path):
    with typed(tmp_path, cluster.environment, *CELLS, "trainer.max_steps=3000", *ON_SLURM) as command:
        wait_for(lambda: trains(tmp_path), tmp_path)
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 130
    assert "go on, and the last one makes its leaderboard" in (tmp_path / "output.txt").read_text()
    assert len(cluster.jobs("RUNNING")) == 2
    again = (*CELLS, "trainer.max_steps=3000", *ON_SLURM, "sweep.engine.then=cancel")
    with typed(tmp_path, cluster.environment, *again) as command:
        assert command.wait(PATIENCE) == 0, said(tmp_path)
    assert not cluster.jobs("RUNNING", "PENDING", "COMPLETING")
    assert "The sweep was stopped" in (tmp_path / "output.txt").read_text()
    statuses = [json.loads(path.read_text())["run"]["status"] for path in tmp_path.glob("sweep/*/result.json")]
    assert {*statuses} == {"KILLED"}


def run_in(folder, environment, *arguments):
    """What `python -m embexp.<arguments>` prints, which must end well."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", f"embexp.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.matrix
def test_a_study_is_left_to_slurm_and_an_evaluation_comes_back(cluster, own, tmp_path):
    trials = ("tune", *TINY, "trainer.learning_rate=tag(log, interval(1e-5, 1e-2))", "trials=2", "tracking=none")
    trials += ("tune.sampler=random", "tune.pruner=none", "hydra.run.dir=study")
    models = ("evaluate", "model=tiny,static_scratch", "tracking=none", "evaluator.sts.resamples=100", "speed_texts=0")
    on_slurm = ("sweep/engine=slurm", "sweep.workers=2", "sweep.engine.pause=1")
    said_left = run_in(tmp_path / "slurm", cluster.environment, *trials, *on_slurm, "sweep.engine.then=leave")
    assert "go on, and the last one closes it" in said_left
    found = run_in(tmp_path / "slurm", cluster.environment, *models, *on_slurm)
    expected = run_in(tmp_path / "here", os.environ | own, *models)
    for text in ("static_scratch", "tiny"):
        rows = [next(line for line in said.splitlines() if line.startswith(f" {text}")) for said in (found, expected)]
        assert rows[0] == rows[1]
    run_in(tmp_path / "here", os.environ | own, *trials)
    wait_for(lambda: not cluster.jobs("RUNNING", "PENDING", "COMPLETING"), tmp_path)
    tables = [(tmp_path / place / "study/trials.csv").read_text() for place in ("slurm", "here")]
    assert tables[0] == tables[1]
    assert json.loads((tmp_path / "slurm/study/result.json").read_text())["run"]["status"] == "FINISHED"
    assert not (tmp_path / "slurm/study/engine").exists()
