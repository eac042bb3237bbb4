"""The candidates of a race: the combinations of its space that can be trained, the most promising ones."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from embexp.cli.messages import explain, unknown_override
from embexp.config.compose import composed, resolve
from embexp.core.arguments import refuse
from embexp.errors import ConfigError, DataError, EmbexpError, ModelError, Problem, ShapeError
from embexp.experiment.datasets import DataBuilder
from embexp.experiment.mixture_keys import with_mixture
from embexp.experiment.plan import check_without_rows, short_names
from embexp.racing.data import RaceData, default_space, rate_of, read_data
from embexp.racing.space import (
    LEARNING_RATE,
    Dimension,
    in_order,
    name_of,
    num_combinations,
    race_problems,
    read_typed,
    run_overrides,
    shown,
    some_of,
    space_of,
    times,
)

_MOST_CHECKED = 100  # combinations that are composed, which takes a third of a second each


@dataclass(frozen=True)
class Candidate:
    """A configuration that races.

    Attributes:
        number: from 0, in the order of the priors: the first ones are tried first.
        overrides: all of a run, without a seed.
        own: those in which it differs from the others.
    """

    number: int
    overrides: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called in tables, such as `mnrl minilm 5e-05`: no other candidate of the race is called so."""
        return shown(self.own)

    @property
    def model(self) -> tuple[str, ...]:
        """The overrides that say which base model it starts from: those with the same share an untouched model."""
        return tuple(each for each in self.overrides if name_of(each).partition(".")[0] == "model")


def candidates_of(
    config: DictConfig, fixed: Sequence[str], builders: dict[str, DataBuilder] | None = None
) -> tuple[list[Candidate], list[str]]:
    """The candidates of a race, in a command in which Hydra has started, and what was left out, with the reasons.

    Each is composed and checked without its rows; the data are read once, for their shape and their writing.

    Args:
        config: of the command.
        fixed: the overrides that were typed with one value; the race's own among them are left out.
        builders: of data sets, which keep what is read here.

    Raises:
        ConfigError: no candidate is left, with all reasons; settings of the race out of range; a space that cannot be
            read; an option or a model that does not exist, with the message of the other commands.
    """
    race = resolve(config)["race"]
    refuse(race_problems(race))
    typed, named = read_typed(race["typed"] or ()), space_of(race["space"])
    varied = {each.name for each in (*typed, *named)}
    first = {override for each in typed for override in each.overrides(each.values[0])}  # `typed_space` leaves some
    fixed = [each for each in run_overrides(fixed) if each not in first]
    chosen = {name_of(each) for each in fixed}
    data = read_data(fixed, _merged(named, typed), {} if builders is None else builders)
    named, reasons = (data.by_fit(named), []) if race["space"] is not None else default_space(data, race)
    space = [each for each in _merged(named, typed) if each.name not in chosen]
    if "model" in chosen | varied:
        reasons = []
    may_download = race["downloads"] or "model" in chosen | {each.name for each in typed}
    grid = _Grid(tuple(fixed), space, data, may_download)
    kept, num_looked_at = [], 0
    for values in in_order(space):
        if len(kept) == race["max_candidates"] or grid.num_checked == _MOST_CHECKED:
            break
        num_looked_at += 1
        if (own := grid.checked(values)) is not None:
            kept.append((values, own))
    if not kept:
        raise grid.nothing_left()
    reasons += grid.reasons()
    if rest := num_combinations(space) - num_looked_at:
        most = f"race.max_candidates={race['max_candidates']}"
        reasons.append(f"{rest} less promising combination{'s' * (rest > 1)}: the race has its {most}")
    return _numbered(grid, kept), reasons


def _merged(default: Sequence[Dimension], own: Sequence[Dimension]) -> list[Dimension]:
    """The dimensions of a default, each replaced by the own one of its key, then the other own ones."""
    return [*({each.name: each for each in default} | {each.name: each for each in own}).values()]


def _numbered(grid: "_Grid", kept: Sequence[tuple[tuple[str, ...], Sequence[tuple[str, ...]]]]) -> list[Candidate]:
    differs = [len({values[place] for values, _ in kept}) > 1 for place in range(len(grid.space))]
    found = []
    for number, (_, own) in enumerate(kept):
        several = [each for overrides, is_own in zip(own, differs, strict=True) if is_own for each in overrides]
        overrides = (*grid.fixed, *(each for overrides in own for each in overrides))
        found.append(Candidate(number, overrides, tuple(several or grid.named)))
    return found


@dataclass
class _Grid:
    """The combinations of a space, checked one after the other.

    Attributes:
        errors: what was raised, and for which combinations or parts of them, by the reason.
        hopeless: parts of combinations that fail whatever the others are.
        named: loss and model of the latest that was checked, as they are typed.
        checks: the configurations of combinations that can be, without multiples of the learning rate.
    """

    fixed: tuple[str, ...]
    space: Sequence[Dimension]
    data: RaceData
    may_download: bool
    num_checked: int = 0
    errors: dict[str, tuple[Exception, list[str]]] = field(default_factory=dict)
    hopeless: list[dict[str, str]] = field(default_factory=list)
    named: tuple[str, ...] = ()
    checks: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)

    def checked(self, values: Sequence[str]) -> list[tuple[str, ...]] | None:
        """The overrides for each key of a combination; None where it cannot be trained, and its reason is kept."""
        mine = {each.name: value for each, value in zip(self.space, values, strict=True)}
        if any(part.items() <= mine.items() for part in self.hopeless):
            return None
        try:
            if self._is_of_same_data(mine):
                self.data.refuse_loss(mine["loss"])
            return self._overrides(mine)
        except (MissingConfigException, DataError):  # an option or a file that is wrong for all
            raise
        except (EmbexpError, HydraException, OmegaConfBaseException) as error:
            part = _culprits(error, mine)
            if part:
                self.hopeless.append(part)
            name = shown([f"{key}={value}" for key, value in (part or mine).items()])
            self.errors.setdefault(_reason(error), (error, []))[1].append(name)
            return None

    def _is_of_same_data(self, mine: Mapping[str, str]) -> bool:
        """Whether only the loss of a combination decides what its rows must become."""
        differs = {key.partition(".")[0] for key in mine}
        return "loss" in mine and not {*_OF_DATA} & differs and "shape" not in map(name_of, self.fixed)

    def _overrides(self, mine: Mapping[str, str]) -> list[tuple[str, ...]]:
        """The overrides, after a run with them was composed and checked.

        Raises:
            EmbexpError, HydraException, OmegaConfBaseException: it cannot be.
        """
        factor = times(mine.get(LEARNING_RATE, ""))
        is_open = [each.name == LEARNING_RATE and factor is not None for each in self.space]
        own = [() if left else each.overrides(mine[each.name]) for each, left in zip(self.space, is_open, strict=True)]
        plain = (*self.fixed, *(override for overrides in own for override in overrides))
        if plain not in self.checks:  # another multiple of a learning rate is as possible
            self.checks[plain] = self._composed(plain)
        if factor is None:
            return own
        rate = (f"{LEARNING_RATE}={rate_of(self.checks[plain], factor)}",)
        return [rate if left else given for given, left in zip(own, is_open, strict=True)]

    def _composed(self, overrides: Sequence[str]) -> dict[str, Any]:
        self.num_checked += 1
        config, choices = composed(overrides)
        resolved = with_mixture(resolve(config))
        names = short_names(resolved, choices)
        self.named = tuple(f"{key}={names[key]}" for key in ("loss", "model"))
        if resolved["dataset"] == self.data.node and not resolved["dataset"]["shapes"]:
            with flag_override(config, "readonly", False):
                OmegaConf.update(config, "dataset.shapes", list(self.data.shapes))
        with _quietly():
            check_without_rows(config, choices)
        self.data.refuse_model(resolved, names["model"], self.may_download)
        return resolved

    def reasons(self) -> list[str]:
        """What was left out and why, a line each."""
        return [f"{some_of(names)}: {reason}" for reason, (_, names) in self.errors.items()]

    def nothing_left(self) -> Exception:
        """The error where no combination can be trained: the only one there is, or one with all reasons."""
        errors = [error for error, _ in self.errors.values()]
        unknown = {unknown_override(error) for error in errors}
        if len(errors) == 1 or (len(unknown) == 1 and None not in unknown):
            return errors[0]
        found = {}
        for error, names in self.errors.values():
            problems = error.problems if isinstance(error, EmbexpError) else [Problem(_reason(error))]
            found |= {problem: f"So {some_of(names)} cannot race" for problem in problems}
        return ConfigError(*(replace(each, note=" ".join(filter(None, (each.note, so)))) for each, so in found.items()))


@contextmanager
def _quietly() -> Iterator[None]:
    """Inside, what each run says of its plan is not said for every candidate."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


_OF_DATA = ("shape", "dataset", "step", "negatives", "silver", "conversion", "mixture")


def _reason(error: Exception) -> str:
    """What is wrong, in one sentence, with the number that only a person knows where one is missing."""
    fixes = []
    if isinstance(error, EmbexpError):
        fixes = [fix for fix in error.problems[0].fix if fix.startswith("conversion.")]
        error = type(error)(error.problems[0])
    return ": ".join([explain(error).partition("\n")[0].partition(" Expected ")[0].rstrip("."), *fixes[:1]])


def _culprits(error: Exception, values: Mapping[str, str]) -> dict[str, str]:
    """The part of a combination because of which it fails whatever the others are; empty where that is not known."""
    heads: tuple[str, ...] = ()
    if isinstance(error, ShapeError):
        heads = ("loss", *_OF_DATA)
    elif isinstance(error, ModelError):
        heads = ("model", "dataset", "max_unknown_tokens")
    elif unknown := unknown_override(error):
        heads = (unknown[0].lstrip("+~").partition(".")[0],)
    return {key: value for key, value in values.items() if key.partition(".")[0] in heads}
