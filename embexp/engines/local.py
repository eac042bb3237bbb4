"""Workers that are processes of this machine: each with its own threads or GPU, and ended with the one that started it.

joblib's pool is lost when a process is killed, submitit starts all jobs of one machine at once and gives each GPU 0.
Here no GPU is ever booked twice, and a worker that dies is seen at once.
"""

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from embexp.core.claim_files import ENGINE_JOB
from embexp.errors import ConfigError


def gpu_of_each(num_workers: int, given: Sequence[int | str] | None) -> list[str | None]:
    """A GPU for each worker, as CUDA_VISIBLE_DEVICES wants it; None for each where there is none.

    Args:
        given: `sweep.gpus`; None takes those that are seen. One that is named twice is shared by two workers.

    Raises:
        ConfigError: fewer GPUs than workers: two jobs would share one, which nobody has requested.
    """
    gpus = _seen_gpus() if given is None else [str(gpu) for gpu in given]
    if given is not None and not gpus:
        return [""] * num_workers
    if not gpus:
        return [None] * num_workers
    if len(gpus) < num_workers:
        shared = [gpus[worker % len(gpus)] for worker in range(num_workers)]
        raise ConfigError(
            f"with the GPUs {', '.join(gpus)} lets two jobs share one",
            key="sweep.workers",
            given=num_workers,
            expected="a GPU for each worker, the shared GPUs by name, or none to train on the CPU",
            fix=(f"sweep.workers={len(gpus)}", f"sweep.gpus=[{','.join(shared)}]", "sweep.gpus=[]"),
        )
    return [*gpus[:num_workers]]


def _seen_gpus() -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, else those that the driver lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True
    )
    return listed.stdout.split() if listed.returncode == 0 else []


_PATIENCE = 30.0  # seconds that a worker has to close its run once the sweep was stopped; then it is killed


@dataclass(frozen=True)
class _Worker:
    process: Any
    place: int  # among those that run side by side, each with its own GPU


class LocalEngine:
    """Processes of this machine.

    Args:
        gpus: see `gpu_of_each`.
    """

    is_here, outlives, retries, pause, then, jobs_per_worker = True, False, 0, 0.1, "wait", None

    def __init__(self, gpus: list[int | str] | None = None) -> None:
        self.gpus = gpus
        self.scope = f"local:{uuid.uuid4().hex[:8]}/"
        self.workers: dict[str, _Worker] = {}

    def check(self, workers: int) -> None:
        gpu_of_each(workers, self.gpus)

    def begin(self, sweep: str, folder: Path) -> None:
        """Nothing is needed."""

    def submit(self, work: Callable[[], None], number: int, limit: int, environment: Mapping[str, str]) -> None:
        """Start the processes, then send each what it works with.

        Not as an argument of the process: `multiprocessing` writes these to a pipe that it also keeps open for reading,
        so a process that dies before it has read 64 KB would leave us waiting for ever.
        """
        import cloudpickle

        gpus = gpu_of_each(limit, self.gpus)
        taken = {each.place for each in self.workers.values() if each.process.is_alive()}
        free = [place for place in range(limit) if place not in taken]
        spawning = multiprocessing.get_context("spawn")
        connections = []
        for place in free[:number]:
            ours, theirs = spawning.Pipe()
            name = f"{self.scope}{len(self.workers)}"
            own = {**environment, **_environment_of(limit, gpus[place]), ENGINE_JOB: name}
            process = spawning.Process(target=_run_worker, args=(theirs, own), daemon=False)
            with _without_program():
                process.start()
            theirs.close()
            self.workers[name] = _Worker(process, place)
            connections.append(ours)
        task = cloudpickle.dumps(work)
        task = cloudpickle.dumps((_program_in(task), task))
        for ours in connections:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has died: see states
                ours.send_bytes(task)

    def states(self) -> dict[str, str]:
        return {name: _state_of(each.process) for name, each in self.workers.items()}

    def cancel(self) -> None:
        alive = [each.process for each in self.workers.values() if each.process.is_alive()]
        for process in alive:
            process.terminate()
        end = time.monotonic() + _PATIENCE
        for process in alive:
            process.join(max(0.0, end - time.monotonic()))
            process.kill()

    def follow_up(self, work: Callable[[], None], environment: Mapping[str, str]) -> None:
        """The workers end with this process."""

    def close(self) -> None:
        for each in self.workers.values():
            each.process.join()


@contextlib.contextmanager
def _without_program() -> Iterator[None]:
    """While a process is started: `multiprocessing` does not have it run the program (a user's script) once more.

    A script without `if __name__ == "__main__":` would begin its sweep again in each worker.
    """
    program = vars(sys.modules["__main__"])
    hidden = {name: program.pop(name) for name in ("__file__", "__spec__") if name in program}
    program["__spec__"] = None  # `multiprocessing` reads it
    try:
        yield
    finally:
        del program["__spec__"]
        program.update(hidden)


def _program_in(task: bytes) -> dict[str, Any]:
    """What a task names of the program, such as the class of `_target_: __main__.Own`, and the program's file."""
    program = vars(sys.modules["__main__"])
    named = {name.decode() for name in re.findall(rb"__main__\.(\w+)", task)} & {*program}
    return {name: program[name] for name in sorted({*named, "__file__"} & {*program})} if named else {}


def _environment_of(num_workers: int, gpu: str | None) -> dict[str, str]:
    """What the environment of a worker adds to ours: its share of the cores, its GPU."""
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    found = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads)}
    return found if gpu is None else found | {"CUDA_VISIBLE_DEVICES": gpu}


def _state_of(process: Any) -> str:
    if process.is_alive():
        return "running"
    code = process.exitcode
    if code >= 0:
        return f"exit code {code}" if code else ""
    reason = signal.Signals(-code).name
    return f"{reason} (out of memory?)" if reason == "SIGKILL" else reason


def _run_worker(connection: Connection, environment: Mapping[str, str]) -> None:
    """Do the work that comes, pickled, after what it names of the program.

    Args:
        environment: set before anything is imported that reads it, as CUDA and OpenMP do.
    """
    os.environ.update(environment)
    import cloudpickle

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the sweep ends its workers itself
    program, task = cloudpickle.loads(connection.recv_bytes())
    vars(sys.modules["__main__"]).update(program)
    work = cloudpickle.loads(task)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work()


def _end_with_parent() -> None:
    """A worker whose sweep was killed stops as after SIGTERM: nobody would take what it does."""
    wait([parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
