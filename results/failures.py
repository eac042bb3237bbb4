"""What failed in a recipe's sweep, and why."""

from collections.abc import Iterator
from pathlib import Path

from embexp.core.run_folder import RESULT, read_json, status_of
from embexp.experiment.sweep_record import job_folders
from embexp.tracking.mlflow_runs import FINISHED
from results.recipe import Recipe
from results.running import OUTPUT, STARTED

FAULT = "Error: "  # begins the line that says why a command did nothing


def failures_of(recipe: Recipe, code: int) -> Iterator[str]:
    """Why jobs of a sweep failed, which ones were killed, or why it did not begin, a line each.

    Args:
        code: the sweep's exit code.
    """
    told = []
    for folder in job_folders(recipe.folder):
        status = status_of(folder)
        if status == "FAILED":
            told.append(f"{recipe.name}: {read_json(folder / RESULT)['error'].splitlines()[0]} ({folder})")
        elif code and status != FINISHED:
            told.append(f"{recipe.name}: job {folder.name} was killed before it could tell why ({folder})")
    yield from told
    if code and not told:
        yield f"{recipe.name}: {fault_in(recipe.folder)} ({recipe.folder})"


def fault_in(folder: Path) -> str:
    """Why a sweep did not begin: the last line of its last start's output that says so, else its last line."""
    path = folder / OUTPUT
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    starts = [place for place, line in enumerate(lines) if line.startswith(STARTED)]
    lines = lines[starts[-1] + 1 :] if starts else lines
    told = [line for line in lines if line.startswith(FAULT)] or [line for line in lines if line.strip()]
    return told[-1].removeprefix(FAULT) if told else "it wrote nothing"
