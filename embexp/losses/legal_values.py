"""Which values the arguments of a loss or a modifier may have: the key `_values_` of its YAML."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from embexp.errors import ConfigError, did_you_mean, listed


@dataclass(frozen=True)
class Values:
    """What an argument may be; what is left out bounds nothing.

    Attributes:
        one_of: words.
        many: a list, each of whose members must be so, and which has one at least.
        holds: a word that the list must have.
        above, least, below, most: bounds of a number: > above, >= least, < below, <= most.
        whole: a number without a fraction.
        optional: null is a value, too; else it is refused.
    """

    one_of: tuple[str, ...] = ()
    many: bool = False
    holds: str | None = None
    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None
    whole: bool = False
    optional: bool = False

    def allow(self, value: Any) -> bool:
        """Whether an argument may be this.

        >>> [Values(above=0).allow(value) for value in (0.1, 0, None, True, "0.1")]
        [True, False, False, False, False]
        """
        if value is None:
            return self.optional
        if not self.many:
            return self._allow_one(value)
        is_filled = isinstance(value, list) and len(value) > 0 and self.holds in (None, *value)
        return is_filled and all(self._allow_one(member) for member in value)

    def _allow_one(self, value: Any) -> bool:
        if self.one_of:
            return value in self.one_of
        bounds = [bound for bound in (self.above, self.least, self.below, self.most) if bound is not None]
        if not bounds:
            return True
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return not (
            (self.above is not None and not value > self.above)
            or (self.least is not None and not value >= self.least)
            or (self.below is not None and not value < self.below)
            or (self.most is not None and not value <= self.most)
        )

    def in_words(self) -> str:
        """What is expected, for a message.

        >>> Values(above=0, below=1, optional=True).in_words()
        'a number above 0 and below 1, or null'
        """
        parts = [
            f"{word} {bound}"
            for word, bound in (
                ("above", self.above),
                ("of at least", self.least),
                ("below", self.below),
                ("of at most", self.most),
            )
            if bound is not None
        ]
        expected = (
            f"a {'whole ' if self.whole else ''}number {' and '.join(parts)}" if parts else "a value other than null"
        )
        expected = f"one of: {listed(self.one_of)}" if self.one_of else expected
        if self.many:
            expected = f"a list, {f'{self.holds} in it, ' if self.holds else ''}each of it {expected}"
        return f"{expected}, or null" if self.optional else expected


def values_of(name: str, node: Mapping[str, Any]) -> dict[str, Values]:
    """The `_values_` of a YAML, by argument.

    Raises:
        ConfigError: one is described by a word that is not known.
    """
    known = [field.name for field in dataclasses.fields(Values)]
    found = {}
    for argument, given in (node.get("_values_") or {}).items():
        if unknown := [key for key in given if key not in known]:
            raise ConfigError(
                f"{name} has _values_ of {argument} with {listed(unknown)}. Expected some of: {listed(known)}. "
                f"{did_you_mean(unknown[0], known)}".strip()
            )
        found[argument] = Values(**{**given, "one_of": tuple(given.get("one_of") or ())})
    return found


def value_misfits(group: str, name: str, call: Mapping[str, Any], values: Mapping[str, Values]) -> Iterator[str]:
    """What is wrong with the arguments of a YAML in the group `loss` or `modifier`, and what to type."""
    for argument, legal in values.items():
        if argument in call and not legal.allow(call[argument]):
            yield _misfit(f"{group}.{argument}", call[argument], legal, f"conf/{group}/{name}.yaml")


def _misfit(key: str, value: Any, legal: Values, file: str) -> str:
    shown = "null" if value is None else f"[{listed(value)}]" if isinstance(value, list) else value
    unknown = [word for word in (value if isinstance(value, list) else [value]) if word not in legal.one_of]
    hint = did_you_mean(str(unknown[0]), legal.one_of) if legal.one_of and unknown else ""
    return (
        f"{key}={shown} was given. Expected {legal.in_words()}. {hint + ' ' if hint else ''}"
        f"Type {key}=<value>, or leave it out for that of {file}."
    )
