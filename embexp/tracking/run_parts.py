"""Parts of a run that have runs of their own below it: a stage before the main one, the training of a teacher."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embexp.errors import TrackingError
from embexp.run_record import RESULT, read_json, status_of, write_json
from embexp.tracking.journal import Journal
from embexp.tracking.null_tracker import NullTracker

logger = logging.getLogger(__name__)
PART_TAG = "embexp.part"  # of which kind a part is: who ranks runs leaves those with this tag out
PART = "part.json"  # in a part's folder: the id that the tracker gave it, and whether the tracker has all of it


@contextmanager
def open_part(journal: Journal, folder: Path, name: str, kind: str) -> Iterator[Journal]:
    """The journal of a part while it goes on: closed as a run is, and in the same child when it is opened again.

    Where the tracker does not answer, the part is recorded in its folder alone: `is_closed_part` stays false.

    Args:
        folder: the part's own, for its metrics.jsonl and result.json.
        name: among the parts of the run; the child is called `<run>/<name>`.
        kind: what the tag PART_TAG says: stage, for example.
    """
    child, reached = _opened(journal, folder, name)
    with child:
        child.log_tags({PART_TAG: kind})
        yield child
    write_json(folder / PART, {"id": child.run_id, "closed": reached and child.all_sent})


def _opened(journal: Journal, folder: Path, name: str) -> tuple[Journal, bool]:
    """The part's journal, and whether the tracker has opened a run for it."""
    named = f"{journal.result['run']['name']}/{name}", journal.run_id, f"{journal.key}/{name}"
    child = journal.child(folder)
    try:
        return child.open(*named), True
    except TrackingError as error:
        logger.warning("%s The run goes on; %s is recorded in %s alone.", error, name, folder)
        child.tracker = NullTracker()
        return child.open(*named), False


def is_closed_part(folder: Path) -> bool:
    """Whether a part has finished and the tracker has all of it."""
    if not (folder / RESULT).is_file() or not (folder / PART).is_file():
        return False
    return status_of(folder) == "FINISHED" and read_json(folder / PART)["closed"]
