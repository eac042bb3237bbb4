"""One job of a multirun: run as Hydra runs it, also in a worker process, or taken where it was done before."""

import logging
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embexp.cli.quoting import quoted
from embexp.config.compose import instantiate
from embexp.core.run_context import RunContext
from embexp.core.run_folder import RECORD, RESULT, is_closed, read_json, read_record, readable, status_of, write_json
from embexp.core.signals import raise_interrupt, unmasked
from embexp.errors import SkippedJobError, Terminated, UnreadableError
from embexp.experiment.fingerprint import SWEEP_TAG, run_fingerprint
from embexp.experiment.sweep_record import TAKEN, TRIALS, read_sweep
from embexp.tracking.outbox import amend

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from embexp.experiment.plan import RunPlan
    from embexp.protocols import Tracker


@dataclass(frozen=True)
class Job:
    """One cell of the grid: its number, and the overrides in which it differs from the others."""

    number: int
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with its primary metric, or with an error."""

    value: float | None = None
    error: str = ""


class Runner(Protocol):
    """Runs jobs, which a process does one after the other, or workers side by side; can be sent to another process.

    The jobs are cells of a sweep, trials of a study, or models to be scored.
    """

    @property
    def id(self) -> str:
        """By which an engine finds the workers that an earlier process has submitted."""

    @property
    def place(self) -> Path:
        """The folder that workers share."""

    @property
    def root(self) -> str:
        """Which of `paths` names the folder of such folders."""

    @property
    def config(self) -> "DictConfig":
        """With `sweep.engine`; workers have to find the files that it names."""

    def folder(self, job: Job) -> Path:
        """Where the job's run is."""

    def run(self, job: Job) -> Outcome:
        """How the job ended, also where it called for the end of the program.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            Terminated: SIGTERM.
        """

    def give_up(self, job: Job, error: str) -> None:
        """Record the end of a job whose process died, since it could not do so itself."""

    def stores(self) -> dict[str, str]:
        """What workers write to beside the folder: the key that names it, and its address without passwords."""

    def again(self) -> tuple[str, list[str]] | None:
        """The module and the overrides with which the same command goes on; None where nothing could go on."""


@dataclass(frozen=True)
class JobRunner:
    """Runs jobs of one multirun.

    Attributes:
        config: that of the multirun.
    """

    hydra_context: "HydraContext"
    task_function: "TaskFunction"
    config: "DictConfig"
    root = "sweeps"

    @property
    def place(self) -> Path:
        return Path(self.config.hydra.sweep.dir)

    @property
    def sweep_folder(self) -> Path:
        """That of the sweep, also where the jobs are trials of it."""
        return self.place.parent if self.place.name == TRIALS else self.place

    @property
    def id(self) -> str:
        return read_sweep(self.sweep_folder)["id"]

    def folder(self, job: Job) -> Path:
        return self.place / str(job.number)

    def tracker(self) -> "Tracker":
        from omegaconf import OmegaConf

        return instantiate(OmegaConf.to_container(self.config.tracking, resolve=True))

    def give_up(self, job: Job, error: str) -> None:
        record_death(self.folder(job), self.tracker(), error, job.overrides)

    def stores(self) -> dict[str, str]:
        return {"tracking.uri": self.tracker().store()}

    def again(self) -> tuple[str, list[str]]:
        return "embexp", [f"hydra.sweep.dir={quoted(str(self.sweep_folder))}"]

    def run(self, job: Job) -> Outcome:
        from hydra.core.utils import JobStatus, configure_log, run_job
        from omegaconf import open_dict

        raise_interrupt()  # one that the job before has dropped
        with unmasked():
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
    """The overrides in which each job differs from the others, as a text.

    >>> varying([Job(0, ("a=1", "b=2")), Job(1, ("a=1", "b=3"))])
    ['b=2', 'b=3']
    """
    same = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return [" ".join(each for each in job.overrides if each not in same) or "the only one" for job in jobs]


logger = logging.getLogger(__name__)
_KEPT_BY_HYDRA = (".hydra", "run.claim")  # of this process, in a folder that an earlier one has used


def run_or_reuse(plan: "RunPlan", rerun: str, context: RunContext) -> float:
    """The primary metric of a job, from an earlier run where there is one.

    Args:
        rerun: what to do again, as in conf/sweep/default.yaml.
        context: that it was planned with.

    Raises:
        SkippedJobError: it failed before, and sweep.rerun is none.
    """
    from embexp.experiment.execute import execute

    folder, fingerprint = plan.folder, run_fingerprint(plan)
    if (folder / RECORD).is_file() and _fingerprint_in(folder) != fingerprint:
        _retire(folder, plan.tracker)
    if (folder / RECORD).is_file():
        if is_closed(folder):
            return _value_of(folder)
        if rerun == "none" and status_of(folder) == "FAILED":
            first_line = read_json(folder / RESULT)["error"].splitlines()[0]
            raise SkippedJobError(f"not tried again (sweep.rerun=none): {first_line}")
        return execute(plan, resume=True, context=context).primary_value
    if rerun != "all" and (other := take_finished(plan, context.sweep or "")):
        return _value_of(other)
    (folder / TAKEN).unlink(missing_ok=True)
    return execute(plan, context=context).primary_value


def _fingerprint_in(folder: Path) -> str | None:
    """That of the run which a job's folder holds; None where what it left cannot be read, or not all of it."""
    whole = [folder for folder, _ in readable([folder], is_closed)]
    return next((found for _, found in readable(whole, _fingerprint)), None)


def _fingerprint(folder: Path) -> str | None:
    return read_record(folder).get("fingerprint")


def _value_of(folder: Path) -> float:
    logger.info("Done before: %s", folder)
    return read_json(folder / RESULT)["primary_value"]


def take_finished(plan: "RunPlan", owner: str) -> Path | None:
    """The folder of another run with the same fingerprint that has finished, counted among those of a sweep or a race.

    Args:
        owner: the id of the sweep or the race.
    """
    other = _finished_elsewhere(plan, run_fingerprint(plan))
    return other if other and _is_taken(other, plan, owner) else None


_RUNS_BELOW = {  # of each of `paths`: where its runs are
    "runs": ("*/*", "*/*/*"),  # `<date>/<time>`; jobs are looked for in both, as hydra.sweep.dir may say either
    "sweeps": ("*/*", "*/*/*"),
    "tunings": (f"*/*/{TRIALS}/*",),
    "races": ("*/*/runs/*",),
}


def _finished_elsewhere(plan: "RunPlan", fingerprint: str) -> Path | None:
    """The folder of another run with the same fingerprint that has finished, the latest one."""
    paths = plan.config["paths"]
    is_trial = plan.folder.parent.name == TRIALS
    places = [
        (Path(paths[key]), f"*/*/{TRIALS}/*" if is_trial else depth)
        for key, depths in _RUNS_BELOW.items()
        for depth in depths
        if key in paths
    ]
    records = [path for root, depth in dict.fromkeys(places) for path in root.glob(f"{depth}/{RECORD}")]
    latest_first = sorted(records, key=lambda path: path.stat().st_mtime, reverse=True)
    folders = (record.parent for record in latest_first if record.parent != plan.folder)
    same = (folder for folder, other in readable(folders, _fingerprint) if other == fingerprint)
    return next((folder for folder, closed in readable(same, is_closed) if closed), None)


def _is_taken(other: Path, plan: "RunPlan", sweep: str) -> bool:
    """Count a run among this sweep's, in its folder and in the tracker; False when the tracker no longer has it."""
    try:
        result = read_json(other / RESULT)
        sweeps = dict.fromkeys([*result["tags"].get(SWEEP_TAG, "").split(), sweep])
        result["tags"][SWEEP_TAG] = " ".join(sweeps)
        if not amend(other, plan.tracker, ("log_tags", {SWEEP_TAG: result["tags"][SWEEP_TAG]})):
            logger.warning("%s would do, but is run again: the tracker has it no longer.", other)
            return False
    except UnreadableError as error:
        logger.warning("%s would do, but is run again: %s", other, error)
        return False
    write_json(other / RESULT, result)
    write_json(plan.folder / TAKEN, {"folder": str(other.resolve())})
    return True


def _retire(folder: Path, tracker: "Tracker") -> None:
    """Move away what a job left before its rows, weights, code or YAML files changed."""
    status = next((status for _, status in readable([folder], status_of)), "")
    key = next((key for _, key in readable([folder], lambda place: read_record(place)["key"])), uuid.uuid4().hex)
    aside = folder.parent / "outdated" / f"{folder.name}-{key[:8]}"
    logger.warning("What this job depends on has changed since it last ran; what it left is in %s.", aside)
    aside.mkdir(parents=True)
    for path in [*folder.iterdir()]:
        if path.name not in _KEPT_BY_HYDRA and path.suffix != ".log":
            shutil.move(path, aside / path.name)
    records = [("log_tags", {"embexp.outdated": "true"})]
    records += [("finish", "KILLED", time.time())] if status == "RUNNING" else []
    try:
        amend(aside, tracker, *records)
    except UnreadableError as error:
        logger.warning("The earlier run could not be marked as outdated: %s", error)


def record_death(folder: Path, tracker: "Tracker", error: str, overrides: Sequence[str]) -> None:
    """Write the end of a job whose process died into its folder and the tracker, since it could not do so itself."""
    left = [folder for folder, _ in readable([folder] if (folder / RESULT).is_file() else [], status_of)]
    content = read_json(folder / RESULT) if left else {"run": {}}
    if content["run"].get("status") == "FINISHED":
        return  # all that it found is there; what the tracker lacks is sent when the command is typed again
    content["run"]["status"] = "FAILED"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RESULT, content | {"error": error, "overrides": [*overrides]})
    if not (folder / RECORD).is_file():
        return
    try:
        amend(folder, tracker, ("log_tags", {"error": error}), ("finish", "FAILED", time.time()))
    except UnreadableError as failure:
        logger.warning("The run in %s could not be closed: %s", folder, failure)
