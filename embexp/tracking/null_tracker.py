"""No tracker: the run's folder holds everything."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


class NullTracker:
    """A Tracker that keeps nothing."""

    def prepare(self) -> None: ...

    def start(self, name: str, parent: str | None = None, key: str | None = None) -> str:
        return ""

    def attach(self, key: str) -> None: ...

    def latest(self, keys: Collection[str]) -> dict[str, float]:
        return {}

    def logged(self, keys: Collection[str]) -> set[tuple[str, int]]:
        return set()

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...

    def log_data(self, name: str, context: str, digest: str, num_rows: int, source: str) -> None: ...

    def describe(self, text: str) -> None: ...

    def log_artifact(self, path: Path, folder: str | None = None) -> None: ...

    def log_checkpoint(self, path: Path) -> None: ...

    def log_model(self, path: Path, step: int, metrics: Mapping[str, float]) -> None: ...

    def finish(self, status: str) -> None: ...

    def where(self) -> str:
        return "not tracked (tracking=none)"
