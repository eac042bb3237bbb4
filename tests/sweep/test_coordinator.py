"""The process that follows the workers of a sweep, with an engine that a test moves by hand."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from embexp.cli.app import TYPED
from embexp.core import claims
from embexp.core.claim_files import ENGINE_JOB
from embexp.core.claims import break_claim, holder, is_held, take
from embexp.core.run_folder import read_json
from embexp.errors import EngineError, WorkersCancelled
from embexp.sweep import coordinator
from embexp.sweep.coordinator import _command_again, _Coordinator, is_left
from embexp.sweep.jobs import Job, JobRunner, Outcome
from embexp.sweep.progress import Progress
from embexp.sweep.slots import ENGINE, JOB, REFUSED, End, _take_and_do, packed, unpacked, write_end


class ByHand:
    """An engine whose workers do what a test has them do, one step at each look of the coordinator.

    Args:
        script: a function of this engine for each look.
    """

    scope, is_here, jobs_per_worker, pause = "hand:here/", True, None, 0.001

    def __init__(self, *script, outlives=True, retries=1, then="wait"):
        self.script, self.outlives, self.retries, self.then = [*script], outlives, retries, then
        self.workers, self.submitted, self.followed, self.closed = {}, [], 0, False

    def submit(self, work, number, limit, environment):
        assert (limit, dict(environment)) == (2, {})
        self.submitted.append(number)
        for _ in range(number):
            self.workers[f"{self.scope}{len(self.workers)}"] = "waiting"

    def states(self):
        if self.script and self.submitted:
            self.script.pop(0)(self)
        return dict(self.workers)

    def cancel(self):
        self.workers = dict.fromkeys(self.workers, "cancelled")

    def follow_up(self, work, environment):
        self.followed += 1

    def close(self):
        self.closed = True

    def state(self, worker, state):
        self.workers[f"{self.scope}{worker}"] = state


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """A function that follows a sweep of four jobs in two workers, and gives the outcomes and the lines shown."""
    monkeypatch.setattr(coordinator, "worker_for", lambda *_: (print, {}))
    monkeypatch.setattr(coordinator, "_TICK", 0.001)
    monkeypatch.setattr(coordinator, "_CLOSING", 0.0)
    monkeypatch.setattr(claims, "machine", lambda: "another")  # so that no process of this machine is looked up
    monkeypatch.chdir(tmp_path)
    config = OmegaConf.create(
        {"hydra": {"sweep": {"dir": str(tmp_path)}}, "tracking": {"_target_": "embexp.tracking.run_parts.NullTracker"}}
    )
    TYPED.set(("-m", "seed=1,2,3,4"))

    (tmp_path / ENGINE).mkdir()

    def run(engine, jobs=4):
        lines = []
        given = [Job(number, (f"seed={number}",)) for number in range(jobs)]
        progress = Progress({job.number: job.overrides[0] for job in given}, 2, lines.append)
        return _Coordinator(engine, JobRunner(None, None, config), given, 2, progress).run(), lines

    return run


def has(worker, number):
    """The worker takes the job."""

    def step(engine):
        os.environ[ENGINE_JOB] = f"{engine.scope}{worker}"
        claims._HEART.remove(take(Path(str(number)), JOB))  # as that of another process
        engine.state(worker, "running")
        del os.environ[ENGINE_JOB]

    return step


def ends(*numbers):
    """The jobs come to their ends, and the worker with them."""

    def step(engine):
        for number in numbers:
            write_end(Path(), number, End(Outcome(number / 10), False, 2.0))
        engine.workers = dict.fromkeys(engine.workers, "")

    return step


def is_now(worker, state):
    return lambda engine: engine.state(worker, state)


def nothing(_):
    """The engine says what it has said before."""


def interrupt(_):
    raise KeyboardInterrupt


def test_as_many_workers_are_started_as_may_run_and_the_folder_is_left_clean(follow, tmp_path):
    engine = ByHand(nothing, has(0, 0), has(1, 1), ends(0, 1, 2, 3))
    outcomes, lines = follow(engine)
    assert [each.value for each in outcomes] == [0.0, 0.1, 0.2, 0.3]
    assert (engine.submitted, engine.followed, engine.closed) == ([2], 1, True)
    assert lines[-1] == "[4/4] seed=3 done in 2.0 s: 0.3000 | 4 of 4 done, best seed=3"
    assert not (tmp_path / ENGINE).exists()


@pytest.mark.parametrize("outlives", [True, False])
def test_a_job_whose_worker_died_is_tried_again_and_fails_when_it_kills_each(follow, outlives):
    dies = (has(0, 0), is_now(0, "out of memory"), nothing, nothing, has(1, 0), is_now(1, "out of memory"))
    engine = ByHand(*dies, *[nothing] * 30, ends(1, 2, 3), outlives=outlives)
    outcomes, lines = follow(engine)
    assert outcomes[0].error == "The process of the job ended by out of memory, 2 times."
    assert [each.value for each in outcomes[1:]] == [0.1, 0.2, 0.3]
    assert sum(engine.submitted) > 2
    assert read_json(Path("0/result.json"))["run"]["status"] == "FAILED"
    assert "1 failed" in lines[-1]


def test_a_job_whose_worker_waits_once_more_is_free_and_was_not_killed_by_it(follow, tmp_path):
    seen = []
    look = [lambda engine: seen.append(holder(tmp_path / "0", JOB))]
    requeued = (has(0, 0), is_now(0, "waiting"), nothing, *look)
    engine = ByHand(*requeued * 3, ends(0, 1, 2, 3), retries=0)
    outcomes, _ = follow(engine)
    assert seen == [None] * 3
    assert [each.value for each in outcomes] == [0.0, 0.1, 0.2, 0.3]


def test_a_job_whose_worker_is_still_closing_its_run_is_not_free_yet(follow, tmp_path, monkeypatch):
    monkeypatch.setattr(coordinator, "_CLOSING", 60.0)
    seen = []
    look = [lambda engine: seen.append(holder(tmp_path / "0", JOB).job)]
    engine = ByHand(has(0, 0), is_now(0, "waiting"), nothing, *look, is_now(0, "running"), ends(0, 1, 2, 3), retries=0)
    outcomes, _ = follow(engine)
    assert seen == ["hand:here/0"]
    assert outcomes[0].value == 0.0


def test_a_worker_of_another_cluster_is_left_with_its_job(follow, tmp_path):
    os.environ[ENGINE_JOB] = "hand:there/0"
    claims._HEART.remove(take(tmp_path / "0", JOB))
    del os.environ[ENGINE_JOB]
    engine = ByHand(has(0, 1), *[nothing] * 5, ends(0, 1, 2, 3), retries=0)
    outcomes, _ = follow(engine)
    assert outcomes[0].value == 0.0
    assert holder(tmp_path / "0", JOB).job == "hand:there/0"


def test_workers_that_end_before_they_take_a_job_are_not_started_for_ever(follow, tmp_path):
    def end_all(engine):
        engine.workers = dict.fromkeys(engine.workers, "exit code 1")

    engine = ByHand(*[end_all] * 20)
    with pytest.raises(EngineError, match=r"end before they take a job \(exit code 1\)"):
        follow(engine)
    assert engine.submitted == [2, 2, 2]
    assert not is_left(tmp_path)


def test_why_workers_take_no_job_is_shown(follow, tmp_path):
    def refuse(engine):
        (tmp_path / ENGINE / f"{REFUSED}{len(engine.workers)}").write_text("On node7 torch 2.6 is installed")
        engine.workers = dict.fromkeys(engine.workers, "exit code 1")

    with pytest.raises(EngineError, match=r"take a job \(On node7 torch 2.6 is installed\)"):
        follow(ByHand(*[refuse] * 20))


def test_workers_that_outlive_it_are_left_and_found_again(follow, tmp_path):
    engine = ByHand(has(0, 0), interrupt)
    with pytest.raises(KeyboardInterrupt):
        follow(engine)
    assert is_left(tmp_path)
    assert {*engine.workers.values()} == {"running", "waiting"}
    write_end(tmp_path, 0, End(Outcome(0.5), False, 3.0))  # meanwhile
    engine.script = [nothing, ends(1, 2, 3)]
    outcomes, lines = follow(engine)
    assert engine.submitted == [2]
    assert [each.value for each in outcomes] == [0.5, 0.1, 0.2, 0.3]
    assert lines[0].startswith("[1/4] seed=0 done in 3.0 s")


def test_workers_that_cannot_outlive_it_are_ended(follow, tmp_path):
    engine = ByHand(interrupt, outlives=False)
    with pytest.raises(KeyboardInterrupt):
        follow(engine)
    assert {*engine.workers.values()} == {"cancelled"}
    assert not (tmp_path / ENGINE).exists()


def test_an_end_that_is_there_from_earlier_workers_does_not_count(follow, tmp_path):
    write_end(tmp_path, 0, End(Outcome(error="of a disk that was full"), False, 3.0))
    outcomes, _ = follow(ByHand(ends(0, 1, 2, 3)))
    assert outcomes[0].value == 0.0


def test_who_follows_up_takes_the_ends_that_are_there_and_submits_the_rest(follow, tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEXP_FOLLOWS_UP", "1")
    write_end(tmp_path, 0, End(Outcome(0.9), False, 3.0))
    engine = ByHand(then="leave")
    with pytest.raises(SystemExit) as stopped:
        follow(engine)
    assert (stopped.value.code, engine.submitted) == (0, [2])
    assert engine.followed == 2
    assert is_left(tmp_path)
    for number in (1, 2, 3):
        write_end(tmp_path, number, End(Outcome(0.1), False, 3.0))
    outcomes, _ = follow(engine)
    assert outcomes[0].value == 0.9
    assert not is_left(tmp_path)


def test_what_was_typed_to_be_cancelled_is(follow, tmp_path):
    engine = ByHand()
    engine.workers = {"hand:here/0": "running"}
    engine.then = "cancel"
    with pytest.raises(WorkersCancelled):
        follow(engine)
    assert engine.workers == {"hand:here/0": "cancelled"}
    assert not is_left(tmp_path)


@pytest.mark.parametrize(("most", "expected"), [(1, [4]), (2, [2]), (3, [2]), (100, [1])])
def test_a_worker_that_does_so_many_jobs_at_most_leaves_the_others_to_more_workers(follow, most, expected):
    engine = ByHand(ends(0, 1, 2, 3))
    engine.jobs_per_worker = most
    follow(engine)
    assert engine.submitted == expected


SECRETS = ("postgresql://me:s3cret-word@host/db", "http://host/?token=abcdef123")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_not_in_what_is_packed_and_comes_back(secret, monkeypatch):
    content = {"uri": secret, "other": ["plain", secret], "f": functools.partial(print, secret)}
    task, environment = packed(content)
    assert secret.encode() not in task
    assert len(environment) == 1
    with pytest.raises(KeyError):
        unpacked(task)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = unpacked(task)
    assert (found["uri"], found["other"], found["f"].args) == (secret, ["plain", secret], (secret,))


def test_a_job_that_a_worker_of_an_earlier_command_has_left_is_free_after_a_lease(follow, monkeypatch):
    """On a machine that is gone: nobody else knows."""
    monkeypatch.setenv(ENGINE_JOB, "local:before/0")
    claims._HEART.remove(take(Path("0"), JOB))
    monkeypatch.delenv(ENGINE_JOB)
    monkeypatch.setattr(claims, "machine", lambda: "yet another")
    now, holders = [0.0], []
    monkeypatch.setattr(claims, "clock", lambda: now[0])

    def pass_time(_):
        holders.append(holder(Path("0"), JOB))
        now[0] += 25

    engine = ByHand(*[pass_time] * 6, ends(0, 1))
    outcomes, _ = follow(engine, jobs=2)
    assert [each.value for each in outcomes] == [0.0, 0.1]
    assert engine.submitted == [1, 1]
    assert [each is None for each in holders] == [False] * 3 + [True] * 3


class Runner:
    """Runs a job at once."""

    place = Path()

    def folder(self, job):
        return Path(str(job.number))

    def run(self, job):
        return Outcome(job.number + 0.5)


def test_a_worker_leaves_a_job_whose_worker_died_to_who_counts_the_death(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(ENGINE).mkdir()
    dies = f"import os, pathlib; from embexp.core import claims; claims.take(pathlib.Path('0'), {JOB!r}); os._exit(9)"
    subprocess.run([sys.executable, "-c", dies], env=os.environ | {ENGINE_JOB: "slurm:a/1"}, check=False)
    dead = holder(Path("0"), JOB)
    assert (dead.job, is_held(Path("0"), JOB)) == ("slurm:a/1", False)
    assert not _take_and_do(Runner(), Job(0, ()), lambda owner: owner.job == "slurm:a/2")
    assert not Path(ENGINE, "0.json").exists()
    break_claim(Path("0"), lambda owner: owner == dead, JOB)
    assert _take_and_do(Runner(), Job(0, ()), lambda owner: owner.job == "slurm:a/2")
    assert read_json(Path(ENGINE, "0.json"))["value"] == 0.5


@pytest.mark.parametrize("sweep", ["sweep", "sweeps/2026-11-30/10-00-00", "/scratch/sweep"])
def test_who_closes_a_sweep_names_its_folder_as_the_command_did(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TYPED.set(("-m", "seed=1,2", f"hydra.sweep.dir={sweep}", "sweep.engine.then=wait"))
    runner = JobRunner(None, None, OmegaConf.create({"hydra": {"sweep": {"dir": sweep}}}))
    work, secrets = _command_again(*runner.again())
    module, arguments, directory = unpacked(*work.args)
    assert (module, directory, secrets) == ("embexp", str(tmp_path), {})
    assert arguments == ["-m", "seed=1,2", f'hydra.sweep.dir="{sweep}"', "sweep.engine.then=leave"]
