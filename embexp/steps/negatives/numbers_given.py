"""Arguments that must be numbers: what is wrong with those that are not, with the key under which they were typed."""

from collections.abc import Iterator
from math import inf, isfinite
from typing import Any


def faults_of(
    key: str, value: Any, such_as: float, whole: bool = False, least: float = -inf, most: float = inf
) -> Iterator[str]:
    """One line when the value is no finite number, or not within the limits.

    >>> [*faults_of("retriever.b", 7, such_as=0.75, least=0, most=1)]
    ['retriever.b=7 was given. Expected a number from 0 to 1: type retriever.b=0.75.']
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not isfinite(value) or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        limits = f" from {least}" * (least > -inf) + f" to {most}" * (most < inf)
        yield f"{key}={value} was given. Expected {kind}{limits}: type {key}={such_as}."
