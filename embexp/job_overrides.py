"""Overrides of a multirun that its jobs alone are to see.

Hydra composes a multirun once without what is swept, of the default option of each group, and applies the other
overrides to that: `loss=contrastive,triplet loss.margin=0.3` would fail, since the default loss has no margin. It
leaves out sweeps, though, and a choice of one value is a sweep.
"""

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

MULTIRUN = {"-m", "--multirun"}
OF_THE_MULTIRUN = ("hydra", "sweep", "tracking", "paths")  # what the multirun itself reads
CHOICE = "=choice("


def leave_to_jobs(arguments: Sequence[str]) -> list[str]:
    """The arguments of a multirun with every override that its jobs read as a choice of one value.

    `null` stays as it is: a choice cannot hold it. So do deletions (`~key`).

    >>> leave_to_jobs(["-m", "loss=contrastive,angle", "loss.margin=0.3", "sweep.workers=2"])
    ['-m', 'loss=contrastive,angle', 'loss.margin=choice(0.3)', 'sweep.workers=2']
    >>> leave_to_jobs(["loss=angle", "loss.scale=3"])
    ['loss=angle', 'loss.scale=3']
    """
    if not MULTIRUN & {*arguments} or any(argument.startswith("hydra/sweeper=") for argument in arguments):
        return [*arguments]
    return [_as_choice(argument) for argument in arguments]


def as_typed(override: str) -> str:
    """An override as it was before `leave_to_jobs`.

    >>> as_typed("loss.margin=choice(0.3)"), as_typed("seed=choice(1,2)"), as_typed("seed=1")
    ('loss.margin=0.3', 'seed=choice(1,2)', 'seed=1')
    """
    key, sign, value = override.partition(CHOICE)
    if not sign or len(_choices_of(override)) != 1:
        return override
    return f"{key}={value.removesuffix(')')}"


def _as_choice(argument: str) -> str:
    key, sign, value = argument.partition("=")
    if not sign or key.startswith(("-", "~")) or key.lstrip("+").startswith(OF_THE_MULTIRUN):
        return argument
    parsed = _parsed(argument)
    if parsed is None or parsed.is_sweep_override():
        return argument
    choice = f"{key}{CHOICE}{value})"
    return choice if len(_choices_of(choice)) == 1 else argument


def _choices_of(override: str) -> list[str]:
    parsed = _parsed(override)
    return [*parsed.sweep_string_iterator()] if parsed and parsed.is_discrete_sweep() else []


def _parsed(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:  # told by Hydra, which reads it next
        return None
