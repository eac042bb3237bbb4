"""What a study searches, read from overrides in Hydra's grammar for sweeps."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts, quoted
from embexp.config.compose import composed
from embexp.config.session import shell_command
from embexp.errors import ConfigError, listed
from embexp.experiment.fingerprint import CHANGE_NOTHING

if TYPE_CHECKING:
    from optuna.trial import Trial


_MOST_LISTED = 100  # combinations: a race looks at no more


@dataclass(frozen=True)
class _Choices:
    """A key of which some values are tried: each as it would be typed."""

    key: str
    values: tuple[str, ...]

    def sample(self, trial: "Trial") -> str:
        """The value of this trial."""
        return trial.suggest_categorical(name_of(self), self.values)

    def checked(self) -> tuple[Any, ...]:
        """Values that must fit so that all do."""
        return self.values

    def listed(self) -> tuple[str, ...]:
        """All values."""
        return self.values


@dataclass(frozen=True)
class _Interval:
    """A key whose value is sampled from a range of numbers with both its ends: whole ones if `low` is whole.

    Attributes:
        step: between the values that may be sampled; None where any may.
        log: sample evenly on a logarithmic scale.
    """

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False

    def sample(self, trial: "Trial") -> float:
        """The value of this trial."""
        if isinstance(self.low, int):
            return trial.suggest_int(name_of(self), self.low, self.high, step=self.step or 1, log=self.log)
        return trial.suggest_float(name_of(self), self.low, self.high, step=self.step, log=self.log)

    def checked(self) -> tuple[Any, ...]:
        """Values that must fit so that all do."""
        return self.low, self.high

    def listed(self) -> tuple[str, ...] | None:
        """All values of a range with steps, where these are few; None where they are not."""
        count = int((self.high - self.low) / self.step + 1.5) if self.step else _MOST_LISTED + 1
        if count > _MOST_LISTED:
            return None
        return tuple(f"{self.low + place * self.step:.12g}" for place in range(count))


Dimension = _Choices | _Interval


def name_of(dimension: Dimension) -> str:
    """The key without the plus that adds it."""
    return dimension.key.lstrip("+")


_OWN = ("trials", "tune")  # keys of the command that no run has
_NOT_SEARCHED = {
    **dict.fromkeys({*CHANGE_NOTHING, *_OWN, "tracking", "export"} - {"experiment"}, "it changes no result"),
    **dict.fromkeys(("evaluator", "primary_metric"), "trials that are measured differently cannot be compared"),
}
MULTIRUN = {"-m", "--multirun"}


def with_space(arguments: Sequence[str]) -> list[str]:
    """The arguments with all that search in the list `tune.space`, sorted, so that another order is no new study.

    >>> with_space(["loss.scale=10,20", "loss=mnrl", "threads=range(1,3)"])
    ['loss=mnrl', 'tune.space=["loss.scale=10,20","threads=range(1,3)"]']

    Raises:
        ConfigError: -m was typed, or a list for a group of which a run has one option.
    """
    if MULTIRUN & {*arguments}:
        raise ConfigError("-m was typed", expected="none: embexp.tune searches by itself")
    expanded = quote_texts(expand_paths(arguments, mixes=True))
    searching = sorted(argument for argument in expanded if _searches(argument))
    others = [argument for argument in expanded if argument not in searching]
    return [*others, f"tune.space=[{','.join(map(quoted, searching))}]"] if searching else others


def _searches(argument: str) -> bool:
    try:
        return "=" in argument and OverridesParser.create().parse_override(argument).is_sweep_override()
    except HydraException:  # Hydra reports it once it reads all of them
        return False


def read_space(typed: Sequence[str], fixed: Sequence[str]) -> tuple[Dimension, ...]:
    """The dimensions of a search, in a command in which Hydra has started.

    Args:
        typed: an override for each key that is searched.
        fixed: those of the keys that are not.

    Raises:
        ConfigError: nothing is searched, a key is typed twice or cannot be searched, or a range holds nothing.
    """
    from hydra.core.global_hydra import GlobalHydra

    if not typed:
        raise ConfigError(
            "Nothing is searched",
            expected="at least one key with several values",
            fix=("loss.scale=10,20", "'trainer.learning_rate=tag(log, interval(1e-5, 1e-3))'"),
        )
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    space = tuple(_dimension(override) for override in parser.parse_overrides([*typed]))
    keys = [name_of(each) for each in space] + [override.lstrip("+").partition("=")[0] for override in fixed]
    if twice := sorted({key for key in keys[: len(space)] if keys.count(key) > 1}):
        raise ConfigError(f"{listed(twice)} was typed more than once", expected="either one value, or all to search")
    return space


def _dimension(override: Override) -> Dimension:
    key, typed = override.get_key_element(), override.input_line
    if reason := _NOT_SEARCHED.get(key.lstrip("+").partition(".")[0].partition("/")[0]):
        fix = (f"{key}=<one value>", f"{key}=[a,b]")
        raise ConfigError(f"{typed} cannot be searched: {reason}", expected="one value, or a list in brackets", fix=fix)
    value = override.value()
    if isinstance(value, IntervalSweep):
        return _interval(key, typed, [value.start, value.end], None, value.tags)
    if isinstance(value, RangeSweep):
        numbers = sorted(value.range())
        return _interval(key, typed, [*numbers[:1], *numbers[-1:]], abs(value.step), value.tags)
    if hasattr(value, "shuffle"):
        value.shuffle = False  # the sampler knows no order
    return _Choices(key, tuple(dict.fromkeys(override.sweep_string_iterator())))


def _interval(key: str, typed: str, ends: Sequence[float], step: float | None, tags: set[str]) -> _Interval:
    log = "log" in tags
    if tags - {"log"} or (log and step is not None):
        expected, fix = "the tag log around an interval", f"'{key}=tag(log, interval(<low>, <high>))'"
        raise ConfigError(f"{typed} cannot be read", expected=expected, fix=fix)
    if not ends or ends[0] > ends[1] or (log and ends[0] <= 0):
        expected = f"the lower end first{' above 0' if log else ''}, then the higher one"
        raise ConfigError(f"{typed} holds no values", expected=expected)
    return _Interval(key, *ends, step=step, log=log)


def run_overrides(typed: Sequence[str]) -> list[str]:
    """Of the command's overrides those that say what is run.

    >>> run_overrides(["loss=mnrl", "trials=5", "tune.seed=1", "tune/pruner=none"])
    ['loss=mnrl']
    """
    return [each for each in typed if each.lstrip("+~").partition("=")[0].replace("/", ".").split(".")[0] not in _OWN]


def first_values(space: Sequence[Dimension]) -> list[str]:
    """The overrides of the first value of each dimension."""
    return [f"{each.key}={each.checked()[0]}" for each in space]


def check_values(space: Sequence[Dimension], fixed: Sequence[str]) -> None:
    """Compose a run for every value of a choice and both ends of an interval (not for every combination).

    Raises:
        EmbexpError: a value that does not fit its key.
    """
    first = first_values(space)
    composed([*fixed, *first])
    for place, dimension in enumerate(space):
        for value in dimension.checked()[1:]:
            composed([*fixed, *first[:place], f"{dimension.key}={value}", *first[place + 1 :]])


def refuse_lists(space: Sequence[Dimension], fixed: Sequence[str], trials: int) -> None:
    """Raise ConfigError with the race's command where all that is searched is listed, in at most 100 combinations.

    A race compares what is listed with the error under control; a study that has begun goes on as it began.
    """
    values = {each.key: each.listed() for each in space}
    if None in values.values() or (combinations := math.prod(map(len, values.values()))) > _MOST_LISTED:
        return
    raced = [f"{key}={','.join(each)}" for key, each in values.items() if key.lstrip("+") not in ("seed", "vary")]
    command = [*fixed, *raced, f"race.max_candidates={min(trials, combinations)}"]
    raise ConfigError(
        f"All {combinations} combinations are listed: a race compares them, each with as many seeds as it needs",
        expected="an interval, which a study searches, or the race",
        fix=shell_command("race", map(shlex.quote, command)),
    )
