"""Types of values: whether a value fits, the type in words, and those in the source of a library."""

import ast
import dataclasses
import functools
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from embexp.errors import listed


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
