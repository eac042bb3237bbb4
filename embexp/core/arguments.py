"""Checking arguments that a user gave: types, bounds, choices, counts. Every problem names its key and what to type."""

import ast
import dataclasses
import functools
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from embexp.errors import ConfigError, Problem, did_you_mean, listed


@dataclass(frozen=True)
class LegalValues:
    """What an argument may be; what is left out bounds nothing.

    Attributes:
        one_of: words.
        many: a list, each of whose members must be so, and which has one at least.
        holds: a word that the list must have.
        above, least, below, most: bounds of a number: > above, >= least, < below, <= most.
        whole: a number without a fraction.
        number: a finite number, without bounds.
        steps: a number of steps: from 1 on without a fraction; below 1 a share of all steps.
        flag: true or false.
        text: a text that is not blank.
        besides: a value that is one, too, outside of the bounds.
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
    number: bool = False
    steps: bool = False
    flag: bool = False
    text: bool = False
    besides: float | str | None = None
    optional: bool = False

    def allow(self, value: Any) -> bool:
        """Whether an argument may be this.

        >>> [LegalValues(above=0).allow(value) for value in (0.1, 0, None, True, "0.1", float("nan"))]
        [True, False, False, False, False, False]
        """
        if value is None:
            return self.optional
        if not self.many:
            return self._allow_one(value)
        is_filled = isinstance(value, list | tuple) and len(value) > 0 and self.holds in (None, *value)
        return is_filled and all(self._allow_one(member) for member in value)

    def _allow_one(self, value: Any) -> bool:
        if self.flag or isinstance(value, bool):
            return isinstance(value, bool) and (self.flag or not self._is_bounded)
        if self.besides is not None and value == self.besides:
            return True
        if self.one_of:
            return isinstance(value, str) and value in self.one_of
        if self.text:
            return isinstance(value, str) and bool(value.strip())
        if not self._is_number:
            return True
        if not isinstance(value, int if self.whole else int | float) or not abs(value) < inf:
            return False
        if isinstance(value, int) and abs(value) >= _TOO_LARGE:
            return False
        if self.steps and value >= 1 and value != int(value):
            return False
        return not (
            (self.above is not None and not value > self.above)
            or (self.least is not None and not value >= self.least)
            or (self.below is not None and not value < self.below)
            or (self.most is not None and not value <= self.most)
        )

    @property
    def _is_bounded(self) -> bool:
        return self._is_number or self.text or bool(self.one_of)

    @property
    def _is_number(self) -> bool:
        return self.number or self.whole or self.steps or any(bound is not None for _, bound in self._bounds)

    @property
    def _bounds(self) -> tuple[tuple[str, float | None], ...]:
        return (("above", self.above), ("of at least", self.least), ("below", self.below), ("of at most", self.most))

    def __str__(self) -> str:
        """What is expected, for a message.

        >>> print(LegalValues(above=0, below=1, optional=True))
        a number above 0 and below 1, or null
        """
        bounds = " and ".join(f"{word} {bound:,}" for word, bound in self._bounds if bound is not None)
        number = f"a {'whole ' if self.whole else ''}number {bounds}".strip()
        number += ", without a fraction from 1 on" if self.steps else ""
        expected = number if self._is_number else "a text that is not blank" if self.text else "a value other than null"
        expected = f"one of: {listed(self.one_of)}" if self.one_of else "true or false" if self.flag else expected
        expected += "" if self.besides is None else f", or {self.besides}"
        if self.many:
            expected = f"a list, {f'{self.holds} in it, ' if self.holds else ''}each of it {expected}"
        return f"{expected}, or null" if self.optional else expected


_TOO_LARGE = 2**63  # no library's whole numbers reach so far

COUNT = LegalValues(least=1, whole=True)
SHARE = LegalValues(above=0, most=1)
TEXT = LegalValues(text=True)
COUNT_FROM_0 = LegalValues(least=0, whole=True)  # a count that may be 0
RESAMPLES = LegalValues(least=40, most=10**6, whole=True)  # of fewer the 2.5th percentile is the smallest
SEED = LegalValues(least=0, below=2**32, whole=True)  # as numpy takes it


def problems_with(key: str, value: Any, legal: LegalValues, such_as: Any = None, note: str = "") -> Iterator[Problem]:
    """The problem with an argument, where there is one.

    Args:
        such_as: a value to type; without one the hint shows where the value goes.

    >>> print(*problems_with("retriever.b", 7, LegalValues(least=0, most=1), such_as=0.75))
    retriever.b=7 was given. Expected a number of at least 0 and of at most 1.
    hint: type retriever.b=0.75
    """
    if legal.allow(value):
        return
    unknown = [word for word in (value if isinstance(value, list | tuple) else [value]) if word not in legal.one_of]
    near = did_you_mean(str(unknown[0]), legal.one_of) if legal.one_of and unknown else ""
    nearest = get_close_matches(str(value), legal.one_of, n=1, cutoff=0.5)
    example = nearest[0] if nearest else "<value>" if such_as is None else such_as
    fix = f"{key}={str(example).lower() if isinstance(example, bool) else example}"
    yield Problem(key=key, given=value, expected=str(legal), note=" ".join(filter(None, (near, note))), fix=(fix,))


def problems_with_all(legal: Mapping[str, LegalValues], given: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems with all arguments that are given and bounded, in the order of `legal`."""
    for name, values in legal.items():
        if name in given:
            yield from problems_with(name, given[name], values)


def refuse(problems: Iterable[Problem], under: str = "") -> None:
    """Raise ConfigError with all problems, where there are any.

    Args:
        under: the key below which the arguments stand, such as `dataset.steps.clean`.
    """
    found = [problem.under(under) if under else problem for problem in problems]
    if found:
        raise ConfigError(*found)


def fits(value: Any, kind: Any) -> bool:
    """Whether a value has a type; one that refers to another (`${loss.scale}`) has any."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind is Any or isinstance(kind, str | TypeVar) or is_interpolation(value):
        return True
    if origin is Annotated:
        return inside[1].allow(value)
    if origin is Literal:
        return isinstance(value, str) and value in inside
    if kind in _LISTS or origin in _LISTS:
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return is_list and all(fits(each, kind) for each in value for kind in inside[:1])
    if kind in _MAPPINGS or origin in _MAPPINGS:
        return isinstance(value, Mapping) and all(
            fits(name, inside[0]) and fits(value[name], inside[1]) for name in value if inside
        )
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in inside)
    return type(value) in _PLAIN[kind] if kind in _PLAIN else True


_LISTS, _MAPPINGS = (tuple, list, Sequence), (dict, Mapping)
_PLAIN = {bool: (bool,), int: (int,), float: (int, float), str: (str,), NoneType: (NoneType,)}


def choices_of(kind: Any) -> list[str]:
    """The words among which a type lets one choose, none where it does not."""
    if get_origin(kind) is Literal:
        return [*get_args(kind)]
    return [*dict.fromkeys(word for inner in get_args(kind) for word in choices_of(inner))]


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "null"}


def type_words(kind: Any) -> str:
    """What is expected, for a message and for the page.

    >>> type_words(tuple[str, ...]), type_words(Literal["a", "b"] | None)
    ('a list, each of it a text', 'one of: a, b, or null')
    """
    origin, inside = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return f"a mapping with some of: {listed(each.name for each in dataclasses.fields(kind))}"
    if origin is Annotated:
        return str(inside[1])
    if origin is Literal:
        return f"one of: {listed(inside)}"
    if kind in _LISTS or origin in _LISTS:
        return f"a list, each of it {type_words(inside[0])}" if inside and inside[0] is not Any else "a list"
    if origin is dict and kind is not dict:
        return "{such a word: argument}" if get_origin(inside[0]) is Literal else f"by argument {type_words(inside[1])}"
    if kind in _MAPPINGS or origin in _MAPPINGS:
        return "a mapping"
    if inside:
        return ", or ".join(dict.fromkeys(map(type_words, inside)))
    return _WORDS.get(kind) or "a value of its own kind"


def is_interpolation(value: Any) -> bool:
    """Whether a value refers to another key."""
    return isinstance(value, str) and "${" in value


def texts_in(value: Any) -> Iterator[str]:
    """The texts of a value, at any depth; not the keys of mappings.

    >>> [*texts_in({"a": "x", "b": [1, {"c": "y"}]})]
    ['x', 'y']
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)


TRAINING_ARGUMENTS = ("transformers.training_args", "TrainingArguments")


@functools.cache
def enumeration_values(module: str, name: str) -> tuple[str, ...]:
    """The values of an enumeration.

    >>> enumeration_values("transformers.trainer_utils", "IntervalStrategy")
    ('no', 'steps', 'epoch')
    """
    return tuple(ast.literal_eval(each.value) for each in _body_of(module, name) if isinstance(each, ast.Assign))


@functools.cache
def field_defaults(module: str, name: str) -> dict[str, Any]:
    """The fields of a dataclass, without those of its parents, and their defaults; None where that is no literal.

    >>> field_defaults(*TRAINING_ARGUMENTS)["adam_beta1"]
    0.9
    """
    fields = (each for each in _body_of(module, name) if isinstance(each, ast.AnnAssign))
    return {each.target.id: _default_in(each.value) for each in fields}


def _default_in(call: ast.expr | None) -> Any:
    found = [each.value for each in getattr(call, "keywords", ()) if each.arg == "default"]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def _body_of(module: str, name: str) -> list[ast.stmt]:
    """The statements of a class of a module, which is not imported; neither is its package."""
    package, *inner = module.split(".")
    place = Path(importlib.util.find_spec(package).origin).parent.joinpath(*inner).with_suffix(".py")
    source = ast.parse(place.read_text(encoding="utf-8"))
    return next(each.body for each in source.body if isinstance(each, ast.ClassDef) and each.name == name)
