"""Which runs a leaderboard ranks, from folders or MLflow, and the way of its files back to their sweep."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.board.runs import runs_in
from embexp.errors import ConfigError, TrackingError
from embexp.protocols import Tracker
from embexp.sweep.record import SHORT_ID, SWEEP, job_folders, read_sweep
from embexp.tracking.mlflow_runs import MlflowRuns
from embexp.tracking.mlflow_tracker import MlflowTracker
from embexp.tracking.recorded_run import RecordedRun

ARTIFACTS = "leaderboard"  # the folder of its files, in a sweep's folder and among its parent's artifacts


@dataclass(frozen=True)
class Source:
    """Where the runs of a leaderboard come from.

    Attributes:
        folder: the sweep's; None where its runs were asked of MLflow.
        parent: by which the tracker finds the sweep's own run; None without a sweep or a tracker.
    """

    runs: list[RecordedRun]
    folder: Path | None = None
    parent: str | None = None


def source_of(settings: Mapping[str, Any], tracker: Tracker, scratch: Path) -> Source:
    """The runs of a sweep from its folder where there is one, else from MLflow; else all runs that fit a filter.

    Args:
        scratch: for files of runs that come from MLflow.

    Raises:
        ConfigError: no such sweep, a filter that MLflow does not understand, or no MLflow to ask.
        TrackingError: the store does not answer.
    """
    given = settings["of_sweep"]
    folder = _sweep_folder(given, Path(settings["paths"]["sweeps"])) if given else None
    has_store = isinstance(tracker, MlflowTracker)
    if folder:
        return Source(runs_in(job_folders(folder)), folder, read_sweep(folder)["id"] if has_store else None)
    if not has_store:
        what = f"sweep={given} is no sweep's folder" if given else "No sweep was named"
        raise ConfigError(
            f"{what}, and there is no MLflow to ask (tracking=none). Expected a sweep's folder, or its id: type "
            "sweep=<sweeps>/<date>/<time>, or tracking=mlflow."
        )
    store = MlflowRuns(tracker, scratch)
    if not given:
        return Source(store.matching(settings["filter"] or ""))
    if len(given) == SHORT_ID:
        tracker.attach(given)
    else:
        tracker.run_id = given
    return Source(store.below(tracker.run_id), None, tracker.run_id)


def _sweep_folder(given: str, root: Path) -> Path | None:
    """The folder that was given, or that of the sweep with this id below the root."""
    folder = Path(given).expanduser()
    if (folder / SWEEP).is_file():
        return folder
    if folder.is_dir():
        raise ConfigError(
            f"sweep={given} is no sweep's folder: there is no {SWEEP} in it. Expected one such as "
            f"{root}/<date>/<time>, or the id of a sweep."
        )
    folders = (path.parent for path in sorted(root.glob(f"*/*/{SWEEP}")))
    return next((folder for folder in folders if read_sweep(folder)["id"] == given), None)


def send_board(folder: Path, source: Source, tracker: Tracker) -> None:
    """Store the files with the sweep's own run; a tracker that has none of it is told, and all is in the folder."""
    try:
        if source.folder:
            tracker.attach(source.parent)
        tracker.log_artifact(folder, ARTIFACTS)
    except TrackingError as error:
        if not source.folder:
            raise
        print(f"The files were not sent: {error}", file=sys.stderr)
        return
    print(f"tracked    {tracker.where()}, {ARTIFACTS}/")
