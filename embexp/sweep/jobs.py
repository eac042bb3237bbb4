"""One job of a multirun, run as Hydra runs it, also in a worker process; what it raises ends this job only."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.errors import Terminated

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Job:
    """One cell of the grid: its number, and the overrides that tell it from the others."""

    number: int
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with its primary metric, or with an error."""

    value: float | None = None
    error: str = ""


@dataclass(frozen=True)
class JobRunner:
    """Runs jobs of one multirun; can be sent to another process.

    Attributes:
        config: that of the multirun.
    """

    hydra_context: "HydraContext"
    task_function: "TaskFunction"
    config: "DictConfig"

    def folder(self, job: Job) -> Path:
        """Where the job's run is."""
        return Path(self.config.hydra.sweep.dir) / str(job.number)

    def tracking(self) -> dict[str, Any]:
        """The call that makes the tracker of this multirun."""
        from omegaconf import OmegaConf

        return OmegaConf.to_container(self.config.tracking, resolve=True)

    def run(self, job: Job) -> "Outcome":
        """How the job ended, also where it called for the end of the program.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            Terminated: SIGTERM.
        """
        from hydra.core.utils import JobStatus, configure_log, run_job
        from omegaconf import open_dict

        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(job.overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = job.number
        try:
            found = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except Terminated:
            raise
        except SystemExit as exit_call:
            return Outcome(error=f"the job called for the end of the program (exit code {exit_call.code})")
        finally:
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        if found.status == JobStatus.COMPLETED:
            return Outcome(found.return_value)
        return Outcome(error=f"{type(found._return_value).__name__}: {found._return_value}")


def varying(jobs: Sequence[Job]) -> list[str]:
    """What tells each job from the others, a text for each.

    >>> varying([Job(0, ("a=1", "b=2")), Job(1, ("a=1", "b=3"))])
    ['b=2', 'b=3']
    """
    same = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return [" ".join(each for each in job.overrides if each not in same) or "the only one" for job in jobs]


_OUTPUT = "output.txt"  # in a job's folder: what it would have shown on the terminal


def run_worker(connection: Connection, environment: Mapping[str, str], task: bytes) -> None:
    """Do the jobs that come, until there is none.

    Args:
        environment: set before anything is imported that reads it, as CUDA and OpenMP do.
        task: a JobRunner and the state of Hydra, pickled.
    """
    os.environ.update(environment)
    import cloudpickle

    from embexp.core.signals import listen

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the sweep ends its workers itself
    runner, hydra_state = cloudpickle.loads(task)
    from hydra.core.singleton import Singleton
    from hydra.core.utils import setup_globals

    setup_globals()
    Singleton.set_state(hydra_state)
    listen()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for job in iter(connection.recv, None):
        with _output_to(runner.folder(job) / _OUTPUT):
            outcome = runner.run(job)
        connection.send(outcome)


def _end_with_parent() -> None:
    """A worker whose sweep was killed stops as after SIGTERM: nobody would take what it does."""
    wait([parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _output_to(path: Path) -> Iterator[Any]:
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
