"""The process that was typed follows its workers: what they do, which of them die, what is left to do.

Nothing is handed to a worker but the list of jobs: who does which stands in the jobs' folders (`embexp.core.claims`),
how each ended in `engine/` of the sweep's folder. So a worker may be anywhere, and on engines whose workers outlive
this process the same command typed again goes on following.
"""

import functools
import logging
import os
import runpy
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.cli.app import TYPED
from embexp.config.compose import instantiate
from embexp.core.arguments import refuse
from embexp.core.claims import Owner, break_claim, holder, is_held
from embexp.core.run_folder import read_json, readable, write_json
from embexp.errors import ConfigError, EngineError, LeftToWorkers, WorkersCancelled
from embexp.experiment.settings_checks import sweep_problems
from embexp.experiment.sweep_record import TRIALS
from embexp.protocols import Engine
from embexp.sweep.jobs import Job, Outcome, Runner
from embexp.sweep.progress import Progress, found_in
from embexp.sweep.shared import Shared, check_stores, share
from embexp.sweep.slots import ENGINE, JOB, REFUSED, End, packed, read_end, unpacked, worker_for, write_end

logger = logging.getLogger("embexp.sweep")
_TICK = 0.2  # seconds between two looks at what has ended
_FOLLOWS_UP = "EMBEXP_FOLLOWS_UP"  # in the environment of the command that an engine types when all workers have ended
_STATE = "workers.json"  # in engine/: whether workers outlive who submitted them, how often one died with each job
_CLOSING = 30.0  # seconds that a worker which is to be started once more may take to close its run
_IN_VAIN = 3  # times that workers may be submitted of which none takes a job


_ALIVE = ("running", "waiting")


def is_left(sweep_folder: Path) -> bool:
    """Whether workers of the sweep or study may still be there, so that it is not closed."""
    files = (sweep_folder / place / ENGINE / _STATE for place in ("", TRIALS))
    return any(read_json(path)["outlives"] for path in files if path.is_file())


def is_any_alive(states: Mapping[str, str]) -> bool:
    """Whether a worker is there, or will be."""
    return any(state in _ALIVE for state in states.values())


def forget_workers(sweep_folder: Path) -> None:
    """Remove what workers have left that cannot be there any more."""
    shutil.rmtree(sweep_folder / ENGINE, ignore_errors=True)


def check_engine(settings: Mapping[str, Any], may_leave: bool = True) -> None:
    """Refuse `sweep.workers` and an engine that cannot be, before anything is opened.

    Args:
        settings: `sweep`, resolved.
        may_leave: whether the same command typed again finds workers that were left.

    Raises:
        EmbexpError: a value that cannot be, too many workers for the GPUs, an engine that is not there.
    """
    refuse(sweep_problems(settings))
    engine: Engine = instantiate(settings["engine"])
    if not may_leave and engine.then != "wait":
        expected = "wait: what it finds is shown by this process"
        raise ConfigError(key="sweep.engine.then", given=engine.then, expected=expected, fix="sweep.engine.then=wait")
    if settings["workers"] or not engine.is_here:
        engine.check(settings["workers"])


def run_in_workers(runner: Runner, jobs: Sequence[Job], workers: int, progress: Progress) -> list[Outcome]:
    """How each job ended.

    Raises:
        ConfigError: workers on other machines cannot reach the store.
        EngineError: the engine is not there, or its workers end before they take a job.
        KeyboardInterrupt, Terminated: this process was stopped. Workers that cannot outlive it are, too, and their runs
            are closed as KILLED.
        LeftToWorkers, WorkersCancelled: as it was typed.
    """
    engine = instantiate(OmegaConf.to_container(runner.config.sweep.engine, resolve=True))
    engine.begin(runner.id, runner.place)
    for warning in check_stores(runner.stores(), engine.is_here):
        logger.warning("%s", warning)
    return _Coordinator(engine, runner, jobs, workers, progress).run()


@dataclass
class _Coordinator:
    """Follows the workers of one sweep.

    Attributes:
        ends: of the jobs that have ended.
        begun: the jobs that a worker was seen to have.
        gone: since when each worker is known to be gone that still has a job, by its claim.
        in_vain: how often workers were submitted since a job was taken or ended.
    """

    engine: Engine
    runner: Runner
    jobs: Sequence[Job]
    workers: int
    progress: Progress
    ends: dict[int, End] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    gone: dict[str, float] = field(default_factory=dict)
    in_vain: int = 0
    _worker: tuple[Callable[[], None], Mapping[str, str]] | None = None

    def __post_init__(self) -> None:
        self.folder = self.runner.place
        self.place = self.folder / ENGINE
        self.most = self.engine.jobs_per_worker

    def run(self) -> list[Outcome]:
        if self.engine.then == "cancel":
            self._end_workers()
            raise WorkersCancelled(0)
        states = self.engine.states()
        goes_on = _FOLLOWS_UP in os.environ or is_any_alive(states)
        if not goes_on:
            forget_workers(self.folder)
        self.place.mkdir(parents=True, exist_ok=True)
        if not (self.place / _STATE).is_file():
            write_json(self.place / _STATE, {"outlives": self.engine.outlives, "deaths": {}})
        try:
            self._follow()
        except BaseException:
            if not self.engine.outlives or self.runner.again() is None:
                self._end_workers()
            raise
        self.engine.close()
        shutil.rmtree(self.place)
        return [self.ends[job.number].outcome for job in self.jobs]

    def _end_workers(self) -> None:
        self.engine.cancel()
        self.engine.close()
        forget_workers(self.folder)

    def _follow(self) -> None:
        """Look at what happens until all jobs have ended; or only once, where nobody wants to wait."""
        next_look = time.monotonic()
        while self._note_ends():
            if time.monotonic() >= next_look:
                states = self.engine.states()
                held = self._holders()
                self._note_deaths(held, states)
                if self._note_ends():
                    self._submit(held, states)
                if self.engine.then == "leave" and is_any_alive(self.engine.states()):
                    self._leave()
                next_look = time.monotonic() + self.engine.pause
            time.sleep(min(_TICK, self.engine.pause))

    def _leave(self) -> None:
        """End this process; the workers go on, and whoever follows them up comes when they have ended."""
        if _FOLLOWS_UP in os.environ:
            self._have_it_followed_up()
        raise LeftToWorkers(0)

    def _note_ends(self) -> list[Job]:
        """The jobs that have not ended, after those were shown that have."""
        there = {path.stem for path in self.place.glob("[0-9]*.json")}
        for job in self.jobs:
            if job.number not in self.ends and str(job.number) in there:
                for _, end in readable([self.place / f"{job.number}.json"], read_end):
                    self._end(job, end)
        return [job for job in self.jobs if job.number not in self.ends]

    def _end(self, job: Job, end: End) -> None:
        self.in_vain = 0
        self.ends[job.number] = end
        self._begin(job.number)
        self.progress.end(job.number, end.outcome, end.was_done, found_in(self.runner.folder(job)), end.seconds)

    def _begin(self, number: int) -> None:
        if number not in self.begun:
            self.in_vain = 0
            self.begun.add(number)
            self.progress.begin(number)

    def _holders(self) -> dict[int, Owner]:
        """Who has which of the jobs that have not ended."""
        missing = [job for job in self.jobs if job.number not in self.ends]
        found = {job.number: holder(self.runner.folder(job), JOB) for job in missing}
        return {number: owner for number, owner in found.items() if owner is not None}

    def _note_deaths(self, held: dict[int, Owner], states: Mapping[str, str]) -> None:
        """Free the jobs whose workers are gone, or wait to be started once more; one that kills its workers failed."""
        for job in (job for job in self.jobs if job.number in held):
            name = held[job.number].job
            state, is_ours = states.get(name, ""), name.startswith(self.engine.scope)
            if state == "running" or (not is_ours and is_held(self.runner.folder(job), JOB)):
                self._begin(job.number)
                continue
            if is_ours and not self._is_over(job, held[job.number], state):
                continue
            if is_ours and state != "waiting":
                self._count_death(job, state)
            for what in ("run", JOB):
                break_claim(self.runner.folder(job), lambda owner, name=name: owner.job == name, what)
            del held[job.number]

    def _is_over(self, job: Job, owner: Owner, state: str) -> bool:
        """Whether a worker that has ended, or waits once more, writes nothing that we do not see yet."""
        passed = time.monotonic() - self.gone.setdefault(owner.token, time.monotonic())
        if state == "waiting":  # Slurm says so of a worker that it preempts before that has closed its run
            return passed >= _CLOSING or not is_held(self.runner.folder(job), JOB)
        return passed >= 2 * self.engine.pause or not self.engine.outlives  # on a network file system

    def _count_death(self, job: Job, reason: str) -> None:
        path = self.place / f"{job.number}.json"
        if path.is_file():
            return
        state = read_json(self.place / _STATE)
        state["deaths"][str(job.number)] = times = state["deaths"].get(str(job.number), 0) + 1
        write_json(self.place / _STATE, state)
        error = f"The process of the job ended by {reason or 'itself'}{f', {times} times' if times > 1 else ''}."
        if times <= self.engine.retries:
            logger.warning("%s %s It is tried again.", self.progress.place(job.number), error)
            return
        self.runner.give_up(job, error)
        write_end(self.folder, job.number, End(Outcome(error=error), False, 0.0))

    def _submit(self, held: dict[int, Owner], states: Mapping[str, str]) -> None:
        """Start workers for the jobs that nobody has, as many as may run and are not there."""
        missing = len(self.jobs) - len(self.ends)
        alive = [name for name, state in states.items() if state in _ALIVE]
        idle = len(alive) - len({owner.job for owner in held.values()} & {*alive})
        each = self.most or missing
        lacking = -(-(missing - len(held)) // each) if self.most else missing - len(held)
        number = lacking - idle
        if not self.most or alive:
            number = min(number, self.workers - len(alive))
        if number <= 0:
            return
        self.in_vain += 1
        if self.in_vain > _IN_VAIN:
            why = {path.read_text(encoding="utf-8") for path in self.place.glob(f"{REFUSED}*")}
            why = why or {state for state in states.values() if state and state not in _ALIVE}
            self._end_workers()
            text = f"The workers of the sweep end before they take a job ({'; '.join(sorted(why)) or 'no error'})"
            raise EngineError(text, note=f"What they printed is below {self.folder}.")
        work, secrets = self._worker = self._worker or worker_for(self.runner, self.jobs, self.most, self._share())
        self.engine.submit(work, number, self.workers, secrets)
        self._have_it_followed_up()

    def _share(self) -> Shared | None:
        """What workers have to find first; None where they run on this machine."""
        if self.engine.is_here:
            return None
        return share(self.runner, self.jobs, self.place, self.runner.stores())

    def _have_it_followed_up(self) -> None:
        if again := self.runner.again():
            self.engine.follow_up(*_command_again(*again))


def _command_again(module: str, overrides: Sequence[str]) -> tuple[Callable[[], None], Mapping[str, str]]:
    """The same command, to be typed by an engine: it closes what workers have done, or submits what is left once more.

    Args:
        overrides: that it needs to go on, and that it had not been typed with, or otherwise.
    """
    own = [*overrides, "sweep.engine.then=leave"]
    again = tuple(f"{each.partition('=')[0]}=" for each in own)
    task, secrets = packed((module, [*(each for each in TYPED.get() if not each.startswith(again)), *own], os.getcwd()))
    return functools.partial(_type_again, task), secrets


def _type_again(task: bytes) -> Any:
    module, arguments, directory = unpacked(task)
    os.chdir(directory)
    os.environ[_FOLLOWS_UP] = "1"
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
