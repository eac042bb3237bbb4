"""Worker processes that take job after job: each with its own threads or GPU, and replaced when it dies.

joblib's pool is lost when a process is killed, submitit starts all jobs of one machine at once and gives each GPU 0,
Ray brings a service of its own and takes ten seconds to start. Here a thread of this process has each worker: it
holds the worker's GPU, hands it a job, and sees at once when it dies. No GPU is ever booked twice.
"""

import concurrent.futures
import multiprocessing
import os
import queue
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from embexp.config.compose import instantiate
from embexp.errors import ConfigError
from embexp.sweep.jobs import Job, JobRunner, Outcome, record_death, run_worker
from embexp.sweep.progress import Progress


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


_POLL = 0.2  # seconds between two looks whether the sweep was stopped
_PATIENCE = 30.0  # seconds that a worker has to close its run once the sweep was stopped; then it is killed


def run_in_workers(runner: JobRunner, jobs: Sequence[Job], num_workers: int, progress: Progress) -> list[Outcome]:
    """How each job ended.

    Raises:
        ConfigError: fewer GPUs than workers.
        KeyboardInterrupt, Terminated: the sweep was stopped; so were the workers, and their runs are closed as KILLED.
    """
    gpus = gpu_of_each(num_workers, runner.config.sweep.gpus)
    workers = [_Worker(runner, _environment_of(num_workers, gpu)) for gpu in gpus]
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    outcomes: dict[int, Outcome] = {}
    with concurrent.futures.ThreadPoolExecutor(num_workers) as threads:
        serving = [threads.submit(_serve, worker, waiting, outcomes, progress) for worker in workers]
        try:
            while concurrent.futures.wait(serving, timeout=_POLL).not_done:
                pass  # a wait without end may not hear Ctrl-C
        except BaseException:
            while not waiting.empty():
                waiting.get()
            for worker in workers:
                worker.stop()
            end = time.monotonic() + _PATIENCE
            for worker in workers:
                if worker.process is not None:
                    worker.process.join(max(0.0, end - time.monotonic()))
                    worker.process.kill()
            raise
    for each in serving:
        each.result()
    return [outcomes[job.number] for job in jobs]


def _serve(
    worker: "_Worker", waiting: "queue.SimpleQueue[Job]", outcomes: dict[int, Outcome], progress: Progress
) -> None:
    """Give a worker one job after the other until none is left."""
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            worker.dismiss()
            return
        outcomes[job.number] = progress.follow(job, worker.runner.folder(job), worker.do)


def _environment_of(num_workers: int, gpu: str | None) -> dict[str, str]:
    """What the environment of a worker adds to ours: its share of the cores, its GPU."""
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    found = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads)}
    return found if gpu is None else found | {"CUDA_VISIBLE_DEVICES": gpu}


@dataclass
class _Worker:
    """A process that does jobs; a new one is started for the next job after it has died."""

    runner: JobRunner
    environment: dict[str, str]
    process: Any = None
    connection: Connection | None = None
    stopped: bool = False

    def do(self, job: Job) -> Outcome:
        """How the job ended, be it by the death of the process."""
        try:
            if self.process is None or not self.process.is_alive():
                self._start()
            if self.stopped:
                self.process.terminate()
            self.connection.send(job)
            wait([self.connection, self.process.sentinel])
            return self.connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.process.join()
            return self._died(job)

    def _start(self) -> None:
        """Start the process, and send it what it works with.

        Not as an argument of the process: `multiprocessing` writes these to a pipe that it also keeps open for reading,
        so a process that dies before it has read 64 KB would leave us waiting for ever.
        """
        import cloudpickle
        from hydra.core.singleton import Singleton

        spawning = multiprocessing.get_context("spawn")
        self.connection, theirs = spawning.Pipe()
        task = cloudpickle.dumps((self.runner, Singleton.get_state()))
        process = spawning.Process(target=run_worker, args=(theirs, self.environment), daemon=False)
        process.start()
        self.process = process
        theirs.close()
        self.connection.send_bytes(task)

    def _died(self, job: Job) -> Outcome:
        code = self.process.exitcode
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = " (out of memory?)" if reason == "SIGKILL" else ""
        error = f"The process of the job ended by {reason}{hint}."
        if not self.stopped:
            record_death(self.runner.folder(job), instantiate(self.runner.tracking()), error, job.overrides)
        return Outcome(error=error)

    def dismiss(self) -> None:
        """Let the process end, as there is no job left."""
        if self.process is not None and self.process.is_alive():
            self.connection.send(None)
            self.process.join()

    def stop(self) -> None:
        """Tell the process to end, which closes its run as KILLED first."""
        self.stopped = True
        if self.process is not None and self.process.is_alive():
            self.process.terminate()
