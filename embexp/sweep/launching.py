"""All jobs of a multirun: in this process one after the other, or in workers; one that fails ends no other."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embexp.sweep.jobs import Job, JobRunner, varying
from embexp.sweep.opening import SweepCallback
from embexp.sweep.progress import Progress
from embexp.sweep.unknown_keys import LEAVE_OUT, split_known
from embexp.sweep.workers import run_in_workers

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

logger = logging.getLogger("embexp.sweep")


def launch(runner: JobRunner, job_overrides: Sequence[Sequence[str]], first: int) -> list["JobReturn"]:
    """What each job returned; failures are not raised, they are listed when the sweep is closed."""
    from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals

    setup_globals()
    configure_log(runner.config.hydra.hydra_logging, runner.config.hydra.verbose)
    given = [Job(number, tuple(overrides)) for number, overrides in enumerate(job_overrides, first)]
    names = dict(zip((job.number for job in given), varying(given), strict=True))
    jobs = _without_unknown(given, runner.config)
    workers = min(runner.config.sweep.workers, len(jobs))
    sweep = SweepCallback.current
    progress = Progress(names, workers, logger.info, sweep.tracker if sweep else None)
    if workers:
        outcomes = run_in_workers(runner, jobs, workers, progress)
    else:
        outcomes = [progress.follow(job, runner.folder(job), runner.run) for job in jobs]
    return [
        JobReturn(job.overrides, status=JobStatus.COMPLETED, _return_value=each.value)
        for job, each in zip(jobs, outcomes, strict=True)
    ]


def _without_unknown(jobs: Sequence[Job], config: "DictConfig") -> Sequence[Job]:
    """The jobs, each without the keys that it does not know where that was asked for."""
    if config.sweep.unknown_keys != LEAVE_OUT:
        return jobs
    split = [split_known(job.overrides, config.hydra.job.config_name) for job in jobs]
    for override, number in Counter(override for _, unknown in split for override in unknown).items():
        logger.info("%s is left out of %s of %s jobs, which have no such key.", override, number, len(jobs))
    return [Job(job.number, tuple(known)) for job, (known, _) in zip(jobs, split, strict=True)]
