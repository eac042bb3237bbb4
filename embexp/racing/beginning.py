"""The beginning of a race: its candidates planned with their rows, and what must be the same when it goes on."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.config.compose import composed
from embexp.core.environment import versions
from embexp.core.escaping import say
from embexp.core.run_context import RunContext, only_warnings
from embexp.core.run_folder import changes
from embexp.errors import ConfigError, EmbexpError
from embexp.evaluation.stats.verdicts import margin_of, margins_in
from embexp.experiment.datasets import DataBuilder
from embexp.experiment.fingerprint import check_same, code, digest, rows_and_weights
from embexp.experiment.pausing import check_pausing, measure_of
from embexp.experiment.plan import RunPlan, plan_run, short_names
from embexp.racing.budget import Budget
from embexp.racing.candidates import Candidate, candidates_of
from embexp.racing.course import Course
from embexp.racing.folder import race_key
from embexp.racing.outlook import say_outlook
from embexp.racing.record import Entrant, Race, new_id, rules_of
from embexp.racing.runner import examples_read, with_secrets

_Planned = list[tuple[Candidate, RunPlan]]


def begin_race(
    config: DictConfig,
    settings: Mapping[str, Any],
    typed: Sequence[str],
    fixed: Sequence[str],
    budget: Budget,
    warned: set[str],
) -> Race:
    """A new race.

    Args:
        typed: all overrides of the command; `fixed` are those that every run has.
        warned: the warnings that were shown already, and that are shown here.

    Raises:
        ConfigError: no candidate can be trained, or there is no dev split to compare them by.
    """
    builders: dict[str, DataBuilder] = {}
    candidates, left_out = candidates_of(config, fixed, builders)
    with only_warnings(warned):
        planned, refused = _planned(_with_dev(candidates, settings, builders), settings, builders)
    plans = [plan for _, plan in planned]
    models = models_of((plan.config, plan.choices) for plan in plans)
    entrants = [
        Entrant(number, each.name, each.overrides, each.own, model, examples_read(plan), _most_seconds(plan))
        for number, ((each, plan), model) in enumerate(zip(planned, models, strict=True))
    ]
    untouched = [
        Entrant(-1 - place, f"untouched {model}", model=model) for place, model in enumerate(dict.fromkeys(models))
    ]
    measure, own = measure_of(plans[0]), settings["race"]
    of_race = {key: own[key] for key in ("rungs", "seeds", "alpha", "prior")}
    of_race["margin"] = margin_of(plans[0].primary_metric, margins_in(settings))
    rules = rules_of(of_race, [*entrants, *untouched], settings["sweep"]["workers"])
    began: dict[str, dict[str, Any]] = {}
    for number, (model, plan) in enumerate(zip(models, plans, strict=True)):
        began.setdefault(model, {"candidate": number, "began": rows_and_weights(plan), "code": code(plan)})
    race = Race(
        new_id(),
        race_key(typed),
        [*typed],
        measure["metric"],
        measure["rows"],
        [*entrants, *untouched],
        [*left_out, *refused],
        [settings["seed"] + place for place in range(own["seeds"])],
        budget,
        Course(rules, untouched=tuple(each.number for each in untouched)),
        began=began,
        versions=versions(),
    )
    say_outlook(race, plans)
    return race


def check_goes_on(
    race: Race, settings: Mapping[str, Any], typed: Sequence[str], fixed: Sequence[str], folder: Path, warned: set[str]
) -> None:
    """Raise ConfigError where a folder holds another race, or rows and models are others than this one began with."""
    if race.key != race_key(typed):
        raise ConfigError(
            f"{folder} holds another race ({' '.join(race.overrides)}), or the same from another directory",
            expected="a folder without a race",
            fix="hydra.run.dir=<folder>",
        )
    builders: dict[str, DataBuilder] = {}
    with only_warnings(warned):
        for found in race.began.values():
            entrant = race.named(found["candidate"])
            overrides = tuple(with_secrets(entrant.overrides, fixed))
            plan = _plan_of(replace(entrant, overrides=overrides), settings, builders)
            check_same("The race", found, plan, f"seed={settings['seed'] + 1}")
    for change in changes(race.versions, versions()):
        say(f"note       {change}: earlier trainings of the race were done with the earlier one")


def _planned(
    candidates: Sequence[Candidate], settings: Mapping[str, Any], builders: dict[str, DataBuilder]
) -> tuple[_Planned, list[str]]:
    """The candidates that can be trained on the rows, with their plans; why others cannot.

    Raises:
        EmbexpError: none can: that of the first one.
    """
    planned, refused, errors = [], [], []
    for each in candidates:
        try:
            plan = _plan_of(each, settings, builders)
            check_pausing(plan, 1.0)
        except EmbexpError as error:
            errors.append(error)
            refused.append(f"{each.name}: {str(error).partition(chr(10))[0]}")
        else:
            planned.append((each, plan))
    if not planned:
        raise errors[0]
    measure = measure_of(planned[0][1])
    others = [each.name for each, plan in planned if measure_of(plan) != measure]
    if others:
        raise ConfigError(
            f"{', '.join(others)} would be measured by another metric, or on other rows, than {planned[0][0].name}",
            expected="one evaluator with the same rows for all candidates",
            fix=("test=<file> dev=<file>", "evaluator=[<name>]"),
        )
    return planned, refused


def models_of(runs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    """What the base model of each run is called: two that are not the same have two names.

    Args:
        runs: the configuration and the choices of each.
    """
    names: dict[str, str] = {}
    found = []
    for config, choices in runs:
        node = {key: value for key, value in config["model"].items() if key != "adapter"}
        identity = digest(node)
        if identity not in names:
            name = short_names(config, choices)["model"].partition("+")[0]
            same = sum(each.partition(" ")[0] == name for each in names.values())
            names[identity] = f"{name} ({same + 1})" if same else name
        found.append(names[identity])
    return found


def _most_seconds(plan: RunPlan) -> float | None:
    return plan.stages[-1].trainer.get("max_seconds")


def _with_dev(
    candidates: Sequence[Candidate], settings: Mapping[str, Any], builders: dict[str, DataBuilder]
) -> list[Candidate]:
    """The candidates; where data were typed for test alone, half of these are dev, by which candidates are chosen."""
    typed = candidates[0].overrides
    of_test = [each for each in typed if _OF_TEST.match(each)]
    if not of_test or any(_OF_DEV.match(each) for each in typed):
        return [*candidates]
    plan = _plan_of(candidates[0], settings, builders)
    primary = next(each for each in plan.evaluators if each.name == plan.primary_evaluator)
    if "dev" in primary.splits:
        return [*candidates]
    say("dev        half of the data of test=, since no dev= was typed; the winner alone is scored on the other half")
    of_dev = tuple(_OF_TEST.sub(r"\1dev", each) for each in of_test)
    return [replace(each, overrides=(*each.overrides, *of_dev)) for each in candidates]


_OF_TEST, _OF_DEV = (re.compile(rf"^([+~]*(?:\w+@)?){key}\b") for key in ("test", "dev"))  # +dataset@test=file


def _plan_of(candidate: Candidate | Entrant, settings: Mapping[str, Any], builders: dict[str, DataBuilder]) -> RunPlan:
    config, choices = composed([*candidate.overrides, f"seed={settings['seed']}"])
    folder = Path(settings["paths"]["races"]) / "not begun"
    return plan_run(config, choices, folder, context=RunContext(builders=builders))
