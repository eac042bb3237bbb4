"""Running recipes, each in a process of its own: one that fails or dies stops no other."""

import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from embexp.core.run_folder import is_closed
from embexp.core.signals import held_back
from embexp.experiment.sweep_record import job_folders
from results.recipe import Recipe

logger = logging.getLogger("results.reproduce")
OUTPUT = "output.txt"  # in a sweep's folder: what it would have shown on the terminal, of every start
STARTED = "$ python -m embexp "  # begins the line in OUTPUT that tells of a start
PAUSE = 0.2  # seconds between two looks at what runs


def run_recipes(recipes: Sequence[Recipe], side_by_side: int) -> Iterator[tuple[Recipe, int]]:
    """Each recipe as soon as its sweep has ended, with the exit code; what was finished before is not done again.

    Args:
        side_by_side: how many sweeps run at the same time.

    Raises:
        KeyboardInterrupt, Terminated: all was stopped; the runs are closed as KILLED, and the same command goes on.
    """
    waiting, going, number = [*recipes], [], 0
    try:
        while waiting or going:
            while waiting and len(going) < max(1, side_by_side):
                going.append(_Sweep(waiting.pop(0)))
            ended = [(sweep, code) for sweep in going if (code := sweep.poll()) is not None]
            for sweep, code in ended:
                going.remove(sweep)
                number += 1
                logger.info("[%s/%s] %s: %s", number, len(recipes), sweep.recipe.name, sweep.outcome(code))
                yield sweep.recipe, code
            if not ended:
                time.sleep(PAUSE)
    finally:
        _stop(going)


def is_finished(recipe: Recipe) -> bool:
    """Whether the sweep came to its end and all of its runs have finished, with whatever rows and code they had."""
    return recipe.has_ended and all(is_closed(folder) for folder in job_folders(recipe.folder))


class _Sweep:
    """A recipe's sweep: one that an earlier call left running is waited for, then it is run unless it has finished."""

    def __init__(self, recipe: Recipe) -> None:
        from filelock import FileLock

        self.recipe = recipe
        self.start = time.perf_counter()
        self.process: subprocess.Popen | None = None
        self.is_waiting = False
        recipe.folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(recipe.folder / "sweep.lock", timeout=0)

    def poll(self) -> int | None:
        """The exit code once the sweep has ended, None before; starts its process as soon as that can be."""
        if self.process is not None:
            return self.process.poll()
        if not self._is_free():
            return None
        if is_finished(self.recipe):
            return 0
        self._begin()
        return None

    def outcome(self, code: int) -> str:
        """What is told of its end."""
        if self.process is None:
            anew = f"to measure it anew, delete {self.recipe.folder}"
            return f"finished before, not run again whatever has changed since ({anew})"
        told = "done" if code == 0 else f"FAILED, see {self.recipe.folder / OUTPUT}"
        return f"{told} ({time.perf_counter() - self.start:.0f} s)"

    def _is_free(self) -> bool:
        from filelock import Timeout

        try:
            self.lock.acquire()
        except Timeout:
            if not self.is_waiting:
                logger.info("%s: an earlier call was killed and its sweep still runs; waiting.", self.recipe.name)
            self.is_waiting = True
            return False
        self.lock.release()
        return True

    def _begin(self) -> None:
        typed = shlex.join(self.recipe.overrides)
        logger.info("%s: python -m embexp -m %s", self.recipe.name, typed)
        command = [sys.executable, "-m", "embexp", "-m", *self.recipe.overrides]
        with open(self.recipe.folder / OUTPUT, "ab") as output, held_back():
            output.write(f"{STARTED}-m {typed}\n".encode())
            output.flush()
            self.process = subprocess.Popen(
                [*command, f"hydra.sweep.dir={self.recipe.folder}"],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )


def _stop(sweeps: Sequence[_Sweep]) -> None:
    """End what still runs, and wait until it has closed its runs."""
    processes = [sweep.process for sweep in sweeps if sweep.process is not None]
    if processes:
        logger.info("Stopping: the runs that are going on are closed.")
    with held_back():
        for process in processes:
            process.terminate()
    for process in processes:
        process.wait()
