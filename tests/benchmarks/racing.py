"""Races replayed on grids that were trained to the end: what is found for how much, beside what others would find.

    python tests/benchmarks/racing.py make grids --data <folder of public data>    an hour or two; can be killed
    python tests/benchmarks/racing.py replay grids

A grid is 12 candidates x 5 seeds, all trained to the end, with their scores on dev after a quarter, a half and all of
the training: five races (one for each seed) that drop nobody. A replay draws anew which seed of each candidate is the
first, the second, ..., and races on the stored scores; the best of the grid is the candidate with the best mean over
all five seeds. Peers see the same scores: the whole grid; successive halving, which keeps the better half at each
rung; and Optuna's median pruner, which goes through all candidates and seeds and stops a run that is below the median.

The grid `null` is one candidate with 60 seeds, which stand for 12 candidates that are all the same: each replay deals
them out anew, and none should be found better than the others.
"""

import argparse
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy

from embexp.evaluation.stats.racing import Prior
from embexp.evaluation.stats.seeds import Cell
from embexp.racing.budget import Budget
from embexp.racing.course import Course, Rules
from embexp.racing.record import Race, read_race
from embexp.racing.rounds import Level, Result, levels_of
from embexp.racing.scores import RaceScores

SEEDS, RUNGS, MARGIN = 5, (0.25, 0.5, 1.0), 0.005
BOTH = ("model=static,minilm_l3", "trainer.learning_rate=1x,3x")
STATIC = ("model=static", "trainer.learning_rate=1x,3x,0.3x,10x")
GRIDS = {
    "stsb": ("dataset=stsb", "loss=cosent,angle,cosine", *BOTH),
    "nli": ("dataset=nli_triplets", "test=stsb", "loss=mnrl,triplet,info_nce", *STATIC),
    "qqp": ("dataset=qqp", "loss=mnrl,online_contrastive,cosent", *STATIC),
}
NULL, NULL_CANDIDATES = ("dataset=qqp", "loss=cosent", "model=static"), 12
NOBODY, WIDE = 1e-12, 10  # an error so small, and seeds that differ so much, that no candidate is dropped
UNLIMITED = Budget()


def make(folder: Path, data: Path, only: str, more: Sequence[str]) -> None:
    """Train the grids, one race for each seed."""
    for name, overrides in GRIDS.items():
        for seed in range(1, SEEDS + 1):
            place = folder / name / str(seed)
            if only in name:
                _train(place, data, [*overrides, f"seed={seed}", "race.seeds=1", *more])
    if only in "null":
        seeds = f"race.seeds={NULL_CANDIDATES * SEEDS}"
        _train(folder / "null", data, [*NULL, "race.learning_rates=[1x]", "seed=1", seeds, *more])


def _train(place: Path, data: Path, overrides: Sequence[str]) -> None:
    """One race in which nobody is dropped."""
    if (place / "done").is_file():
        return
    own = [f"hydra.run.dir={place}", f"paths.data={data}", f"race.alpha={NOBODY}", f"race.prior.seeds={WIDE}"]
    own += ["dataset.reader.max_rows=600", "tracking=none"]
    subprocess.run([sys.executable, "-m", "embexp.race", *overrides, *own], check=True)
    (place / "done").touch()


class Run(NamedTuple):
    """One candidate with one seed, at each share of its training: the score, its resamples, the seconds until there."""

    values: Mapping[float, float]
    resampled: Mapping[float, numpy.ndarray]
    seconds: Mapping[float, float]


@dataclass(frozen=True)
class Grid:
    """All runs by candidate and seed (both from 0); the untouched models as cells."""

    names: Sequence[str]
    models: Sequence[str]
    examples: Sequence[int]
    runs: Mapping[tuple[int, int], Run]
    untouched: Mapping[int, Cell]
    like: Cell  # whose examples are those of all

    @property
    def means(self) -> dict[int, float]:
        """The score of each candidate at the end, over all seeds."""
        return {
            each: statistics.fmean(self.runs[each, seed].values[1] for seed in range(SEEDS)) for each in self.numbers
        }

    @property
    def numbers(self) -> range:
        return range(len(self.names))

    @property
    def seconds(self) -> float:
        """What all of it took."""
        return sum(run.seconds[1] for run in self.runs.values())


def read_grid(folder: Path) -> Grid:
    """The grid that `make` has trained in a folder."""
    races = [read_race(folder / str(seed)) for seed in range(1, SEEDS + 1)]
    runs = {}
    for seed, race in enumerate(races):
        scores_of_race = RaceScores(race, {})
        cells = {
            share: scores_of_race.cells_at(Level(0, share), [*_there(race, share), *race.course.untouched])
            for share in RUNGS
        }
        for candidate in _there(race, 1.0):
            took = {
                task.level.share: result.seconds
                for _, task, result in race.course.done()
                if task.candidate == candidate and not task.is_finish
            }
            runs[candidate, seed] = Run(
                {share: float(cells[share][candidate][0].values[0]) for share in RUNGS},
                {share: cells[share][candidate][0].resampled for share in RUNGS},
                {share: sum(took[each] for each in RUNGS if each <= share) for share in RUNGS},
            )
    first = races[0]
    untouched = {number: cells[1.0][number][0] for number in first.course.untouched}
    own = ([getattr(each, what) for each in first.candidates] for what in ("name", "model", "examples"))
    return Grid(*own, runs, untouched, cells[1.0][0][0])


def _there(race: Race, share: float) -> list[int]:
    return sorted(
        {task.candidate for _, task, result in race.course.done() if task.level.share == share and not result.error}
    )


def read_null(folder: Path) -> Grid:
    """One candidate with all of its seeds, trained to the end."""
    race = read_race(folder)
    cells = RaceScores(race, {}).cells_at(race.course.levels[-1], [0, *race.course.untouched])
    runs = {
        (0, seed): Run({1.0: float(cell.values[0])}, {1.0: cell.resampled}, {1.0: 1.0})
        for seed, cell in enumerate(cells[0])
    }
    untouched = {number: cells[number][0] for number in race.course.untouched}
    own = ([getattr(each, what) for each in race.candidates] for what in ("name", "model", "examples"))
    return Grid(*own, runs, untouched, cells[0][0])


def dealt(null: Grid, order: Sequence[int]) -> Grid:
    """Candidates that are all the same: the runs of one in this order, `SEEDS` for each."""
    runs = {(place // SEEDS, place % SEEDS): null.runs[0, each] for place, each in enumerate(order)}
    number = len(order) // SEEDS
    return replace(
        null,
        names=[f"candidate {each}" for each in range(number)],
        models=[*null.models] * number,
        examples=[*null.examples] * number,
        runs=runs,
    )


class Found(NamedTuple):
    """Which candidate was chosen, how the race ended, and for how many seconds."""

    candidate: int
    seconds: float
    is_best_out: bool = False
    status: str = ""


Order = Mapping[int, Sequence[int]]  # of each candidate: which of its seeds is the first, the second, ...


def replayed(grid: Grid, order: Order, rungs: Sequence[float] = RUNGS) -> Found:
    """A race on the grid's scores."""
    rivals = len(grid.names) + len(grid.untouched) - 1
    rules = Rules(
        levels_of(rungs, SEEDS), MARGIN, 0.05, rivals, Prior(), grid.models, grid.examples, [None] * len(grid.names)
    )
    course = Course(rules, untouched=tuple(grid.untouched))

    def cells_at(level: Level, numbers: Sequence[int]) -> dict[int, list[Cell]]:
        found = {}
        for number in numbers:
            if number < 0:
                found[number] = [grid.untouched[number]]
                continue
            shares = [level.share] if level.seed == 0 else [1.0] * (level.seed + 1)
            found[number] = [
                _cell(grid, grid.runs[number, order[number][place]], share) for place, share in enumerate(shares)
            ]
        return found

    while begun := course.next_round(UNLIMITED):
        results = {}
        for task in begun.tasks:
            run = grid.runs[task.candidate, order[task.candidate][task.level.seed]]
            results[task.number] = Result(run.values[task.level.share], run.seconds[1] * course.width(task.level))
        course.elapsed += sum(result.seconds for result in results.values())
        course.end(begun, results, cells_at)
    best, ending = max(grid.means, key=grid.means.__getitem__), course.ending()
    return Found(ending.winner, course.spent(UNLIMITED), best in course.dropped, ending.status)


def _cell(grid: Grid, run: Run, share: float) -> Cell:
    like = grid.like
    return Cell(numpy.array([run.values[share]]), run.resampled[share], like.examples, True, like.rows)


def whole(grid: Grid, _: Order) -> Found:
    """Everything, trained to the end."""
    return Found(max(grid.means, key=grid.means.__getitem__), grid.seconds)


def halved(grid: Grid, order: Order) -> Found:
    """Successive halving with the first seed of each."""
    left, seconds, before = [*grid.numbers], 0.0, 0.0
    for share in RUNGS:
        runs = {each: grid.runs[each, order[each][0]] for each in left}
        seconds += sum(run.seconds[1] * (share - before) for run in runs.values())
        left = sorted(left, key=lambda each: -runs[each].values[share])
        before, left = share, left[: max(1, len(left) // 2)] if share < 1 else left
    return Found(left[0], seconds)


def pruned(grid: Grid, order: Order) -> Found:
    """Optuna's median pruner over all candidates and seeds; the best mean of what came to the end."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    seconds, ended = 0.0, {}
    for place in range(SEEDS):
        for candidate in grid.numbers:
            run, trial = grid.runs[candidate, order[candidate][place]], study.ask()
            for step, share in enumerate(RUNGS):
                trial.report(run.values[share], step)
                if share < 1 and trial.should_prune():
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, run.values[1])
                ended.setdefault(candidate, []).append(run.values[1])
            seconds += run.seconds[1] * share
    means = {candidate: statistics.fmean(values) for candidate, values in ended.items()}
    return Found(max(means, key=means.__getitem__), seconds)


def compare(grid: Grid, replays: int) -> list[str]:
    """A line for each way to choose."""
    means, found = grid.means, {}
    ways: dict[str, Callable[[Grid, Order], Found]] = {
        "race": replayed,
        "successive halving": halved,
        "median pruner": pruned,
        "whole grid": whole,
    }
    random = numpy.random.default_rng(0)
    for _ in range(replays):
        order = {each: random.permutation(SEEDS).tolist() for each in grid.numbers}
        for name, way in ways.items():
            found.setdefault(name, []).append(way(grid, order))
    lines = []
    for name, several in found.items():
        near = sum(max(means.values()) - means[each.candidate] <= MARGIN for each in several)
        exact = sum(means[each.candidate] == max(means.values()) for each in several)
        lost = statistics.fmean(max(means.values()) - means[each.candidate] for each in several)
        share = statistics.median(each.seconds / grid.seconds for each in several)
        out = sum(each.is_best_out for each in several)
        lines.append(
            f"| {name} | {exact} | {near} | {lost:.4f} | {share:.2f} | {f'{out}' if name == 'race' else '-'} |"
        )
    return lines


def null_endings(null: Grid, replays: int) -> Counter[str]:
    """How races of candidates that are all the same have ended."""
    random, as_dealt = numpy.random.default_rng(0), dict.fromkeys(range(NULL_CANDIDATES), range(SEEDS))
    orders = [random.permutation(NULL_CANDIDATES * SEEDS) for _ in range(replays)]
    return Counter(replayed(dealt(null, order), as_dealt, rungs=(1.0,)).status for order in orders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "replay"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--only", default="", help="grids whose name holds this")
    parser.add_argument("--replays", type=int, default=100)
    given, more = parser.parse_known_args()
    if given.what == "make":
        make(given.folder.resolve(), given.data.resolve(), given.only, more)
        return
    for name in GRIDS:
        if given.only in name and (given.folder / name).is_dir():
            grid = read_grid(given.folder / name)
            size = f"{len(grid.names)} candidates x {SEEDS} seeds, {grid.seconds / 60:.0f} min"
            print(f"\n{name}: {size}, {given.replays} replays")
            print("| chosen by | the best | within the margin | loses | of the compute | best dropped |")
            print("|---|---|---|---|---|---|", *compare(grid, given.replays), sep="\n")
    if given.only in "null" and (given.folder / "null").is_dir():
        found = null_endings(read_null(given.folder / "null"), given.replays)
        print(
            f"\nnull: {NULL_CANDIDATES} equal candidates x {SEEDS} seeds, {given.replays} replays ended:", dict(found)
        )


if __name__ == "__main__":
    main()
