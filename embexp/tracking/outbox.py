"""What a run, a sweep or a study sends to its tracker: what cannot be sent is kept in its folder, and sent later.

`unsent.jsonl` says in its first line which run of which store it belongs to, then comes what the tracker lacks, in
order. Every record can be sent again: MLflow takes what it has already for the same, metrics by the time at which they
were measured. So a record that may have arrived, because nobody answered or the process was killed, is sent once more.
"""

import json
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from embexp.config.session import shell_command
from embexp.config.trust import links_out_of
from embexp.core.redaction import redacted
from embexp.core.run_folder import BEHIND, read_record, write_text
from embexp.core.signals import held_back
from embexp.errors import RefusedRecordError, Terminated, TrackingError, UnreadableError
from embexp.protocols import Tracker
from embexp.tracking.store_calls import OPENING, last_attempt, within

logger = logging.getLogger(__name__)
UNSENT = "unsent.jsonl"
_RECORDS = ("log_params", "log_tags", "log_metrics", "log_data", "describe", "log_artifact", "log_checkpoint")
_RECORDS += ("log_model", "finish")  # methods of a Tracker that a line may name
_SENDS_FILES = ("log_artifact", "log_checkpoint", "log_model")


class Outbox:
    """Sends records to a tracker in order, and keeps those that it does not take.

    Args:
        folder: of the run; the file is in it.
        above: of the run that this is a part of.

    Attributes:
        run: what the tracker has to know to open the run: name, parent (its id), key, began (seconds since 1970); and
            `id`, which the tracker gave it, empty where it does not have it yet.
        unsent: method and arguments of each record that waits.
        path: of the file; several processes that record in one folder have a file each.
        is_open: whether this process has opened the run in the store.
    """

    def __init__(self, folder: Path, tracker: Tracker, above: "Outbox | None" = None) -> None:
        self.folder = folder
        self.path = folder / UNSENT
        self.tracker = tracker
        self.above = above
        self.run: dict[str, Any] = {"name": "", "parent": None, "key": None, "began": None, "id": ""}
        self.unsent: list[tuple[str, list[Any]]] = []
        self.parts: list[Outbox] = []  # that have ended and wait
        self.is_open = False
        self._is_cut = False  # whether a signal has ended a call

    def open(self, name: str, parent: str | None, key: str | None, may_wait: bool = False) -> None:
        """Open the tracker's run; what an earlier process could not send is sent first.

        Args:
            may_wait: whether the run begins without the tracker, which gets it later; needs a key.

        Raises:
            TrackingError: the store does not answer, and the run may not wait.
        """
        self.run |= {"name": name, "parent": parent, "key": key, "began": time.time()}
        BEHIND.pop(self.folder, None)
        if self.path.is_file():
            self.load()
        try:
            if may_wait and self.tracker.rests():
                raise TrackingError(f"{self.tracker.store()} failed a moment ago")
            with within(OPENING):
                self.tracker.prepare()
                self.run["id"], self.is_open = self.tracker.start(name, self._parent(), key), True
        except TrackingError as error:
            if not may_wait:
                raise
            logger.warning("%s. The run continues; it is recorded in %s alone for now.", _text(error), self.folder)
            self._write()
        else:
            self._send_unsent()

    def reopen(self, record: Mapping[str, Any]) -> bool:
        """Take up a run that has ended, by what its folder says of it; False where the store has no such run."""
        self.run |= {"name": record["name"], "key": record["key"], "id": record.get("id", ""), "began": time.time()}
        try:
            if self.path.is_file():
                self.load()
                self._open_again()
            else:
                self.tracker.attach(record["key"])
                self.is_open = True
        except TrackingError as error:
            logger.warning("%s.", _text(error))
            return bool(self.run["id"] or self.unsent) and self.tracker.rests()
        return True

    def _parent(self) -> str | None:
        """The id of the run above. Raises TrackingError where that is not in the store yet."""
        if self.above is None:
            return self.run["parent"]
        if self.above.is_open:
            return self.above.run["id"]
        raise TrackingError(f"The run above {self.run['name']} is not in the store yet.")

    def load(self) -> None:
        """Take up what the file holds."""
        head, *records = read_unsent(self.path)
        self.run |= {key: head[key] for key in ("name", "parent", "key", "began", "id") if head.get(key)}
        self.unsent = [(each["method"], self._from_line(each)) for each in records] + self.unsent

    def send(self, method: str, *arguments: Any) -> None:
        """Send a record, after those that wait; what the store refuses is named and left in the folder."""
        given = [*arguments]
        if self._waits():
            self._keep(method, given)
            return
        with held_back():
            try:
                getattr(self.tracker, method)(*given)
            except RefusedRecordError as error:
                logger.warning("%s. It is in %s alone.", _text(error), self.folder)
            except TrackingError as error:
                logger.warning("%s. The run continues; what MLflow lacks is sent later.", _text(error))
                self._keep(method, given)
            except (KeyboardInterrupt, Terminated):
                self._keep(method, given)
                self._is_cut = True
                raise

    def _waits(self) -> bool:
        """Whether a record has to wait, as the store rests or others wait still."""
        if not self.unsent and self.is_open:
            return False
        return self.tracker.rests() or not self._send_unsent()

    def close(self, is_stopped: bool) -> bool:
        """Try once more to send what waits, also of its parts; whether all is sent. A part leaves that to its run.

        Args:
            is_stopped: by a signal; then a store that has failed is not waited for again.
        """
        if self.above is not None:
            if self._is_behind() and not self.tracker.rests():
                self._send_unsent()
            self.above.parts += [self] if self._is_behind() else []
            return not self._is_behind()
        waiting = [each for each in (self, *self.parts) if each._is_behind()]
        if waiting and not self._is_cut and not (is_stopped and self.tracker.rests()):
            with last_attempt():
                while waiting and waiting[0]._send_unsent():
                    del waiting[0]
        if waiting:
            BEHIND[self.folder] = sum(len(each.unsent) for each in waiting)
        return not waiting

    def _is_behind(self) -> bool:
        return bool(self.unsent) or not self.is_open

    def send_all(self, opened: Callable[[str], None]) -> int:
        """Send what waits; returns how many records that were.

        Args:
            opened: is called with the id of the run before anything is sent.

        Raises:
            TrackingError: the store does not answer.
        """
        count = len(self.unsent)
        with last_attempt():
            self._open_again()
            opened(self.run["id"])
            while self.unsent:
                self._send_first()
        self._write()
        return count

    def _send_unsent(self) -> bool:
        """Send what waits until the store fails; whether that was all."""
        count = len(self.unsent)
        try:
            self._open_again()
            while self.unsent:
                self._send_first()
        except TrackingError as error:
            logger.warning("%s.", _text(error))
        if count != len(self.unsent) or not self._is_behind():
            self._write()
        return not self._is_behind()

    def _open_again(self) -> None:
        """Open the run where this process has not yet done so."""
        if self.is_open:
            return
        run = self.run
        if run["id"]:
            self.tracker.attach(run["key"])
        else:
            parent = self._parent()
            self.tracker.prepare()
            run["id"] = self.tracker.start(run["name"], parent, run["key"], run["began"])
        self.is_open = True

    def _send_first(self) -> None:
        method, arguments = self.unsent[0]
        lost = [each for each in arguments if method in _SENDS_FILES and isinstance(each, Path) and not each.exists()]
        try:
            with held_back():
                if lost:
                    logger.warning("%s is gone, and is not sent.", lost[0])
                else:
                    getattr(self.tracker, method)(*arguments)
        except RefusedRecordError as error:
            logger.warning("%s. It is in %s alone.", _text(error), self.folder)
        del self.unsent[0]

    def _keep(self, method: str, arguments: list[Any]) -> None:
        self.unsent.append((method, arguments))
        if not self.path.is_file():
            self._write()
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(self._as_line(method, arguments))

    def _write(self) -> None:
        """Write the file anew; without records there is none, once the tracker has the run."""
        if not self.unsent and self.is_open:
            self.path.unlink(missing_ok=True)
            return
        above = {"above": os.path.relpath(self.above.folder, self.folder)} if self.above else {}
        head = self.run | above | {"tracker": self.tracker.settings()}
        write_text(self.path, json.dumps(_plain(head), ensure_ascii=False) + "\n" + "".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        for method, arguments in self.unsent:
            yield self._as_line(method, arguments)

    def _as_line(self, method: str, arguments: list[Any]) -> str:
        given = [self._relative(each) if isinstance(each, Path) else _plain(each) for each in arguments]
        return json.dumps({"method": method, "arguments": given}, ensure_ascii=False) + "\n"

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path.absolute(), self.folder.absolute())

    def _from_line(self, line: Mapping[str, Any]) -> list[Any]:
        """The arguments of a record; UnreadableError for a path outside of the folder, which may be a stranger's."""
        method, arguments = line["method"], [*line["arguments"]]
        if method in _SENDS_FILES:
            path = self.folder / arguments[0]
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise UnreadableError(f"it sends {path}, which is outside of the run's folder", file=self.path)
            if links := links_out_of(path):
                raise UnreadableError(f"it sends {path}, in which {links[0]}", file=self.path)
            arguments[0] = path
        return arguments


def amend(folder: Path, tracker: Tracker, *records: tuple[Any, ...], record: Mapping[str, Any] | None = None) -> bool:
    """Send more records of a run that has ended: method and arguments of each; they wait where the store is dead.

    Args:
        record: name and key of a part of a run, whose folder does not say them; None: what the folder says.

    Returns:
        Whether the store has such a run, as far as can be seen.

    Raises:
        UnreadableError: what the run's folder says of it is damaged.
    """
    outbox = Outbox(folder, tracker)
    if not outbox.reopen(record or read_record(folder)):
        return False
    for method, *arguments in records:
        outbox.send(method, *arguments)
    outbox.close(is_stopped=False)
    return True


def _text(error: TrackingError) -> str:
    """What went wrong; what to type for it is for the start of a run."""
    return error.problems[0].text.rstrip(".")


def behind(folder: Path) -> str:
    """What to say where the tracker lacks something of a run of this process."""
    sync = shell_command("sync", [shlex.quote(str(folder))])
    said = f"{BEHIND[folder]} records of this run could not be sent. All of it is in {folder}."
    return f"MLflow is behind: {said} To send them: {sync}"


def unsent_below(folder: Path) -> list[Path]:
    """The files of what waits in a folder: of runs, parts, sweeps, studies; those of runs above first."""
    return sorted(folder.rglob("unsent*.jsonl"), key=lambda path: (len(path.parts), path))


def _plain(value: Any) -> Any:
    """The value as JSON holds it, without secrets; what is nested deeper becomes a text, as parameters do."""
    if isinstance(value, Mapping):
        return {redacted(str(key)): _scalar(inner) for key, inner in value.items()}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _scalar(inner) for key, inner in value.items()}
    return redacted(str(value))


def read_unsent(path: Path) -> list[dict[str, Any]]:
    """The lines of such a file, without one that was being written when its process was killed.

    Raises:
        UnreadableError: it is damaged.
    """
    text = path.read_bytes()
    lines = []
    for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), 1):
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or (number > 1 and entry["method"] not in _RECORDS):
                raise ValueError("it is no record")
        except (ValueError, KeyError, RecursionError) as error:
            raise UnreadableError(f"cannot be read: {error}", file=path, line=number) from error
        lines.append(entry)
    return lines or [{}]
