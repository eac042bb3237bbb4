"""What steps refuse: arguments that cannot be meant."""

from collections.abc import Iterable, Iterator
from typing import Any

from embexp.data.values import is_count
from embexp.errors import ConfigError


def refuse(step: str, faults: Iterable[str]) -> None:
    """Raise when there are faults, with all of them in one message.

    Raises:
        ConfigError: there are faults.
    """
    found = list(faults)
    if found:
        raise ConfigError("\n  ".join([f"The step {step} cannot work with its arguments:", *found]))


def count_faults(least: int, **counts: Any) -> Iterator[str]:
    """What is wrong with arguments, by their names, that are to be whole numbers from `least`.

    >>> list(count_faults(1, copies=0, examples=3))
    ['copies=0 must be a whole number from 1.']
    """
    yield from (
        f"{name}={value} must be a whole number from {least}."
        for name, value in counts.items()
        if not is_count(value, least)
    )
