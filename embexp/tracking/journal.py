"""The run's own record: everything goes to its folder first, then to the tracker, which may fail."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from embexp.config.session import shell_command
from embexp.core.claims import check_claims
from embexp.core.run_context import timed
from embexp.core.run_folder import RESULT, are_numbers, write_json
from embexp.core.signals import ending_soon, held_back, masked_signal
from embexp.errors import ClaimLostError, LeftToWorkers, Paused, Pruned, Terminated, TrackingError, WorkersCancelled
from embexp.protocols import Tracker
from embexp.tracking.outbox import Outbox, behind

_TRACKING = "tracking"
logger = logging.getLogger(__name__)
METRICS = "metrics.jsonl"


class Journal:
    """Writes `metrics.jsonl` and `result.json` of a run, and passes all on to the tracker.

    As a context manager it closes the run: FINISHED, FAILED after an error, KILLED after Ctrl-C or SIGTERM, KILLED with
    the tag `pruned` where it was stopped because other trials do better. One that is Paused stays RUNNING.
    What the tracker could not take is sent again later (`Outbox`); the run never fails because of its tracker.
    In the folder of a run that was interrupted it continues: a value that stands there at a step is not written again,
    and what the tracker lacks is sent to it.

    Args:
        again: what to type to resume it when it was stopped; None: what resumes a run.
        is_part: whether it is of a part of a run; the run itself says how to resume it.

    Attributes:
        key: by which the tracker finds the run again.
        above: the journal of the run that this is a part of.
    """

    def __init__(self, folder: Path, tracker: Tracker, again: str | None = None, is_part: bool = False) -> None:
        self.folder = folder
        self.is_part = is_part
        self.key: str | None = None
        self.again = again or shell_command("", [f"resume={folder}"])
        self.tracker = tracker
        self.above: Journal | None = None
        self._saved = ""
        self.result: dict[str, Any] = {}
        self.outbox = Outbox(folder, tracker)
        self.all_sent = False  # whether the tracker has all of the run; known once it is closed
        self._written: dict[tuple[str, int | None], float] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @timed(_TRACKING)
    def open(self, name: str, parent: str | None, key: str | None = None, may_wait: bool = False) -> "Journal":
        """Open the tracker's run: the one with that key, where there is one.

        Args:
            may_wait: whether the run goes on where the store does not answer, as a part of a run or a sweep.

        Raises:
            TrackingError: the store does not answer: nothing was trained yet, so the run stops here.
        """
        self.key = key
        self.result["run"] = {"name": name, "id": "", "status": "RUNNING"}
        self.outbox.above = self.above.outbox if self.above else None
        try:
            with held_back():
                self.outbox.open(name, parent, key, may_wait)
                (self.folder / RESULT).unlink(missing_ok=True)
                self._resume()
        except (KeyboardInterrupt, Terminated) as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    @property
    def run_id(self) -> str:
        """The id that the tracker gave the run; empty where it does not have it yet."""
        return self.outbox.run["id"]

    def _resume(self) -> None:
        """Take up the metrics that an earlier process wrote."""
        lines = written_lines(self.folder / METRICS)
        self._written = {(key, line["step"]): value for line in lines for key, value in line["metrics"].items()}
        try:
            there = self.tracker.logged({key for key, _ in self._written}) if lines and self.outbox.is_open else set()
        except TrackingError:  # what it has already is sent again, and taken for the same
            there = set()
        for line in lines:
            lacking = {key: value for key, value in line["metrics"].items() if (key, line["step"] or 0) not in there}
            if lacking:
                self._send("log_metrics", lacking, line["step"], line.get("time") or time.time())

    def note_saved(self, sentence: str) -> None:
        """Keep what of a training is saved already, for the message of a run that is stopped."""
        self._saved = sentence
        if self.above:
            self.above.note_saved(sentence)

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.result.setdefault("params", {}).update(params)
        self._send("log_params", dict(params))

    def log_tags(self, tags: Mapping[str, str]) -> None:
        self.result.setdefault("tags", {}).update(tags)
        self._send("log_tags", dict(tags))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a line to metrics.jsonl, without values that an earlier process has written there for that step."""
        fresh = {key: value for key, value in metrics.items() if self._written.get((key, step)) != value}
        if not fresh:
            return
        check_claims(self.folder)
        with open(self.folder / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "time": (now := time.time()), "metrics": fresh}) + "\n")
        self._send("log_metrics", fresh, step, now)

    def log_results(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Metrics that are results of the run: they stand in result.json, too."""
        self.result.setdefault("metrics", {}).update(metrics)
        self.log_metrics(metrics, step)

    def log_data(self, *given: Any) -> None:
        self._send("log_data", *given)

    def describe(self, text: str) -> None:
        self._send("describe", text)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        self._send("log_artifact", path, folder)

    def log_checkpoint(self, path: Path) -> None:
        self._send("log_checkpoint", path)

    def log_model(self, path: Path, step: int, metrics: Mapping[str, float]) -> None:
        self._send("log_model", path, step, dict(metrics), time.time())

    @timed(_TRACKING)
    def _send(self, method: str, *arguments: Any) -> None:
        check_claims(self.folder)
        self.outbox.send(method, *arguments)

    def _tell_unsent(self) -> None:
        """Say what the tracker lacks, and what sends it."""
        if not self.all_sent and not self.is_part:
            logger.warning("%s", behind(self.folder))

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        masked = masked_signal(error)
        with held_back(), ending_soon(masked or error):
            self._close(masked or error)
        if masked:
            raise masked from error

    def _close(self, error: BaseException | None) -> None:
        if isinstance(error, ClaimLostError | LeftToWorkers):  # another process has it, or will close it
            return
        check_claims(self.folder, strict=True)
        if isinstance(error, Paused):
            self.all_sent = self.outbox.close(is_stopped=True)
            return
        is_stopped = isinstance(error, KeyboardInterrupt | Terminated | WorkersCancelled | Pruned)
        status = "FINISHED" if error is None else "KILLED" if is_stopped else "FAILED"
        self.result["run"]["status"] = status
        if isinstance(error, Pruned):
            self.result["pruned"] = str(error)
            self.log_tags({"pruned": "true"})
        elif status == "KILLED" and not self.is_part:
            saved = f"{self._saved} " if self._saved else ""
            logger.warning("%s was stopped. %sTo resume it: %s", self.result["run"]["name"], saved, self.again)
        if error is not None and not isinstance(error, Pruned):
            message = f"{type(error).__name__}: {error}"
            self.result["error"] = message
            self._send("log_tags", {"error": message})
        self._write_result()
        for name in (RESULT, METRICS):
            if (self.folder / name).is_file():
                self._send("log_artifact", self.folder / name, None)
        self._send("finish", status, time.time())
        self.all_sent = self.outbox.close(is_stopped)
        if self.run_id != self.result["run"]["id"]:  # the store has answered at last
            self._write_result()
        self._tell_unsent()

    def _write_result(self) -> None:
        self.result["run"]["id"] = self.run_id
        try:
            write_json(self.folder / RESULT, self.result)
        except OSError as full:
            logger.warning("%s cannot be written: %s", self.folder / RESULT, full)


def written_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; one that was being written when the process was killed is cut off.

    A damaged line is left out, with a warning that names it.
    """
    if not path.is_file():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        with open(path, "r+b") as file:
            file.truncate(len(whole))
    return [*_read_lines(path, whole.splitlines())]


def _read_lines(path: Path, lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            is_line = isinstance(entry, dict) and isinstance(entry.get("step"), int | None)
            if not is_line or not are_numbers(entry.get("metrics")):
                raise ValueError("it is no line of metrics")
        except (ValueError, RecursionError) as error:
            logger.warning("Left out: %s:%s cannot be read: %s", path, number, error)
        else:
            yield entry
