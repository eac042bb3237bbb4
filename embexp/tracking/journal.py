"""The run's own record: everything goes to its folder first, then to the tracker, which may fail."""

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from embexp.errors import Terminated, TrackingError
from embexp.protocols import Tracker

logger = logging.getLogger(__name__)


class Journal:
    """Writes `metrics.jsonl` and `result.json` of a run, and passes all on to the tracker.

    As a context manager it closes the run: FINISHED, FAILED after an error, KILLED after Ctrl-C or SIGTERM.
    What the tracker could not take is sent again at the end; the run never fails because of its tracker.
    """

    def __init__(self, folder: Path, tracker: Tracker) -> None:
        self.folder = folder
        self.tracker = tracker
        self.result: dict[str, Any] = {}
        self._unsent: list[tuple[str, tuple[Any, ...]]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, name: str, parent: str | None) -> "Journal":
        """Open the tracker's run.

        Raises:
            TrackingError: the store does not answer: nothing was trained yet, so the run stops here.
        """
        self.tracker.prepare()
        self.result["run"] = {"name": name, "id": self.tracker.start(name, parent), "status": "RUNNING"}
        return self

    def log_params(self, params: Mapping[str, Any]) -> None:
        self._send("log_params", dict(params))

    def log_tags(self, tags: Mapping[str, str]) -> None:
        self.result.setdefault("tags", {}).update(tags)
        self._send("log_tags", dict(tags))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a line to metrics.jsonl."""
        line = {"step": step, "time": time.time(), "metrics": dict(metrics)}
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._send("log_metrics", {key: value for key, value in metrics.items() if math.isfinite(value)}, step)

    def log_results(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Metrics that are results of the run: they stand in result.json, too."""
        self.result.setdefault("metrics", {}).update(metrics)
        self.log_metrics(metrics, step)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        self._send("log_artifact", path, folder)

    def log_checkpoint(self, path: Path) -> None:
        self._send("log_checkpoint", path)

    def log_model(self, path: Path) -> None:
        self._send("log_model", path)

    def _send(self, method: str, *arguments: Any) -> None:
        if self._unsent:  # keep the order: what failed before is sent first, at the end
            self._unsent.append((method, arguments))
            return
        try:
            getattr(self.tracker, method)(*arguments)
        except TrackingError as error:
            logger.warning("%s The run goes on; what is missing is sent again at its end.", error)
            self._unsent.append((method, arguments))

    def _send_again(self) -> None:
        waiting, self._unsent = self._unsent, []
        for place, (method, arguments) in enumerate(waiting):
            try:
                getattr(self.tracker, method)(*arguments)
            except TrackingError as error:
                logger.warning(
                    "%d records of this run could not be sent: %s All of it is in %s.",
                    len(waiting) - place,
                    error,
                    self.folder,
                )
                return

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = status_after(error)
        self.result["run"]["status"] = status
        if error is not None:
            message = f"{type(error).__name__}: {error}"
            self.result["error"] = message
            self._send("log_tags", {"error": message})
        self.write_result()
        for name in ("result.json", "metrics.jsonl"):
            if (self.folder / name).is_file():
                self._send("log_artifact", self.folder / name, None)
        self._send_again()
        self._send("finish", status)

    def write_result(self) -> None:
        """Write result.json: what ran, its metrics and verdict."""
        text = json.dumps(self.result, indent=2, ensure_ascii=False, default=str)
        (self.folder / "result.json").write_text(text + "\n", encoding="utf-8")


def status_after(error: BaseException | None) -> str:
    """How a run that ended with this error is closed.

    >>> status_after(None), status_after(ValueError()), status_after(KeyboardInterrupt())
    ('FINISHED', 'FAILED', 'KILLED')
    """
    if error is None:
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt | Terminated) else "FAILED"
