"""The same small search for every cell of a sweep: short trials on dev find its learning rate before its seeds are run.

Cells that share one learning rate are compared at what suits one of them. A trial is a run of its own in `trials/` of
the sweep's folder, with the cell's first seed and a share of its training; so it is resumed after a kill, and taken
from another sweep that did the same. It is sent to no tracker. What was found stands in `rates.json`.
"""

import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from embexp.cli.quoting import quoted
from embexp.config.compose import composed, resolve
from embexp.core.run_folder import RESULT, read_json, write_json
from embexp.errors import ConfigError, Problem
from embexp.experiment.sweep_record import RATES, TRIALS, taken_from
from embexp.sweep.coordinator import run_in_workers
from embexp.sweep.jobs import Job, JobRunner, Outcome, varying
from embexp.sweep.progress import Progress

logger = logging.getLogger("embexp.sweep")
RATE = "trainer.learning_rate"
_FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the cell's own learning rate
_NOT_OF_TRIALS = ("tracking", "export", "keep", "name")  # keys that a trial has values of its own for


@dataclass(frozen=True)
class _Cell:
    """Jobs that differ in their seed only, with the learning rates to try and what makes a training short."""

    jobs: tuple[Job, ...]
    rates: tuple[float, ...]
    shortened: tuple[str, ...]


def is_fair(sweep: Mapping[str, Any]) -> bool:
    """Whether each cell gets a search of its own."""
    return bool(sweep.get("fair") or sweep.get("learning_rates"))


def fairness_problems(sweep: Mapping[str, Any], overrides: Sequence[str]) -> Iterator[Problem]:
    """The problem with a learning rate that is typed, and searched."""
    typed = [each for each in overrides if each.lstrip("+").partition("=")[0] == RATE]
    if is_fair(sweep) and typed:
        name = "learning_rates" if sweep.get("learning_rates") else "fair"
        text, expected = f"was given with {typed[-1]}", "one of both: the search gives each cell a learning rate"
        fix = (f"sweep.{name}={'null' if sweep.get('learning_rates') else 'false'}",)
        yield Problem(text, f"sweep.{name}", sweep[name], expected, fix=fix)


def with_best_rates(runner: JobRunner, jobs: Sequence[Job], names: Mapping[int, str], leave: set[int]) -> list[Job]:
    """The jobs, each with the learning rate that was best for its cell; `rates.json` says what was tried.

    Args:
        leave: the numbers of jobs that do not fit: they are left as they are.

    Raises:
        ConfigError: there is no dev split to choose on.
    """
    settings = OmegaConf.to_container(runner.config.sweep)
    cells = [*_cells_of([job for job in jobs if job.number not in leave], settings, runner)]
    trials = [
        Job(place * len(cell.rates) + each, (*_of_trial(cell.jobs[0]), *cell.shortened, f"{RATE}={rate:g}"))
        for place, cell in enumerate(cells)
        for each, rate in enumerate(cell.rates)
    ]
    if not trials:
        return [*jobs]
    own = _runner_of_trials(runner)
    outcomes = iter(_run(own, trials, min(runner.config.sweep.workers, len(trials))))
    found: dict[int, float] = {}
    records = []
    for place, cell in enumerate(cells):
        numbers = [place * len(cell.rates) + each for each in range(len(cell.rates))]
        tried = [_tried(own, number, rate, next(outcomes)) for number, rate in zip(numbers, cell.rates, strict=True)]
        known = [each for each in tried if each["dev"] is not None]
        best = max(known, key=lambda each: each["dev"])["rate"] if known else None
        records.append({"jobs": [job.number for job in cell.jobs], "tried": tried, "chosen": best})
        name = names[cell.jobs[0].number]
        if best is None:
            logger.warning("No trial of %s came to its end: its learning rate is not searched.", name)
        else:
            found |= {job.number: best for job in cell.jobs}
            logger.info("%s: learning rate %g", name, best)
    write_json(Path(runner.config.hydra.sweep.dir) / RATES, {"share": settings["trial_share"], "cells": records})
    return [
        Job(job.number, (*job.overrides, f"{RATE}={found[job.number]:g}")) if job.number in found else job
        for job in jobs
    ]


def _cells_of(jobs: Sequence[Job], settings: Mapping[str, Any], runner: JobRunner) -> Iterator[_Cell]:
    several: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        several.setdefault(tuple(each for each in job.overrides if each.partition("=")[0] != "seed"), []).append(job)
    for same in several.values():
        config, _ = composed(same[0].overrides, runner.config.hydra.job.config_name)
        trainer = resolve(config)["trainer"]
        rates = settings["learning_rates"] or [trainer["learning_rate"] * factor for factor in _FACTORS]
        rates = sorted({float(f"{rate:.2g}") for rate in rates})
        yield _Cell(tuple(same), tuple(rates), tuple(_shortened(trainer, settings["trial_share"])))


def _shortened(trainer: Mapping[str, Any], share: float) -> Iterator[str]:
    """What gives a training so much of its length.

    >>> [*_shortened({"max_steps": -1, "num_train_epochs": 2, "warmup_steps": 0.1, "eval_steps": 100}, 0.25)]
    ['trainer.num_train_epochs=0.5', 'trainer.eval_steps=25']
    """
    if trainer.get("max_steps", -1) > 0:
        yield f"trainer.max_steps={math.ceil(trainer['max_steps'] * share)}"
    else:
        yield f"trainer.num_train_epochs={trainer['num_train_epochs'] * share:g}"
    if trainer.get("max_examples"):
        yield f"trainer.max_examples={math.ceil(trainer['max_examples'] * share)}"
    if trainer.get("max_seconds"):
        yield f"trainer.max_seconds={trainer['max_seconds'] * share:g}"
    for key in ("warmup_steps", "eval_steps", "save_steps"):  # below 1 they are shares themselves
        if trainer.get(key) and trainer[key] >= 1:
            yield f"trainer.{key}={math.ceil(trainer[key] * share)}"


def _of_trial(job: Job) -> Iterator[str]:
    for override in job.overrides:
        if override.lstrip("+~").partition("=")[0].partition(".")[0] not in _NOT_OF_TRIALS:
            yield override
    yield from ("tracking=none", "keep=none")


def _runner_of_trials(runner: JobRunner) -> JobRunner:
    """The same with a folder of its own for its jobs, below that of the sweep."""
    config: DictConfig = copy.deepcopy(runner.config)
    folder = str(Path(config.hydra.sweep.dir) / TRIALS)
    with flag_override(config, "readonly", False):
        config.hydra.sweep.dir = folder
        others = [each for each in config.hydra.overrides.hydra if not each.startswith("hydra.sweep.dir=")]
        config.hydra.overrides.hydra = [*others, f"hydra.sweep.dir={quoted(folder)}"]
    return JobRunner(runner.hydra_context, runner.task_function, config)


def _run(runner: JobRunner, trials: Sequence[Job], workers: int) -> list[Outcome]:
    names = {job.number: f"trial: {name}" for job, name in zip(trials, varying(trials), strict=True)}
    progress = Progress(names, workers, logger.info)
    if workers:
        return run_in_workers(runner, trials, workers, progress)
    return [progress.follow(job, runner.folder(job), runner.run) for job in trials]


def _tried(runner: JobRunner, number: int, rate: float, outcome: Outcome) -> dict[str, Any]:
    """The rate with the primary metric on dev; None of a trial that failed, as one that diverged does."""
    if outcome.value is None:
        return {"rate": rate, "dev": None, "error": outcome.error}
    folder = Path(runner.config.hydra.sweep.dir) / str(number)
    result = read_json((taken_from(folder) or folder) / RESULT)
    _, evaluator, metric = result["primary"]["key"].split("/")
    value = result["metrics"].get(f"dev/{evaluator}/{metric}")
    if value is None:
        raise ConfigError(
            f"{evaluator} has no dev split, on which learning rates are searched",
            key="sweep.fair",
            given=True,
            expected="a dev split, such as one of the training rows, or no search",
            fix=("+step@dataset.steps.split=split dataset.steps.split.ratios=[8,1,1]", "sweep.fair=false"),
        )
    return {"rate": rate, "dev": None if math.isnan(value) else value}
