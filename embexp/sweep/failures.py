"""Jobs that failed: what is written when one does, and how they are told at the end."""

import json
import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from embexp.errors import SkippedJobError
from embexp.run_record import RECORD, RESULT, is_closed, write_json, write_text

LONGEST = 200  # characters of an error that are told
TRACE = "error.txt"  # in a job's folder: where in the code it failed


@contextmanager
def recorded_job(folder: Path) -> Iterator[None]:
    """Leaves result.json and the traceback in the folder of a job that failed, also before its run was opened."""
    finished = False
    try:
        yield
        finished = True
        (folder / TRACE).unlink(missing_ok=True)
    finally:
        if not finished:
            _record(folder, sys.exception())


def _record(folder: Path, error: BaseException | None) -> None:
    if isinstance(error, SkippedJobError) or ((folder / RECORD).is_file() and is_closed(folder)):
        return
    path = folder / RESULT
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"run": {"status": "FAILED"}}
    content |= {"error": f"{type(error).__name__}: {error}", "overrides": typed_overrides()}
    write_json(path, content)
    write_text(folder / TRACE, "".join(traceback.format_exception(error)))


def typed_overrides() -> list[str]:
    """The overrides of this job, as they were typed; of Hydra's own the folder that was named for it."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    overrides = OmegaConf.to_container(HydraConfig.get().overrides, resolve=False)
    return [*overrides["task"], *(own for own in overrides["hydra"] if own.startswith("hydra.run.dir="))]


def failure_lines(folder: Path, result: Mapping[str, Any]) -> str:
    """A failed job in a few lines: what it was, its error, where the log is, and how to run only it."""
    overrides = [each for each in result["overrides"] if not each.startswith("sweep.")]
    logs = [name for name in ("embexp.log", "output.txt", TRACE) if (folder / name).is_file()]
    return (
        f"{result['run']['status']}: {' '.join(overrides)}\n  {shorten(result['error'], LONGEST)}\n"
        f"  log:   {folder} ({', '.join(logs)})\n"
        f"  again: python -m embexp {shlex.join([*typed_folders(sys.argv), *overrides])}"
    )


def typed_folders(arguments: Sequence[str]) -> list[str]:
    """The flag that names a folder with YAML files of one's own, where it was typed.

    >>> typed_folders(["embexp", "-m", "--config-dir", "own", "loss=a,b"])
    ['--config-dir', 'own']
    """
    for place, argument in enumerate(arguments):
        if argument in ("--config-dir", "-cd"):
            return [*arguments[place : place + 2]]
        if argument.startswith("--config-dir="):
            return [argument]
    return []
