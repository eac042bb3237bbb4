"""Which recipes are measured, by what command, at which size."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.config import option_of
from embexp.errors import ConfigError, did_you_mean, listed
from embexp.sweep.record import sweep_key

DATA = "paths.data"


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
        return f"python -m embexp -m {' '.join(map(_quoted, typed))}"


def _quoted(override: str) -> str:
    return override if override.endswith("=<folder>") else shlex.quote(override)


def recipes_of(settings: Mapping[str, Any], tracking: str) -> list[Recipe]:
    """The recipes of a configuration that are measured at its size, in its order.

    Args:
        tracking: the chosen option of that group, which their runs get, too.

    Raises:
        ConfigError: lists sizes and names of recipes that there are not.
    """
    known, size = settings["recipes"], settings["size"]
    if misfits := [*_unknown("size.recipes", size["recipes"], known), *_unknown("only", settings["only"] or (), known)]:
        raise ConfigError("\n".join(misfits))
    data = settings["paths"]["data"]
    shared = [*size["common"], *_tracked(settings["tracking"], tracking), *settings["more"]]
    shared += [f"{DATA}={data}"] if data else []
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
    return [f"tracking={option}", *(f"tracking.{key}={value}" for key, value in given.items())]


def _unknown(key: str, names: Sequence[str], known: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: {name} is no recipe. Expected some of: {listed(known)}. {did_you_mean(name, known)}".strip()
        for name in names
        if name not in known
    ]
