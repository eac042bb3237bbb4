"""What a multirun needs so that its configurations can race (`sweep.race=true`), checked before anything runs.

Candidates are its configurations: jobs that differ in nothing but their seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.cli.app import MISTAKES
from embexp.config.compose import composed
from embexp.core.run_context import RunContext, only_warnings
from embexp.errors import ConfigError, Problem
from embexp.experiment.datasets import DataBuilder
from embexp.experiment.pausing import measure_of
from embexp.experiment.plan import plan_run
from embexp.experiment.sweep_record import PART_KEY

_KEY = "sweep.race"
_WITHOUT = f"{_KEY}=false"
_OWN_PLUGINS = {"launcher": "embexp_launcher", "sweeper": "embexp_sweeper"}


def by_configuration(jobs: Mapping[int, Sequence[str]]) -> list[dict[str, int]]:
    """Of each configuration the number of the job with each seed, in the order in which the jobs come.

    >>> by_configuration({0: ["loss=a", "seed=1"], 1: ["loss=a", "seed=2"], 2: ["loss=b", "seed=1"]})
    [{'seed=1': 0, 'seed=2': 1}, {'seed=1': 2}]

    A job that is the same as an earlier one is none.
    """
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for number, overrides in jobs.items():
        seed = [each for each in overrides if _is_seed(each)]
        rest = tuple(each for each in overrides if not _is_seed(each))
        found.setdefault(rest, {}).setdefault(seed[-1] if seed else "", number)
    return [*found.values()]


def _is_seed(override: str) -> bool:
    return override.lstrip("+").partition("=")[0] == "seed"


def race_problems(config: DictConfig, grid: Sequence[Sequence[str]]) -> Iterator[Problem]:
    """The problem with a multirun that is to race and cannot.

    Args:
        grid: the overrides of every job.
    """
    configurations = by_configuration(dict(enumerate(grid)))
    is_of_parts = config.sweep.get("parts") is not None or any(
        each.startswith(PART_KEY) for job in grid for each in job
    )
    text = expected = ""
    fix: tuple[str, ...] = (_WITHOUT,)
    if is_of_parts:
        text, expected = "was given with parts to leave out, whose effects need all runs", "a grid of configurations"
    elif not configurations or min(map(len, configurations)) < 2:
        text, expected = "was given with fewer than two seeds", "several: a race gives losers fewer of them"
        fix = ("seed=1,2,3,4,5", _WITHOUT)
    elif len(configurations) < 2:
        text, expected = "was given where nothing but the seed varies", "at least two configurations, which race"
    elif config.hydra.sweeper.get("max_batch_size"):
        text, expected = "was given with jobs in batches, of which none sees the others", "all jobs at once"
        fix = ("hydra.sweeper.max_batch_size=null", _WITHOUT)
    else:
        others = [each for each, own in _OWN_PLUGINS.items() if own not in config.hydra[each].get("_target_", "")]
        if others:
            text, expected = f"was given with another {others[0]}, which runs all jobs", "embexp's own"
            fix = (f"hydra/{others[0]}=embexp", _WITHOUT)
    if text:
        yield Problem(text, _KEY, True, expected, fix=fix)


def check_raced(grid: Sequence[Sequence[str]], config_name: str) -> None:
    """Plan the first job of each configuration, and raise ConfigError where they cannot be compared on dev.

    Those that cannot be planned are left out: they fail when their turn comes, as in any sweep.
    """
    builders: dict[str, DataBuilder] = {}
    measures: dict[str, dict[str, str]] = {}
    for jobs in by_configuration(dict(enumerate(grid))):
        overrides = grid[next(iter(jobs.values()))]
        try:
            config, choices = composed(overrides, config_name)
            with only_warnings(set()):
                plan = plan_run(config, choices, Path("not begun"), context=RunContext(builders=builders))
        except MISTAKES:
            continue
        measure = measure_of(plan)
        evaluator = next(each for each in plan.evaluators if each.name == plan.primary_evaluator)
        if not evaluator.resamples:
            raise ConfigError(
                f"was given with {measure['metric']}, which has no values of single examples",
                key=_KEY,
                given=True,
                expected="a metric that has: configurations are compared example by example",
                fix=(_WITHOUT,),
            )
        measures[" ".join(each for each in overrides if not _is_seed(each))] = measure
    _refuse_unlike(measures)


def _refuse_unlike(measures: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ConfigError where configurations would be measured by unlike metrics, or on unlike rows."""
    first = next(iter(measures.items()), None)
    for name, measure in measures.items():
        if first and measure != first[1]:
            raise ConfigError(
                f"was given where {name} would be measured by another metric, or on other rows of dev, than {first[0]}",
                key=_KEY,
                given=True,
                expected="one evaluator with the same rows for all configurations",
                fix=("test=<file> dev=<file>", _WITHOUT),
            )
