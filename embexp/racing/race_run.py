"""Running a race: found or begun, its rounds run below one parent, its winner brought to its end."""

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.cli.app import run_command
from embexp.config.compose import composed, instantiate, resolve
from embexp.core.claims import held
from embexp.core.escaping import say
from embexp.core.run_context import RunContext, only_warnings
from embexp.core.run_folder import RECORD, is_closed
from embexp.errors import ConfigError, TrainingError, listed
from embexp.evaluation.stats.verdicts import margin_of, margins_in
from embexp.experiment.datasets import DataBuilder
from embexp.experiment.pausing import measure_of
from embexp.experiment.plan import RunPlan, plan_run
from embexp.experiment.rungs import drop
from embexp.racing.budget import read_budget
from embexp.racing.candidates import Candidate, candidates_of
from embexp.racing.course import Course
from embexp.racing.folder import RACE, race_key
from embexp.racing.judging import Judge
from embexp.racing.record import Entrant, Race, new_id, read_race, rules_of, run_folder
from embexp.racing.report import close_race, race_line
from embexp.racing.rounds import Result, Round, Task
from embexp.racing.runner import TaskRunner, examples_read
from embexp.racing.space import name_of, run_overrides, shown, typed_space
from embexp.sweep.coordinator import check_engine, forget_workers, run_in_workers
from embexp.sweep.jobs import Job
from embexp.sweep.progress import Progress, duration
from embexp.tracking.journal import Journal

logger = logging.getLogger("embexp.sweep")


def race_command() -> None:
    """`python -m embexp.race`: take from the command line what is raced, compose the rest, and run the race."""
    run_command(_race, "race", rewrite=typed_space)


def _race(config: DictConfig, _choices: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the rounds that the race lacks, below one parent run, and show its end; returns what was found."""
    from hydra.core.hydra_config import HydraConfig

    since, settings = time.perf_counter(), resolve(config)
    budget = read_budget(settings["budget"])
    check_engine(settings["sweep"])
    if config.resume is not None:
        raise ConfigError("resumes a run, not a race", key="resume", expected="the race's own command, without it")
    typed = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    fixed = run_overrides(typed)
    with held(folder, "race"):
        if (folder / RACE).is_file():
            race = read_race(folder, settings["sweep"]["workers"])
            if race.budget != budget:
                race.budget = budget
                race.course.raise_budget()
        else:
            race = _begun(config, settings, typed, fixed)
            race.budget = budget
            race.write(folder)
        return _run(race, config, settings, fixed, folder, since)


def _begun(config: DictConfig, settings: dict[str, Any], typed: Sequence[str], fixed: Sequence[str]) -> Race:
    """A new race."""
    builders: dict[str, DataBuilder] = {}
    candidates, left_out = candidates_of(config, fixed, builders)
    with only_warnings(set()):
        candidates = _with_dev(candidates, settings, builders)
        plans = [_plan_of(each, settings, builders) for each in candidates]
    measure, own = measure_of(plans[0]), settings["race"]
    entrants = [
        Entrant(each.number, each.name, each.overrides, each.own, _model_of(each), examples_read(plan))
        for each, plan in zip(candidates, plans, strict=True)
    ]
    models = dict.fromkeys(each.model for each in entrants)
    untouched = [Entrant(-1 - place, f"untouched {model}", model=model) for place, model in enumerate(models)]
    of_race = {key: own[key] for key in ("rungs", "seeds", "alpha", "prior")}
    of_race["margin"] = margin_of(plans[0].primary_metric, margins_in(settings))
    rules = rules_of(of_race, [*entrants, *untouched], settings["sweep"]["workers"])
    course = Course(rules, untouched=tuple(each.number for each in untouched))
    seeds = [settings["seed"] + place for place in range(own["seeds"])]
    measured = measure["metric"], measure["rows"]
    every, budget = [*entrants, *untouched], read_budget(settings["budget"])
    return Race(new_id(), race_key(typed), [*typed], *measured, every, left_out, seeds, budget, course)


def _model_of(candidate: Candidate) -> str:
    """What the base model of a candidate is called."""
    own = [each for each in candidate.model if not name_of(each).startswith("model.adapter")]
    return shown(own) or "model"


def _with_dev(
    candidates: Sequence[Candidate], settings: dict[str, Any], builders: dict[str, DataBuilder]
) -> list[Candidate]:
    """The candidates; where data were typed for test alone, half of these are dev, by which candidates are chosen."""
    plan, typed = _plan_of(candidates[0], settings, builders), candidates[0].overrides
    of_test = [each for each in typed if _OF_TEST.match(each)]
    primary = next(each for each in plan.evaluators if each.name == plan.primary_evaluator)
    if "dev" in primary.splits or not of_test or plan.config.get("dev"):
        return [*candidates]
    say("dev        half of what test= names, since no dev= was typed: it chooses, and the other half judges")
    of_dev = tuple(_OF_TEST.sub(r"\1dev", each) for each in of_test)
    return [replace(each, overrides=(*each.overrides, *of_dev)) for each in candidates]


_OF_TEST = re.compile(r"^([+~]*(?:\w+@)?)test\b")  # test.reader.path=..., +dataset@test=file


def _plan_of(candidate: Candidate, settings: dict[str, Any], builders: dict[str, DataBuilder]) -> RunPlan:
    config, choices = composed([*candidate.overrides, f"seed={settings['seed']}"])
    folder = Path(settings["paths"]["races"]) / "not begun"
    return plan_run(config, choices, folder, context=RunContext(builders=builders))


def _run(
    race: Race, config: DictConfig, settings: dict[str, Any], fixed: Sequence[str], folder: Path, since: float
) -> dict[str, Any]:
    journal = Journal(folder, instantiate(settings["tracking"]), again="the same command")
    with journal.open(settings["name"] or f"race {race.id}", None, race.key):
        journal.log_tags({"embexp.race": race.id})
        journal.log_params({"candidates": len(race.candidates), "budget": str(race.budget), "metric": race.metric})
        measure = {"metric": race.metric, "rows": race.rows}
        entrants = {each.number: each for each in race.candidates}
        runner = TaskRunner(config, race.id, _secrets(fixed), measure, entrants, race.seeds, folder, journal.run_id)
        _say_begin(race)
        _run_rounds(race, runner, folder, journal, since)
        if race.ending is None or race.ending != race.course.ending():
            race.ending = race.course.ending()
            race.write(folder)
        _finish_winner(race, runner)
        _leave_others(race, runner, folder)
        found = close_race(race, folder, journal, Judge(race, {}).untouched())
        if all(result.error for _, _, result in race.course.done()):
            raise TrainingError(f"All {len(race.candidates)} candidates failed: see their messages above.")
        return found


def _secrets(fixed: Sequence[str]) -> list[str]:
    """What a run that has begun needs once more: no password of the store is recorded."""
    return [each for each in fixed if each.startswith("tracking.uri=")]


def _say_begin(race: Race) -> None:
    number, seeds = len(race.candidates), len(race.seeds)
    say(f"race {race.id}: {number} candidates, up to {seeds} seeds each, by {race.metric}; budget: {race.budget}")
    for line in race.left_out:
        say(f"not raced: {line}")


def _run_rounds(race: Race, runner: TaskRunner, folder: Path, journal: Journal, since: float) -> None:
    """Round after round, until there is none.

    Args:
        since: when this process began, by `time.perf_counter`: what it did until now is part of the budget.
    """
    course = race.course
    course.reserve = _RESERVE * (race.budget.seconds or 0.0)
    while begun := _next_round(race, since):
        race.write(folder)
        results = _results_of(begun, runner, race)
        since = time.perf_counter()
        now = {(task.candidate, task.level): results[task.number].scores for task in begun.tasks}
        judge = Judge(race, {key: file for key, file in now.items() if file})
        course.end(begun, results, judge.cells_at)
        race.write(folder)
        for candidate, why in begun.dropped.items():
            _drop(race, runner, folder, candidate, f"dropped: {why}")
        say(_estimate(course) if begun.is_pilot else race_line(race))
        _log(race, journal)


def _next_round(race: Race, since: float) -> Round | None:
    race.course.overhead += time.perf_counter() - since
    return race.course.next_round(race.budget)


def _estimate(course: Course) -> str:
    """What the race takes without any loser, as its first trainings show."""
    first, every = duration(course.estimate(seeds=1)), duration(course.estimate())
    return f"estimate: {first} for one training of each candidate, {every} with all seeds of all of them"


_RESERVE = 0.05  # of the budget, for the winner's end: it is scored on test


def _results_of(begun: Round, runner: TaskRunner, race: Race) -> dict[int, Result]:
    """Have all tasks of a round done, in this process or by workers."""
    runner.tasks = {task.number: task for each in race.course.rounds for task in each.tasks}
    jobs = [Job(task.number, ()) for task in begun.tasks if runner.result(task) is None]
    names = {task.number: f"{race.named(task.candidate).name} {_goal(task, race)}" for task in begun.tasks}
    workers = min(runner.config.sweep.workers, len(jobs))
    progress = Progress({job.number: names[job.number] for job in jobs}, workers, logger.info)
    if workers:
        run_in_workers(runner, jobs, workers, progress)
    else:
        forget_workers(runner.place)
        for job in jobs:
            progress.follow(job, runner.folder(job), runner.run)
    found = {task.number: runner.result(task) for task in begun.tasks}
    if missing := [names[number] for number, result in found.items() if result is None]:
        text = f"{len(missing)} trainings could not be brought to an end: {listed(missing)}"
        raise TrainingError(text, expected="the same command once more, when what is said above is mended")
    return found


def _goal(task: Task, race: Race) -> str:
    """What a task is to come to, for its line.

    >>> _goal(Task(0, 0, Level(0, 0.25)), None), _goal(Task(0, 0, Level(1, 1)), None)
    ('to 25 % of its training', 'with seed 2 of the race')
    """
    if task.is_finish:
        return f"to its end (seed {race.seeds[task.level.seed]})"
    if task.level.seed:
        return f"with seed {task.level.seed + 1} of the race"
    return f"to {100 * task.level.share:g} % of its training"


def _drop(race: Race, runner: TaskRunner, folder: Path, candidate: int, why: str) -> None:
    """Close the runs of a candidate that are not finished."""
    for seed in race.seeds:
        own = run_folder(folder, candidate, seed)
        if (own / RECORD).is_file() and not is_closed(own):
            drop(own, runner.tracker(), why)


def _finish_winner(race: Race, runner: TaskRunner) -> None:
    """Bring all runs of the winner to their end: only now they are scored on test."""
    winner, rounds = race.ending.winner, race.course.rounds
    ends = [each for each in rounds if any(task.is_finish for task in each.tasks)]
    if winner is None:
        return
    wanted = {level for level in race.course.levels[: race.course.place(winner)] if level.share == 1}
    have = {task.level for each in ends if each.has_ended for task in each.tasks if task.candidate == winner}
    if wanted <= have:
        return
    begun = rounds[-1] if ends and not rounds[-1].has_ended else race.course.finishing(winner)
    race.write(runner.place)
    race.course.end(begun, _results_of(begun, runner, race), lambda level, numbers: {})
    race.write(runner.place)


def _leave_others(race: Race, runner: TaskRunner, folder: Path) -> None:
    """Close the runs of those that are neither dropped nor the winner: a larger budget lets them go on."""
    for candidate in race.course.left:
        if candidate != race.ending.winner:
            _drop(race, runner, folder, candidate, "the race has ended; a larger budget lets it go on")


def _log(race: Race, journal: Journal) -> None:
    """The state of the race after a round, for the curves of its run."""
    rounds = [each for each in race.course.rounds if each.has_ended]
    values = [result.value for _, _, result in race.course.done() if not result.error]
    metrics = {"race/left": len(race.course.left), "race/spent": race.course.spent(race.budget)}
    metrics |= {f"best/{race.metric}": max(values)} if values else {}
    journal.log_metrics(metrics, len(rounds))
