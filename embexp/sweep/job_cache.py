"""One job of a sweep: taken where it was done before, resumed where it was interrupted, else run."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.core.run_context import RunContext
from embexp.core.run_folder import RECORD, RESULT, is_closed, read_json, read_record, status_of, write_json
from embexp.errors import SkippedJobError, TrackingError
from embexp.experiment.fingerprint import SWEEP_TAG, run_fingerprint
from embexp.experiment.sweep_record import TAKEN

if TYPE_CHECKING:
    from embexp.experiment.plan import RunPlan
    from embexp.protocols import Tracker

logger = logging.getLogger(__name__)
_OUTDATED_TAG = "embexp.outdated"  # a run of a sweep whose rows, weights or code are others today
_KEPT_BY_HYDRA = (".hydra", "run.lock")  # of this process, in a folder that an earlier one has used


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
    if (folder / RECORD).is_file() and read_record(folder).get("fingerprint") != fingerprint:
        _retire(folder, plan.tracker)
    if (folder / RECORD).is_file():
        if is_closed(folder):
            return _value_of(folder)
        if rerun == "none" and status_of(folder) == "FAILED":
            first_line = read_json(folder / RESULT)["error"].splitlines()[0]
            raise SkippedJobError(f"not tried again (sweep.rerun=none): {first_line}")
        return execute(plan, resume=True, context=context).primary_value
    other = None if rerun == "all" else _finished_elsewhere(plan, fingerprint)
    if other and _is_taken(other, plan, context.sweep or ""):
        return _value_of(other)
    (folder / TAKEN).unlink(missing_ok=True)
    return execute(plan, context=context).primary_value


def _value_of(folder: Path) -> float:
    logger.info("Done before: %s", folder)
    return read_json(folder / RESULT)["primary_value"]


def _finished_elsewhere(plan: "RunPlan", fingerprint: str) -> Path | None:
    """The folder of another run with the same fingerprint that has finished, the latest one."""
    paths = plan.config["paths"]
    records = [*_records(Path(paths["runs"])), *_records(Path(paths["sweeps"]))]
    for record in sorted(records, key=lambda path: path.stat().st_mtime, reverse=True):
        folder = record.parent
        if folder != plan.folder and read_record(folder).get("fingerprint") == fingerprint and is_closed(folder):
            return folder
    return None


def _records(root: Path) -> Iterator[Path]:
    """run.json of single runs (`<date>/<time>`) and of jobs (`<date>/<time>/<number>`)."""
    yield from root.glob(f"*/*/{RECORD}")
    yield from root.glob(f"*/*/*/{RECORD}")


def _is_taken(other: Path, plan: "RunPlan", sweep: str) -> bool:
    """Count a run among this sweep's, in its folder and in the tracker; False when the tracker no longer has it."""
    try:
        plan.tracker.attach(read_record(other)["key"])
        result = read_json(other / RESULT)
        sweeps = dict.fromkeys([*result["tags"].get(SWEEP_TAG, "").split(), sweep])
        result["tags"][SWEEP_TAG] = " ".join(sweeps)
        plan.tracker.log_tags({SWEEP_TAG: result["tags"][SWEEP_TAG]})
    except TrackingError as error:
        logger.warning("%s would do, but is run again: %s", other, error)
        return False
    write_json(other / RESULT, result)
    write_json(plan.folder / TAKEN, {"folder": str(other.resolve())})
    return True


def _retire(folder: Path, tracker: "Tracker") -> None:
    """Move away what a job left before its rows, weights, code or YAML files changed."""
    record, status = read_record(folder), status_of(folder)
    aside = folder.parent / "outdated" / f"{folder.name}-{record['key'][:8]}"
    logger.warning("What this job depends on has changed since it last ran; what it left is in %s.", aside)
    aside.mkdir(parents=True)
    for path in [*folder.iterdir()]:
        if path.name not in _KEPT_BY_HYDRA and path.suffix != ".log":
            shutil.move(path, aside / path.name)
    try:
        tracker.attach(record["key"])
        tracker.log_tags({_OUTDATED_TAG: "true"})
        if status == "RUNNING":
            tracker.finish("KILLED")
    except TrackingError as error:
        logger.warning("The earlier run could not be marked as outdated: %s", error)


def record_death(folder: Path, tracker: "Tracker", error: str, overrides: Sequence[str]) -> None:
    """Write the end of a job whose process died into its folder and the tracker, since it could not do so itself."""
    if (folder / RESULT).is_file() and status_of(folder) == "FINISHED":
        return  # all that it found is there; what the tracker lacks is sent when the command is typed again
    content = read_json(folder / RESULT) if (folder / RESULT).is_file() else {"run": {}}
    content["run"]["status"] = "FAILED"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RESULT, content | {"error": error, "overrides": [*overrides]})
    if not (folder / RECORD).is_file():
        return
    try:
        tracker.attach(read_record(folder)["key"])
        tracker.log_tags({"error": error})
        tracker.finish("FAILED")
    except TrackingError as failure:
        logger.warning("The run in %s could not be closed: %s", folder, failure)
