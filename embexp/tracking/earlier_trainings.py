"""Trainings that were done while the data of a run were made, such as a teacher's, as parts of the run."""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from embexp.data.dataset import StepReport
from embexp.run_record import RESULT, read_json, status_of
from embexp.tracking.journal import METRICS, Journal
from embexp.tracking.run_parts import is_closed_part, open_part

FOLDER = "trainings"  # in the run's folder: a folder for each of them

logger = logging.getLogger(__name__)


def send_trainings(journal: Journal, reports: Iterable[StepReport]) -> None:
    """Copy the records of trainings that steps took into the run's folder, and send each as a run below it.

    One that the tracker has already is not sent again; one whose folder is gone from the cache is told.
    """
    sources = dict.fromkeys(Path(training) for report in reports for training in report.trainings)
    for name, source in _named([source for source in sources if _is_there(source)]).items():
        folder = journal.folder / FOLDER / name.replace("/", "-")
        if not is_closed_part(folder):
            _send(journal, source, folder, name)


def sent_trainings(run_folder: Path) -> list[Path]:
    """The folders of those parts."""
    return sorted(path for path in (run_folder / FOLDER).glob("*") if path.is_dir())


def _send(journal: Journal, source: Path, folder: Path, name: str) -> None:
    record = read_json(source / RESULT)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / METRICS, folder / METRICS)  # what stands there is sent when the part is opened
    with open_part(journal, folder, name, "teacher") as part:
        part.log_params(record["params"])
        part.log_tags({"training.folder": str(source)})
        part.log_results(record["metrics"])


def _is_there(source: Path) -> bool:
    finished = status_of(source) == "FINISHED"
    if not finished:
        logger.warning("The training in %s is not shown with this run: its record is gone from the cache.", source)
    return finished


def _named(sources: Iterable[Path]) -> dict[str, Path]:
    """The trainings by what they called themselves; of two that did alike the later one with its key, too."""
    named: dict[str, Path] = {}
    for source in sources:
        name = read_json(source / RESULT)["run"]["name"]
        named[f"{name}/{source.parent.name}" if name in named else name] = source
    return named
