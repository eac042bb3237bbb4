"""A sweep whose configurations race (`sweep.race=true`): losers get no more seeds.

In round k all configurations that are left run with their k-th seed, as ordinary jobs of the sweep. Then they are
compared on dev as the candidates of a race are, and losers are dropped. Nothing is decided by anything but runs that
have finished: a sweep that was killed takes these as they are, and comes to the same decisions. `race.json` in the
sweep's folder keeps them, and `raced.json` what the leaderboard says of them.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.config.session import option_files
from embexp.core.run_folder import RESULT, read_config, read_json, write_json
from embexp.evaluation.stats.verdicts import Margins, margin_of
from embexp.experiment.sides import EXAMPLES
from embexp.experiment.sweep_record import RACED, taken_from
from embexp.racing.beginning import models_of
from embexp.racing.budget import Budget
from embexp.racing.course import Course
from embexp.racing.record import Entrant, Race, rules_of
from embexp.racing.rounds import Result, Round, Task
from embexp.racing.scores import RaceScores
from embexp.racing.standings import Standing, lead_in, why_said
from embexp.sweep.jobs import Job, JobRunner, Outcome, varying
from embexp.sweep.raced import by_configuration
from embexp.sweep.start import Do

logger = logging.getLogger("embexp.sweep")


def in_rounds(
    runner: JobRunner, jobs: Sequence[Job], names: dict[int, str], margins: Margins, do: Do
) -> dict[int, Outcome]:
    """How the jobs ended that were run, by number.

    Args:
        names: of the jobs, from which those are taken that are not run.
        do: has jobs done.
    """
    by_number = {job.number: job for job in jobs}
    candidates = [[*each.values()] for each in by_configuration({job.number: job.overrides for job in jobs})]
    _leave_out(names, {*by_number} - {number for numbers in candidates for number in numbers})  # the same as others
    chosen = {place: numbers[0] for place, numbers in enumerate(candidates)}
    race: Race | None = None
    ended: dict[int, Outcome] = {}
    while chosen:
        ended |= dict(zip(chosen.values(), do([by_number[each] for each in chosen.values()]), strict=True))
        race = race or _begun(runner, candidates, by_number, margins)
        if race is None:
            break
        _end_round(race, runner, chosen, ended)
        gone = [number for each in race.course.dropped for number in candidates[each] if number not in ended]
        _leave_out(names, gone)
        _note(race, runner.place, len(gone), sum(map(len, candidates)))
        chosen = _next(race.course, candidates)
    return ended


def _leave_out(names: dict[int, str], numbers: Sequence[int] | set[int]) -> None:
    for number in numbers:
        names.pop(number, None)


def _next(course: Course, candidates: Sequence[Sequence[int]]) -> dict[int, int]:
    """The job of each candidate in the next round: all that are left and came as far as the last of them.

    One that has beaten all others gets its seeds, too: its verdict on test is over these.
    """
    places = {each: course.place(each) for each in course.left if course.place(each) < len(course.levels)}
    return {each: candidates[each][place] for each, place in places.items() if place == min(places.values())}


def _run_of(runner: JobRunner, number: int) -> Path:
    folder = runner.folder(Job(number, ()))
    return taken_from(folder) or folder


def _begun(
    runner: JobRunner, candidates: Sequence[Sequence[int]], jobs: Mapping[int, Job], margins: Margins
) -> Race | None:
    """The race after its first jobs; None where no job has come to its end."""
    folders = {place: _run_of(runner, numbers[0]) for place, numbers in enumerate(candidates)}
    results = {place: read_json(folder / RESULT) for place, folder in folders.items() if (folder / RESULT).is_file()}
    results = {place: result for place, result in results.items() if "primary" in result}
    if not results:
        return None
    known = [(OmegaConf.to_container(read_config(folders[each])), results[each]["choices"]) for each in results]
    models = dict(zip(results, models_of(known), strict=True))
    firsts = [Job(place, _without_seed(jobs[numbers[0]])) for place, numbers in enumerate(candidates)]
    entrants = [
        Entrant(job.number, name, job.overrides, model=models.get(job.number, ""))
        for job, name in zip(firsts, varying(firsts), strict=True)
    ]
    untouched = [
        Entrant(-1 - place, f"untouched {model}", model=model)
        for place, model in enumerate(dict.fromkeys(models.values()))
    ]
    _, evaluator, metric = next(iter(results.values()))["primary"]["key"].split("/")
    rules = rules_of(
        _settings() | {"seeds": len(candidates[0]), "margin": margin_of(metric, margins)}, [*entrants, *untouched], 1
    )
    course = Course(rules, untouched=tuple(each.number for each in untouched))
    seeds = [each for number in candidates[0] for each in jobs[number].overrides if each not in firsts[0].overrides]
    key = f"dev/{evaluator}/{metric}"
    return Race(
        runner.id, "", runner.config.hydra.overrides.task, key, "", [*entrants, *untouched], [], seeds, Budget(), course
    )


def _without_seed(job: Job) -> tuple[str, ...]:
    return tuple(each for each in job.overrides if each.lstrip("+").partition("=")[0] != "seed")


def _settings() -> dict[str, Any]:
    """What a race is decided by, of conf/race/default.yaml; a level of a sweep is a whole seed."""
    node = OmegaConf.to_container(OmegaConf.load(option_files("race")["default"]))
    return {"rungs": [1], "alpha": node["alpha"], "prior": node["prior"]}


def _end_round(race: Race, runner: JobRunner, chosen: Mapping[int, int], ended: Mapping[int, Outcome]) -> None:
    """Compare all that are left, and drop who has lost."""
    level = race.course.levels[race.course.place(min(chosen, key=race.course.place))]
    tasks = tuple(Task(number, candidate, level) for candidate, number in chosen.items())
    results = {number: _result(race, runner, number, ended[number]) for number in chosen.values()}
    begun = Round(level, tasks)
    race.course.rounds.append(begun)
    files = {(each.candidate, level): results[each.number].scores for each in tasks if results[each.number].scores}
    race.course.end(begun, results, RaceScores(race, files).cells_at)
    number, seeds = len(race.course.left), level.seed + 1
    text = "race: %s of %s configurations left after seed %s of %s"
    logger.info(text, number, len(race.candidates), seeds, len(race.course.levels))
    for line in _dropped_in(race, begun):
        logger.info("race: %s", line)


def _result(race: Race, runner: JobRunner, number: int, outcome: Outcome) -> Result:
    """What a job has shown on dev."""
    if outcome.value is None:
        return Result(error=outcome.error or "it failed")
    folder, (_, evaluator, _) = _run_of(runner, number), race.metric.split("/")
    value = read_json(folder / RESULT)["metrics"].get(race.metric, math.nan)
    if math.isnan(value):
        return Result(error=f"{race.metric} is not a number")
    return Result(value, scores=str(folder / EXAMPLES / f"{evaluator}_dev.parquet"))


def _dropped_in(race: Race, ended: Round) -> list[str]:
    """A line for each configuration that is out since a round."""
    lines = []
    for number, why in ended.dropped.items():
        if race.course.dropped.get(number) != why:  # who has beaten it has failed since
            continue
        names = race.named(number).name, race.named(ended.leader).name
        shown = Standing(number, names[0], math.nan, why_said(why, race), **lead_in(ended, number)).lead_text
        seeds = f"{ended.level.seed + 1} seed{'s' * (ended.level.seed > 0)}"
        lines.append(f"{names[0]} was dropped after {seeds}: {why_said(why, race)}, on dev {shown} to {names[1]}")
    return lines


def _note(race: Race, folder: Path, saved: int, number: int) -> None:
    """Write what was decided, and what the leaderboard says of it."""
    race.ending = race.course.ending()
    race.write(folder)
    dropped = [line for each in race.course.rounds for line in _dropped_in(race, each)]
    rules = race.course.rules
    best = f"one that is the best on dev by more than {rules.margin:g}"
    error = f"{best} is dropped with a chance of at most {100 * rules.alpha:g} %"
    losers = f"{len(dropped)} configuration{'s' * (len(dropped) != 1)} dropped on dev"
    said = f"{saved} of {number} runs, with {losers}; {error}"
    write_json(folder / RACED, {"dropped": dropped, "saved": said})
