"""What a worker does, on whatever engine: it claims one job after the other, in the jobs' own folders.

In the folder that they share `engine/` is there as long as workers may be: how each job ended (`<number>.json`).
"""

import functools
import io
import os
import pickle
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.core.claim_files import ENGINE_JOB
from embexp.core.claims import Owner, break_claim, drop, holder, take
from embexp.core.redaction import redacted
from embexp.core.run_folder import read_json, write_json, write_text
from embexp.core.signals import listen
from embexp.errors import ClaimLostError, EngineError
from embexp.sweep.jobs import Job, Outcome, Runner
from embexp.sweep.progress import noting_earlier
from embexp.sweep.shared import Shared, check_shared

ENGINE = "engine"  # in a sweep's folder
REFUSED = "refused-"  # in engine/: how files begin that say why a worker took no job
JOB = "job"  # the claim of a worker on a job; the run in it has one of its own
_SECRETS = "EMBEXP_SECRETS_"  # how variables begin that hold what a pickle must not


@dataclass(frozen=True)
class End:
    """How a job of a sweep ended: the file that its worker leaves."""

    outcome: Outcome
    was_done: bool
    seconds: float


def write_end(folder: Path, number: int, end: End) -> None:
    """Leave it in the sweep's folder."""
    content = {"value": end.outcome.value, "error": end.outcome.error}
    write_json(folder / ENGINE / f"{number}.json", content | {"was_done": end.was_done, "seconds": end.seconds})


def read_end(path: Path) -> End:
    content = read_json(path)
    return End(Outcome(content["value"], content["error"]), content["was_done"], content["seconds"])


def worker_for(
    runner: Runner, jobs: Sequence[Job], most: int | None, shared: Shared | None = None
) -> tuple[Callable[[], None], Mapping[str, str]]:
    """What a worker is to call, and what its environment must hold for it: secrets, which no file gets.

    Args:
        most: so many jobs a worker does at most; None: until none is left.
        shared: what it has to find first; None: it is on this machine.
    """
    from hydra.core.singleton import Singleton

    task, secrets = packed((runner, tuple(jobs), most, Singleton.get_state(), shared, os.getcwd()))
    return functools.partial(_work, task), secrets


def packed(content: Any) -> tuple[bytes, dict[str, str]]:
    """A pickle of anything, and what it lacks: the texts that hold a secret, for the environment of who unpacks it."""
    import cloudpickle

    secrets: dict[str, str] = {}

    class Packing(cloudpickle.Pickler):
        def persistent_id(self, found: Any) -> str | None:
            if type(found) is not str or redacted(found) == found:
                return None
            name = next((name for name, secret in secrets.items() if secret == found), None)
            name = name or f"{_SECRETS}{uuid.uuid4().hex}"
            secrets[name] = found
            return name

    file = io.BytesIO()
    Packing(file).dump(content)
    return file.getvalue(), secrets


def unpacked(task: bytes) -> Any:
    """What was packed, in a process whose environment holds the secrets."""

    class Unpacking(pickle.Unpickler):
        def persistent_load(self, name: str) -> str:
            return os.environ[name]

    return Unpacking(io.BytesIO(task)).load()


def _work(task: bytes) -> None:
    """Do the jobs of a sweep that nobody has done or is doing.

    Raises:
        EngineError: the machine lacks what all share.
        Terminated: SIGTERM; the run is closed as KILLED, and another worker may take the job.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.singleton import Singleton
    from hydra.core.utils import configure_log, setup_globals
    from hydra.types import RunMode

    setup_globals()
    runner, jobs, most, hydra_state, shared, directory = unpacked(task)
    if shared is not None:
        _check(shared)
    os.chdir(directory)
    Singleton.set_state(hydra_state)
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.RUN:  # jobs of a multirun have logs of their own
        configure_log(HydraConfig.get().job_logging, HydraConfig.get().verbose)
    listen()
    own, done = os.environ[ENGINE_JOB], 0
    for job in jobs:
        if done == most:
            break
        done += _take_and_do(runner, job, lambda owner: owner.job == own)  # of its life before it was requeued


def _check(shared: Shared) -> None:
    """Check what all share; what lacks is left in the sweep's folder, too, if that can be seen."""
    try:
        check_shared(shared)
    except EngineError as error:
        with suppress(OSError):
            write_text(shared.folder / f"{REFUSED}{uuid.uuid4().hex}", str(error))
        raise


def _take_and_do(runner: Runner, job: Job, is_gone: Callable[[Owner], bool]) -> bool:
    """Whether the job was free, and has ended now.

    One whose worker died is not free until who follows the workers has counted that death, and freed it.
    """
    folder, end = runner.folder(job), runner.place / ENGINE / f"{job.number}.json"
    if end.is_file() or not end.parent.is_dir():  # the latter: the sweep is over
        return False
    owner = holder(folder, JOB)
    if owner is not None and not is_gone(owner):
        return False
    claim = take(folder, JOB, is_gone=is_gone)
    if isinstance(claim, Owner):
        return False
    try:
        if end.is_file():
            return False
        break_claim(folder, is_gone)
        began = time.perf_counter()
        with output_to(folder / "output.txt"):
            outcome, was_done = noting_earlier(job, folder, runner.run)
        with suppress(FileNotFoundError, ClaimLostError):  # the sweep was cancelled, or another worker has the job
            claim.check(strict=True)
            write_end(runner.place, job.number, End(outcome, was_done, time.perf_counter() - began))
        return True
    finally:
        drop(claim)


@contextmanager
def output_to(path: Path) -> Iterator[Any]:
    """What is printed inside, by whatever code, goes to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        kept = [os.dup(stream) for stream in (1, 2)]
        try:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)
