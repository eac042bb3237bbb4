"""One job of a multirun, run as Hydra runs it; whatever it raises ends this job only."""

from collections.abc import Sequence
from dataclasses import dataclass
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
