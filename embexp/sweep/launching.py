"""All jobs of a multirun: in this process one after the other, or in workers; one that fails ends no other."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embexp.sweep.jobs import Job, JobRunner, varying
from embexp.sweep.opening import SweepCallback
from embexp.sweep.progress import Progress
from embexp.sweep.workers import run_in_workers

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

logger = logging.getLogger("embexp.sweep")


def launch(runner: JobRunner, job_overrides: Sequence[Sequence[str]], first: int) -> list["JobReturn"]:
    """What each job returned; failures are not raised, they are listed when the sweep is closed."""
    from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals

    setup_globals()
    configure_log(runner.config.hydra.hydra_logging, runner.config.hydra.verbose)
    jobs = [Job(number, tuple(overrides)) for number, overrides in enumerate(job_overrides, first)]
    workers = min(runner.config.sweep.workers, len(jobs))
    sweep = SweepCallback.current
    names = dict(zip((job.number for job in jobs), varying(jobs), strict=True))
    progress = Progress(names, workers, logger.info, sweep.tracker if sweep else None)
    if workers:
        outcomes = run_in_workers(runner, jobs, workers, progress)
    else:
        outcomes = [progress.follow(job, runner.folder(job), runner.run) for job in jobs]
    return [
        JobReturn(job.overrides, status=JobStatus.COMPLETED, _return_value=each.value)
        for job, each in zip(jobs, outcomes, strict=True)
    ]
