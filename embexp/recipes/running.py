"""Running recipes, each in a process of its own: one that fails or dies stops no other."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from embexp.recipes.recipe import Recipe
from embexp.run_record import is_closed
from embexp.sweep.record import SWEEP, job_folders, read_sweep

logger = logging.getLogger("embexp.reproduce")
OUTPUT = "output.txt"  # in a sweep's folder: what it would have shown on the terminal
FAULT = "Error: "  # begins the line that says why a command did nothing


def run_recipes(recipes: Sequence[Recipe], side_by_side: int) -> Iterator[tuple[Recipe, int]]:
    """Each recipe as soon as its sweep has ended, with the exit code; what was finished before is not done again.

    Args:
        side_by_side: how many sweeps run at the same time.

    Raises:
        KeyboardInterrupt, Terminated: all was stopped; the runs are closed as KILLED, and the same command goes on.
    """
    running: list[subprocess.Popen] = []
    with ThreadPoolExecutor(max(1, side_by_side)) as threads:
        started = {threads.submit(_run, recipe, running): recipe for recipe in recipes}
        try:
            for number, done in enumerate(as_completed(started), 1):
                recipe, (code, seconds) = started[done], done.result()
                outcome = "done" if code == 0 else f"FAILED, see {recipe.folder / OUTPUT}"
                logger.info("[%s/%s] %s: %s (%.0f s)", number, len(recipes), recipe.name, outcome, seconds)
                yield recipe, code
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.terminate()
            raise


def is_finished(recipe: Recipe) -> bool:
    """Whether the sweep came to its end and all of its runs have finished."""
    if not (recipe.folder / SWEEP).is_file() or not read_sweep(recipe.folder)["ended"]:
        return False
    return all(is_closed(folder) for folder in job_folders(recipe.folder))


def _run(recipe: Recipe, running: list[subprocess.Popen]) -> tuple[int, float]:
    """Exit code and seconds of a sweep; one that an earlier call left running is waited for first."""
    start = time.perf_counter()
    recipe.folder.mkdir(parents=True, exist_ok=True)
    _wait_for_earlier(recipe)
    if is_finished(recipe):
        return 0, time.perf_counter() - start
    logger.info("%s: python -m embexp -m %s", recipe.name, " ".join(recipe.overrides))
    command = [sys.executable, "-m", "embexp", "-m", *recipe.overrides, f"hydra.sweep.dir={recipe.folder}"]
    with open(recipe.folder / OUTPUT, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        running.append(process)
        return process.wait(), time.perf_counter() - start


def _wait_for_earlier(recipe: Recipe) -> None:
    from filelock import FileLock, Timeout

    lock = FileLock(recipe.folder / "sweep.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        logger.info("%s: an earlier call was killed and its sweep still runs; waiting for it.", recipe.name)
        lock.acquire(timeout=-1)
    lock.release()


def fault_in(folder: Path) -> str:
    """Why a sweep did not begin: the last line of its output that says so, else its last line."""
    path = folder / OUTPUT
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    told = [line for line in lines if line.startswith(FAULT)] or [line for line in lines if line.strip()]
    return told[-1].removeprefix(FAULT) if told else "it wrote nothing"
