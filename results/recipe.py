"""Which recipes are measured, by what command, at which size."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.cli.quoting import quoted
from embexp.config.compose import option_of
from embexp.errors import ConfigError, did_you_mean, listed
from embexp.experiment.sweep_record import SWEEP, read_sweep, sweep_key

DATA = "paths.data"
BUNDLED = "bundled"  # as a value of it: rows that come with embexp
# A text that Hydra's grammar reads as that text without quotes.
PLAIN = re.compile(r"(?!(?:null|true|false|nan|inf)$)(?:[A-Za-z]|\.{0,2}/)[\w/.:@%+-]*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Recipe:
    """One sweep: a recipe with its controls, each with every seed.

    Attributes:
        overrides: what is typed after `python -m embexp -m`.
        published: the figure to compare with, in words.
        folder: of the sweep; another one for other overrides or package versions.
    """

    name: str
    overrides: tuple[str, ...]
    published: str
    folder: Path

    @property
    def command(self) -> str:
        """What a person types to run it by itself; the folder of data is theirs to name."""
        typed = (f"{DATA}=<folder>" if each.startswith(f"{DATA}=") else each for each in self.overrides)
        return f"python -m embexp -m {' '.join(map(_in_shell, typed))}"

    @property
    def has_ended(self) -> bool:
        """Whether its sweep came to its end: every job has had its turn, failed ones among them."""
        return (self.folder / SWEEP).is_file() and read_sweep(self.folder)["ended"]


def _in_shell(override: str) -> str:
    return override if override.endswith("=<folder>") else shlex.quote(override)


def recipes_of(settings: Mapping[str, Any], size_name: str, tracking: str) -> list[Recipe]:
    """The recipes of a configuration that are measured at its size, in its order.

    Args:
        tracking: the chosen option of that group, which their runs get, too.

    Raises:
        ConfigError: lists sizes and names of recipes that there are not, or not at this size, and a missing folder.
    """
    if problems := [*_problems(settings, size_name)]:
        raise ConfigError("\n".join(problems))
    known, size, data = settings["recipes"], settings["size"], settings["paths"]["data"]
    shared = [*size["common"], *_tracked(settings["tracking"], tracking), *settings["more"]]
    shared += [f"{DATA}={as_typed(data)}"] if data else []
    seeds = f"seed={','.join(map(str, size['seeds']))}"
    found = []
    for name, recipe in known.items():
        sizes = size["recipes"].get(name, ())
        if sizes is None:
            continue
        overrides = (*recipe["overrides"], *sizes, *shared, seeds)
        folder = Path(settings["paths"]["sweeps"]) / "reproduce" / f"{name}-{sweep_key(overrides, name)[:8]}"
        found.append(Recipe(name, overrides, recipe["published"], folder))
    return found


def _tracked(node: Mapping[str, Any], option: str) -> list[str]:
    """What is typed for the same tracker with the same settings."""
    usual = option_of("tracking", option)
    given = {key: value for key, value in node.items() if not key.startswith("_") and value != usual[key]}
    return [f"tracking={option}", *(f"tracking.{key}={as_typed(value)}" for key, value in given.items())]


def as_typed(value: Any) -> str:
    """A value as it is typed after `key=`.

    >>> [as_typed(value) for value in (None, True, 5, "../data", "a, b", "null")]
    ['null', 'true', '5', '../data', '"a, b"', '"null"']
    """
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) else quoted(value)
    return json.dumps(value)


def _problems(settings: Mapping[str, Any], size_name: str) -> Iterator[str]:
    known, sizes, only = settings["recipes"], settings["size"]["recipes"], settings["only"] or ()
    yield from _unknown("size.recipes", sizes, known)
    yield from _unknown("only", only, known)
    for name in only:
        if name in known and sizes.get(name, ()) is None:
            yield f"only: {name} is not measured at size={size_name}. Leave it out, or type another size=."
    data = settings["paths"]["data"]
    if data and data != BUNDLED and not Path(data).is_dir():
        yield f"{DATA}={data} is no folder. Expected one with public data sets, or {BUNDLED}: type {DATA}=<folder>."


def _unknown(key: str, names: Sequence[str], known: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: {name} is no recipe. Expected some of: {listed(known)}. {did_you_mean(name, known)}".strip()
        for name in names
        if name not in known
    ]
