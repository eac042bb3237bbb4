"""Parts of a run that have runs of their own below it: earlier stages, a teacher's training."""

import copy
import logging
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from embexp.core.run_folder import RESULT, read_json, readable, status_of, write_json
from embexp.data.dataset import StepReport
from embexp.errors import Paused
from embexp.tracking.journal import METRICS, Journal
from embexp.tracking.outbox import unsent_below


class NullTracker:
    """A Tracker that keeps nothing."""

    def prepare(self) -> None: ...

    def start(self, name: str, parent: str | None = None, key: str | None = None, at: float | None = None) -> str:
        return ""

    def attach(self, key: str) -> None: ...

    def latest(self, keys: Collection[str]) -> dict[str, float]:
        return {}

    def logged(self, keys: Collection[str]) -> set[tuple[str, int]]:
        return set()

    def log_params(self, params: Mapping[str, Any]) -> None: ...
    def log_tags(self, tags: Mapping[str, str]) -> None: ...
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None, at: float | None = None) -> None: ...
    def log_data(self, *args: Any, **kwargs: Any) -> None: ...
    def describe(self, text: str) -> None: ...
    def log_artifact(self, path: Path, folder: str | None = None) -> None: ...
    def log_checkpoint(self, path: Path) -> None: ...
    def log_model(self, path: Path, step: int, metrics: Mapping[str, float], at: float | None = None) -> None: ...
    def finish(self, status: str, at: float | None = None) -> None: ...

    def rests(self) -> bool:
        return False

    def settings(self) -> dict[str, Any]:
        return {}

    def store(self) -> str:
        return ""

    def where(self) -> str:
        return "not tracked (tracking=none)"

    def page(self) -> str:
        return ""

    def page_of_sweep(self, sweep: str) -> str:
        return ""


logger = logging.getLogger(__name__)
PART_TAG = "embexp.part"  # of which kind a part is: who ranks runs leaves those with this tag out
_PART = "part.json"  # in a part's folder: the id that the tracker gave it, and whether the tracker has all of it


@contextmanager
def open_part(journal: Journal, folder: Path, name: str, kind: str) -> Iterator[Journal]:
    """The journal of a running part: closed as a run is, and in the same child when it is opened again.

    Where the tracker does not answer, the part goes on: `is_closed_part` stays false until all of it was sent.
    Paused that is raised inside ends here: the part stays open, and the run goes on.

    Args:
        folder: the part's own, for its metrics.jsonl and result.json.
        name: among the parts of the run; the child is called `<run>/<name>`.
        kind: what the tag PART_TAG says: stage, for example.
    """
    child = Journal(folder, copy.copy(journal.tracker), journal.again, is_part=True)
    child.above = journal
    child.open(f"{journal.result['run']['name']}/{name}", None, f"{journal.key}/{name}", may_wait=True)
    with suppress(Paused), child:
        child.log_tags({PART_TAG: kind})
        yield child
    write_json(folder / _PART, {"id": child.run_id, "closed": child.all_sent})


def is_closed_part(folder: Path) -> bool:
    """Whether a part has finished and the tracker has all of it."""
    if not (folder / RESULT).is_file() or not (folder / _PART).is_file():
        return False
    found = readable([folder], lambda part: status_of(part) == "FINISHED" and read_json(part / _PART)["closed"])
    return any(closed for _, closed in found)


def open_parts(run_folder: Path) -> list[Path]:
    """The folders of the parts of a run that are neither finished nor failed."""
    return [path.parent for path in sorted(run_folder.rglob(_PART)) if status_of(path.parent) == "RUNNING"]


def close_parts(run_folder: Path) -> None:
    """Note that the tracker has all of the parts of a run."""
    for path in sorted(run_folder.rglob(_PART)):
        if status_of(path.parent) == "FINISHED" and not unsent_below(path.parent):
            write_json(path, read_json(path) | {"closed": True})


_FOLDER = "trainings"  # in the run's folder: a folder for each of them


def send_trainings(journal: Journal, reports: Iterable[StepReport]) -> None:
    """Copy the records of trainings that steps took into the run's folder, and send each as a run below it.

    One that the tracker has already is not sent again; one whose folder is gone from the cache is named in a warning.
    """
    named: dict[str, Path] = {}
    for source in dict.fromkeys(Path(training) for report in reports for training in report.trainings):
        if next((status for _, status in readable([source], status_of)), "") != "FINISHED":
            logger.warning("The training in %s is not shown with this run: its record is gone from the cache.", source)
            continue
        name = read_json(source / RESULT)["run"]["name"]
        named[f"{name}/{source.parent.name}" if name in named else name] = source  # the second has its key, too
    for name, source in named.items():
        folder = journal.folder / _FOLDER / name.replace("/", "-")
        if is_closed_part(folder):
            continue
        record = read_json(source / RESULT)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / METRICS, folder / METRICS)  # what stands there is sent when the part is opened
        with open_part(journal, folder, name, "teacher") as part:
            part.log_params(record["params"])
            part.log_tags({"training.folder": str(source)})
            part.log_results(record["metrics"])


def sent_trainings(run_folder: Path) -> list[Path]:
    """The folders of those parts."""
    return sorted(path for path in (run_folder / _FOLDER).glob("*") if path.is_dir())
