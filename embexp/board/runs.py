"""Runs from their folders, as a leaderboard reads them: no tracker is asked."""

import functools
import json
from collections.abc import Iterable
from pathlib import Path

from embexp.comparison import EXAMPLES
from embexp.run_record import RECORD, RESULT, read_record
from embexp.tracking.mlflow_tracker import allowed_name
from embexp.tracking.recorded_run import PRIMARY, RecordedRun, as_recorded_metrics, as_recorded_params


def runs_in(folders: Iterable[Path]) -> list[RecordedRun]:
    """The run of each folder; one without a result that has begun is RUNNING, others are left out."""
    return [_run_in(folder) for folder in folders if (folder / RESULT).is_file() or (folder / RECORD).is_file()]


def _run_in(folder: Path) -> RecordedRun:
    path = folder / RESULT
    if not path.is_file():
        record = read_record(folder)
        return RecordedRun(record.get("id", ""), record["name"], "RUNNING", 0.0, {}, {}, {}, _no_examples)
    result = json.loads(path.read_text(encoding="utf-8"))
    tags = {allowed_name(key): str(value) for key, value in result.get("tags", {}).items()}
    return RecordedRun(
        id=result["run"].get("id") or str(folder),
        name=result["run"].get("name", folder.name),
        status=result["run"]["status"],
        ended=path.stat().st_mtime,
        params=as_recorded_params(result.get("params", {})),
        metrics=as_recorded_metrics(result.get("metrics", {})),
        tags=tags | ({PRIMARY: result["primary"]["key"]} if "primary" in result else {}),
        examples=functools.partial(_examples_in, folder),
    )


def _examples_in(folder: Path, name: str) -> Path | None:
    path = folder / EXAMPLES / f"{name}.parquet"
    return path if path.is_file() else None


def _no_examples(name: str) -> Path | None:  # noqa: ARG001
    return None
