"""What changes a text without a model: a callable of the text and a source of chance."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, Protocol

from embexp.data.values import is_number
from embexp.errors import ConfigError

SHOWN_CHARS = 80  # of each text of an example


class Rewording(Protocol):
    """Changes a text. One that it cannot change it gives back as it is."""

    def __call__(self, text: str, draw: Random) -> str: ...


def reworded(text: str, rewording: Rewording, *seeds: Any) -> str:
    """The text, changed. Text and seeds alone decide how, so the order of the rows changes nothing."""
    return rewording(text, Random(" ".join(map(str, (*seeds, text)))))


def check_share(method: object, share: Any) -> None:
    """Raise ConfigError unless a method's share of words is one, in [0, 1)."""
    if not (is_number(share) and 0 <= share < 1):
        name = type(method).__name__
        raise ConfigError(f"{name}: share={share} was given; expected a number from 0 to below 1, such as 0.1.")


def drawn(places: Iterable[int], num_wanted: int, draw: Random) -> Sequence[int]:
    """So many of the places, drawn and in their order; all where there are fewer."""
    places = list(places)
    return sorted(draw.sample(places, min(num_wanted, len(places))))


def num_changed(share: float, num_words: int) -> int:
    """How many words a share of them is: one at least, none of a share of 0.

    >>> num_changed(0.1, 30), num_changed(0.1, 3), num_changed(0, 30)
    (3, 1, 0)
    """
    return max(1, round(share * num_words)) if share else 0


def shown_change(before: str, after: str) -> str:
    """A text before and after, shortened, as people read it in a report.

    >>> shown_change("a big profit", "a large profit")
    'a big profit -> a large profit'
    """
    return " -> ".join(text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…" for text in (before, after))
