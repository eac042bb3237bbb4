"""Which recipes are measured, by what command, at which size; how they are run, and why one failed.

Each recipe runs in a process of its own: one that fails or dies stops no other.
"""

import json
import logging
import math
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embexp.cli.quoting import quoted
from embexp.config.compose import option_of
from embexp.core.arguments import refuse
from embexp.core.claims import is_held
from embexp.core.run_folder import RESULT, is_closed, read_json, status_of
from embexp.core.signals import held_back
from embexp.errors import Problem, did_you_mean, listed
from embexp.experiment.sweep_record import SWEEP, job_folders, read_sweep, sweep_key
from embexp.sweep.progress import duration
from embexp.tracking.mlflow_runs import FINISHED

logger = logging.getLogger("results.reproduce")
DATA = "paths.data"
_SEEDS = "seed="
OUTPUT = "output.txt"  # in a sweep's folder: the terminal output of every start
_BUNDLED = "bundled"  # as a value of DATA: rows that come with embexp
_STARTED = "$ python -m embexp "  # begins the line in OUTPUT of each start
_ERROR = "Error: "  # begins the line that says why a command did nothing
_PAUSE = 0.2  # seconds between two looks at the running processes
# A text that Hydra's grammar reads as that text without quotes.
_PLAIN = re.compile(r"(?!(?:null|true|false|nan|inf)$)(?:[A-Za-z]|\.{0,2}/)[\w/.:@%+-]*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Recipe:
    """One sweep: a recipe with its controls, each with every seed.

    Attributes:
        overrides: what is typed after `python -m embexp -m`, the seeds last.
        published: the figure to compare with, in words.
        folder: of the sweep; another one for other overrides or package versions.
    """

    name: str
    overrides: tuple[str, ...]
    published: str
    folder: Path

    @property
    def seeds(self) -> list[int]:
        """The seeds that each variant is trained with."""
        return [int(seed) for seed in self.overrides[-1].removeprefix(_SEEDS).split(",")]

    @property
    def with_next_seed(self) -> "Recipe":
        """The same with one seed more: a sweep of its own, which takes the runs of this one as they are."""
        seeds = [*self.seeds, max(self.seeds) + 1]
        overrides = (*self.overrides[:-1], f"{_SEEDS}{','.join(map(str, seeds))}")
        return replace(self, overrides=overrides, folder=_folder(self.folder.parent, self.name, overrides))

    @property
    def latest(self) -> "Recipe":
        """The same with the most seeds of which a sweep was begun."""
        following = self.with_next_seed
        return following.latest if (following.folder / SWEEP).is_file() else self

    @property
    def latest_ended(self) -> "Recipe":
        """The same with the most seeds of which a sweep ended, or this one."""
        following = self.with_next_seed
        return following.latest_ended if following.has_ended else self

    @property
    def command(self) -> str:
        """The command for this recipe alone, with a placeholder for the user's data folder."""
        typed = (f"{DATA}=<folder>" if each.startswith(f"{DATA}=") else each for each in self.overrides)
        return " ".join(["python -m embexp -m", *(e if e.endswith("=<folder>") else shlex.quote(e) for e in typed)])

    @property
    def has_ended(self) -> bool:
        """Whether its sweep ended: every job was run, whether it failed or not."""
        return (self.folder / SWEEP).is_file() and read_sweep(self.folder)["ended"]


def _folder(root: Path, name: str, overrides: Sequence[str]) -> Path:
    return root / f"{name}-{sweep_key(overrides, name)[:8]}"


def read_recipes(settings: Mapping[str, Any], size_name: str, tracking: str) -> list[Recipe]:
    """The recipes of a configuration that are measured at its size, in its order.

    Args:
        tracking: the chosen option of that group; the runs get the same tracker.

    Raises:
        ConfigError: lists unknown sizes and recipes, recipes that are not measured at this size, a missing folder.
    """
    refuse(_problems(settings, size_name))
    known, size, data = settings["recipes"], settings["size"], settings["paths"]["data"]
    usual = option_of("tracking", tracking)
    given = {key: value for key, value in settings["tracking"].items() if key[0] != "_" and value != usual[key]}
    shared = [*size["common"], f"tracking={tracking}"]
    shared += [*(f"tracking.{key}={_as_typed(value)}" for key, value in given.items()), *settings["more"]]
    shared += [f"{DATA}={_as_typed(data)}"] if data else []
    seeds = f"{_SEEDS}{','.join(map(str, size['seeds']))}"
    found = []
    for name, recipe in known.items():
        sizes = size["recipes"].get(name, ())
        if sizes is None:
            continue
        overrides = (*recipe["overrides"], *sizes, *shared, seeds)
        folder = _folder(Path(settings["paths"]["sweeps"]) / "reproduce", name, overrides)
        found.append(Recipe(name, overrides, recipe["published"], folder))
    return found


def _as_typed(value: Any) -> str:
    """A value as it is typed after `key=`.

    >>> [_as_typed(value) for value in (None, True, 5, "../data", "a, b", "null")]
    ['null', 'true', '5', '../data', '"a, b"', '"null"']
    """
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else quoted(value)
    return json.dumps(value)


def _problems(settings: Mapping[str, Any], size_name: str) -> Iterator[Problem]:
    known, sizes, only = settings["recipes"], settings["size"]["recipes"], settings["only"] or ()
    for key, names in (("size.recipes", sizes), ("only", only)):
        for name in names:
            if name not in known:
                near = did_you_mean(name, known)
                yield Problem(f"names the unknown recipe {name}", key, expected=f"some of: {listed(known)}", note=near)
    for name in only:
        if name in known and sizes.get(name, ()) is None:
            others = [each for each in only if each != name and sizes.get(each, ()) is not None and each in known]
            fix = f"only=[{','.join(others)}]" if others else f"size={'cpu' if size_name == 'gpu' else 'gpu'}"
            text = f"names {name}, which is not measured at size={size_name}"
            yield Problem(text, "only", expected="another size, or the recipe left out", fix=(fix,))
    data = settings["paths"]["data"]
    if data and data != _BUNDLED and not Path(data).is_dir():
        expected = f"a folder with public data sets, or {_BUNDLED}"
        yield Problem("is no folder", DATA, data, expected, fix=(f"{DATA}=<folder>", f"{DATA}={_BUNDLED}"))


def run_recipes(
    recipes: Sequence[Recipe],
    side_by_side: int,
    following: Callable[[Set[str]], Recipe | None] = lambda _: None,
    seconds: float = math.inf,
) -> Iterator[tuple[Recipe, int]]:
    """Each recipe with its exit code, as soon as its sweep has ended; finished sweeps are not run again.

    Args:
        side_by_side: how many sweeps run at the same time.
        following: what to run after those that are listed, by the names of those that run; None: nothing for now.
        seconds: after so many what runs is stopped, its runs closed as KILLED, and the same command resumes.

    Raises:
        KeyboardInterrupt, Terminated: everything was stopped as after `seconds`.
    """
    waiting, going, number, end = [*recipes], [], 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            while len(going) < max(1, side_by_side):
                recipe = waiting.pop(0) if waiting else following({sweep.recipe.name for sweep in going})
                if recipe is None:
                    break
                going.append(_Sweep(recipe))
            if not going:
                return
            ended = [(sweep, code) for sweep in going if (code := sweep.poll()) is not None]
            for sweep, code in ended:
                going.remove(sweep)
                number += 1
                known = number + len(going) + len(waiting)
                logger.info("[%s/%s] %s: %s", number, known, sweep.recipe.name, sweep.outcome(code))
                yield sweep.recipe, code
            if not ended:
                time.sleep(_PAUSE)
        logger.info("The budget of %s is used up; the same command goes on.", duration(seconds))
    finally:
        _stop(going)


class _Sweep:
    """A recipe's sweep: waits while an earlier call still runs it, then runs it unless it has finished."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.start = time.perf_counter()
        self.process: subprocess.Popen | None = None
        self.is_waiting = False
        recipe.folder.mkdir(parents=True, exist_ok=True)

    def poll(self) -> int | None:
        """The exit code once the sweep has ended, None before; starts its process as soon as the lock is free."""
        if self.process is not None:
            return self.process.poll()
        if not self._is_free():
            return None
        if self.recipe.has_ended and all(is_closed(folder) for folder in job_folders(self.recipe.folder)):
            return 0  # all its runs have finished, with whatever rows and code they had
        self._begin()
        return None

    def outcome(self, code: int) -> str:
        """How it ended, for the log."""
        if self.process is None:
            anew = f"to measure it anew, delete {self.recipe.folder}"
            return f"finished before, not run again whatever has changed since ({anew})"
        outcome = "done" if code == 0 else f"FAILED, see {self.recipe.folder / OUTPUT}"
        return f"{outcome} ({time.perf_counter() - self.start:.0f} s)"

    def _is_free(self) -> bool:
        if is_held(self.recipe.folder, "sweep"):
            if not self.is_waiting:
                logger.info("%s: an earlier call was killed and its sweep still runs; waiting.", self.recipe.name)
            self.is_waiting = True
            return False
        return True

    def _begin(self) -> None:
        typed = shlex.join(self.recipe.overrides)
        logger.info("%s: python -m embexp -m %s", self.recipe.name, typed)
        command = [sys.executable, "-m", "embexp", "-m", *self.recipe.overrides]
        with open(self.recipe.folder / OUTPUT, "ab") as output, held_back():
            output.write(f"{_STARTED}-m {typed}\n".encode())
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
        logger.info("Stopping: the runs in progress are closed.")
    with held_back():
        for process in processes:
            process.terminate()
    for process in processes:
        process.wait()


def failures_of(recipe: Recipe, code: int) -> Iterator[str]:
    """Why jobs of a sweep failed, which ones were killed, or why it did not begin, a line each.

    Args:
        code: the sweep's exit code.
    """
    found = []
    for folder in job_folders(recipe.folder):
        status = status_of(folder)
        if status == "FAILED":
            found.append(f"{recipe.name}: {read_json(folder / RESULT)['error'].splitlines()[0]} ({folder})")
        elif code and status != FINISHED:
            found.append(f"{recipe.name}: job {folder.name} was killed before it recorded an error ({folder})")
    yield from found
    if code and not found:
        yield f"{recipe.name}: {_error_of_last_start(recipe.folder)} ({recipe.folder})"


def _error_of_last_start(folder: Path) -> str:
    """Why a sweep did not begin: the last line of its last start's output that says so, else its last line."""
    path = folder / OUTPUT
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    starts = [place for place, line in enumerate(lines) if line.startswith(_STARTED)]
    lines = lines[starts[-1] + 1 :] if starts else lines
    found = [line for line in lines if line.startswith(_ERROR)] or [line for line in lines if line.strip()]
    return found[-1].removeprefix(_ERROR) if found else "it wrote nothing"
