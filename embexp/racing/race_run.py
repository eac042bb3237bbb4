"""Running a race: found or begun, its rounds run below one parent, its winner brought to its end."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.cli.app import run_command
from embexp.config.compose import instantiate, resolve
from embexp.core.claims import held
from embexp.core.escaping import say
from embexp.core.run_folder import RECORD, RESULT, is_closed, read_json
from embexp.errors import ConfigError, LeftToWorkers, TrainingError, listed
from embexp.experiment.rungs import drop
from embexp.racing.beginning import begin_race, check_goes_on
from embexp.racing.budget import read_budget
from embexp.racing.course import Course
from embexp.racing.folder import RACE
from embexp.racing.record import Race, read_race, run_folder
from embexp.racing.report import close_race, race_line
from embexp.racing.rounds import Result, Round, Task
from embexp.racing.runner import TaskRunner
from embexp.racing.scores import RaceScores
from embexp.racing.space import run_overrides, typed_space
from embexp.sweep.coordinator import check_engine, forget_workers, run_in_workers
from embexp.sweep.jobs import Job, Outcome
from embexp.sweep.progress import Progress, duration
from embexp.tracking.journal import Journal

logger = logging.getLogger("embexp.sweep")


def race_command() -> None:
    """`python -m embexp.race`: take from the command line what is raced, compose the rest, and run the race."""
    run_command(_race, "race", rewrite=typed_space)


def _race(config: DictConfig, _choices: dict[str, Any], folder: Path) -> dict[str, Any]:
    from hydra.core.hydra_config import HydraConfig

    return run_race(config, folder, OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False))


def run_race(config: DictConfig, folder: Path, typed: Sequence[str]) -> dict[str, Any]:
    """Run the rounds that the race lacks, below one parent run, and show its end; returns what was found.

    Args:
        typed: the overrides of the command, without those of Hydra, as `typed_space` has left them.

    Raises:
        EmbexpError: of the settings or of the data; no candidate could be trained.
    """
    since, settings = time.perf_counter(), resolve(config)
    budget = read_budget(settings["budget"])
    check_engine(settings["sweep"])
    if config.resume is not None:
        raise ConfigError("resumes a run, not a race", key="resume", expected="the race's own command, without it")
    fixed, warned = run_overrides(typed), set[str]()
    with held(folder, "race"):
        if (folder / RACE).is_file():
            race = read_race(folder, settings["sweep"]["workers"])
            check_goes_on(race, settings, typed, fixed, folder, warned)
            race.course.forget_failures()
            if race.budget != budget:
                race.budget = budget
                race.course.raise_budget()
        else:
            race = begin_race(config, settings, typed, fixed, budget, warned)
        return _run(race, config, settings, fixed, _Clock(race, folder, since), warned)


@dataclass
class _Clock:
    """Counts the time of a race, and keeps it in its record.

    Attributes:
        since: when it was counted last, by `time.perf_counter`.
    """

    race: Race
    folder: Path
    since: float

    def keep(self) -> None:
        """Write the record, with all the time until now."""
        now = time.perf_counter()
        self.race.course.elapsed += now - self.since
        self.since = now
        self.race.write(self.folder)


def _run(
    race: Race,
    config: DictConfig,
    settings: dict[str, Any],
    fixed: Sequence[str],
    clock: _Clock,
    warned: set[str],
) -> dict[str, Any]:
    folder = clock.folder
    journal = Journal(folder, instantiate(settings["tracking"]), again="the same command")
    with journal.open(settings["name"] or f"race {race.id}", None, race.key):
        journal.log_tags({"embexp.race": race.id})
        journal.log_params({"candidates": len(race.candidates), "budget": str(race.budget), "metric": race.metric})
        measure = {"metric": race.metric, "rows": race.rows}
        entrants = {each.number: each for each in race.candidates}
        runner = TaskRunner(
            config, race.id, fixed, measure, entrants, race.seeds, folder, journal.run_id, warned=warned
        )
        _say_begin(race)
        clock.keep()
        _run_rounds(race, runner, clock, journal)
        race.ending = race.course.ending()
        clock.keep()
        _finish_winner(race, runner, clock)
        for candidate in race.course.candidates:
            if candidate != race.ending.winner:
                _drop(race, runner, candidate)
        found = close_race(race, folder, journal, RaceScores(race, {}).untouched())
        if {*race.course.failed} == {*race.course.candidates}:
            raise TrainingError(f"All {len(race.candidates)} candidates failed: see their messages above.")
        return found


def _say_begin(race: Race) -> None:
    number, seeds = len(race.candidates), len(race.seeds)
    say(f"race {race.id}: {number} candidates, up to {seeds} seeds each, by {race.metric}; budget: {race.budget}")
    for line in race.left_out:
        say(f"not raced: {line}")


def _run_rounds(race: Race, runner: TaskRunner, clock: _Clock, journal: Journal) -> None:
    """Round after round, until there is none."""
    course = race.course
    while begun := course.next_round(race.budget):
        clock.keep()
        results = _results_of(begun, runner, clock)
        now = {(task.candidate, task.level): results[task.number].scores for task in begun.tasks}
        scores = RaceScores(race, {key: file for key, file in now.items() if file})
        if there := [candidate for candidate, level in scores.new if level == begun.level]:
            scores.cells_at(begun.level, there)  # refuses a metric without values of single examples at once
        clock.keep()
        course.end(begun, results, scores.cells_at)
        clock.keep()
        for candidate in begun.dropped:
            _drop(race, runner, candidate)
        say(_estimate(course) if begun.is_pilot else race_line(race))
        _log(race, journal)


def _estimate(course: Course) -> str:
    """What the race takes without any loser, as its first trainings show."""
    first, every = duration(course.estimate(seeds=1)), duration(course.estimate())
    return f"estimate: {first} for one training of each candidate, {every} with all seeds of all of them"


def _results_of(begun: Round, runner: TaskRunner, clock: _Clock) -> dict[int, Result]:
    """Have all tasks of a round done, in this process or by workers.

    Raises:
        TrainingError: some could not be brought to an end, not by their own fault.
        LeftToWorkers: the workers go on without this process.
    """
    race = clock.race
    runner.tasks = {task.number: task for each in race.course.rounds for task in each.tasks}
    jobs = [Job(task.number, ()) for task in begun.tasks if runner.result(task) is None]
    names = {task.number: f"{race.named(task.candidate).name} {_goal(task, race)}" for task in begun.tasks}
    workers = min(runner.config.sweep.workers, len(jobs))

    def tell(line: str) -> None:
        logger.info("%s", line)
        clock.keep()

    progress = Progress({job.number: names[job.number] for job in jobs}, workers, tell)
    outcomes: Sequence[Outcome] = []
    if workers:
        try:
            outcomes = run_in_workers(runner, jobs, workers, progress)
        except LeftToWorkers:
            say(f"The workers of the race in {runner.place} go on, and the last one types this command again.")
            say("To wait for them type it yourself, to end them the same with sweep.engine.then=cancel.")
            raise
    else:
        forget_workers(runner.place)
        outcomes = [progress.follow(job, runner.folder(job), runner.run) for job in jobs]
    found = {task.number: runner.result(task) for task in begun.tasks}
    if missing := [names[number] for number, result in found.items() if result is None]:
        why = listed(sorted({each.error for each in outcomes if each.error}))
        text = f"{listed(missing)} could not be brought to an end: {why}"
        raise TrainingError(text, expected="the same command once more, when that is mended")
    return found


def _goal(task: Task, race: Race) -> str:
    """What a task is to come to, for its line.

    >>> from embexp.racing.rounds import Level
    >>> _goal(Task(0, 0, Level(0, 0.25)), None), _goal(Task(0, 0, Level(1, 1)), None)
    ('to 25 % of its training', 'with seed 2 of the race')
    """
    if task.is_finish:
        return f"to its end (seed {race.seeds[task.level.seed]})"
    if task.level.seed:
        return f"with seed {task.level.seed + 1} of the race"
    return f"to {100 * task.level.share:g} % of its training"


def _drop(race: Race, runner: TaskRunner, candidate: int) -> None:
    """Close the runs of a candidate that are open: for good, or until a larger budget lets it go on."""
    why = race.course.dropped.get(candidate)
    for seed in race.seeds:
        own = run_folder(runner.place, candidate, seed)
        if not (own / RECORD).is_file() or is_closed(own):
            continue
        if (own / RESULT).is_file() and {"dropped", "error"} & {*read_json(own / RESULT)}:
            continue
        reason = f"dropped: {why}" if why else "the race has ended; a larger budget lets it go on"
        drop(own, runner.tracker(), reason, keep_weights=not why)


def _finish_winner(race: Race, runner: TaskRunner, clock: _Clock) -> None:
    """Bring all runs of the winner to their end: only now they are scored on test."""
    rounds, winner = race.course.rounds, race.ending.winner
    if winner is None:
        return
    is_open = bool(rounds) and not rounds[-1].has_ended
    if begun := rounds[-1] if is_open else race.course.finishing(winner):
        clock.keep()
        results = _results_of(begun, runner, clock)
        race.course.end(begun, results, lambda level, numbers: {})
        clock.keep()
        if errors := [result.error for result in results.values() if result.error]:
            raise TrainingError(f"The winner, {race.named(winner).name}, could not be brought to its end: {errors[0]}")


def _log(race: Race, journal: Journal) -> None:
    """The state of the race after a round, for the curves of its run."""
    rounds = [each for each in race.course.rounds if each.has_ended]
    values = [result.value for _, _, result in race.course.done() if not result.error]
    metrics = {"race/left": len(race.course.left), "race/spent": race.course.spent(race.budget)}
    metrics |= {f"best/{race.metric}": max(values)} if values else {}
    journal.log_metrics(metrics, len(rounds))
