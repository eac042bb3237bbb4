"""Values against types: those of the describing keys, and those that the defaults in conf/ have."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from omegaconf import DictConfig, ListConfig

from embexp.errors import Problem, as_typed, did_you_mean, listed


def problems_with_type(where: str, value: Any, kind: Any) -> Iterator[Problem]:
    """The problems with a value of a describing key, or with what is in it."""
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        known = {each.name: each for each in dataclasses.fields(kind)}
        for name, inner in value.items():
            if name in known:
                yield from problems_with_type(f"{where}.{name}", inner, known[name].type)
            else:
                expected = f"some of: {listed(known)}"
                yield Problem("is not known", f"{where}.{name}", inner, expected, did_you_mean(str(name), known))
        for name in (each.name for each in known.values() if is_required(each) and each.name not in value):
            yield Problem(f"has no {name}", key=where, expected=type_words(known[name].type))
    elif get_origin(kind) is dict and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from problems_with_type(f"{where}.{name}", inner, get_args(kind)[1])
    elif get_origin(kind) is tuple and isinstance(value, list | tuple) and dataclasses.is_dataclass(get_args(kind)[0]):
        for place, inner in enumerate(value):
            yield from problems_with_type(f"{where}.{place}", inner, get_args(kind)[0])
    elif not _fits(value, kind):
        as_list = get_origin(kind) is tuple and not isinstance(value, list | tuple) and _fits([value], kind)
        unknown = [word for word in (value if isinstance(value, list | tuple) else [value]) if isinstance(word, str)]
        choices = _choices(kind)
        near = next((did_you_mean(word, choices) for word in unknown if choices and word not in choices), "")
        fix = (f"{where}={as_typed([value])}",) if as_list else ()
        yield Problem(key=where, given=value, expected=type_words(kind), note=near, fix=fix)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value has a type; one that refers to another (`${loss.scale}`) has any."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind is Any or _is_interpolation(value):
        return True
    if origin is Annotated:
        return inside[1].allow(value)
    if origin is Literal:
        return isinstance(value, str) and value in inside
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(each, inside[0]) for each in value)
    if origin is dict:
        return isinstance(value, Mapping) and all(
            _fits(name, inside[0]) and _fits(value[name], inside[1]) for name in value
        )
    if inside:  # A | B
        return any(_fits(value, each) for each in inside)
    return type(value) in ((int, float) if kind is float else (kind,))


def _choices(kind: Any) -> list[str]:
    """The words that may stand in a value of a type."""
    if get_origin(kind) is Literal:
        return [*get_args(kind)]
    return [*dict.fromkeys(word for inner in get_args(kind) for word in _choices(inner))]


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
    if origin is tuple:
        return "a list" if inside[0] is Any else f"a list, each of it {type_words(inside[0])}"
    if origin is dict:
        return "{such a word: argument}" if get_origin(inside[0]) is Literal else f"by argument {type_words(inside[1])}"
    if inside:
        return ", or ".join(map(type_words, inside))
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "null"}[kind]


def built(value: Any, kind: Any) -> Any:
    """A value that fits, with classes in place of mappings and tuples in place of lists."""
    if dataclasses.is_dataclass(kind):
        types = {each.name: each.type for each in dataclasses.fields(kind)}
        return kind(**{name: built(inner, types[name]) for name, inner in value.items()})
    if get_origin(kind) is tuple:
        return tuple(built(each, get_args(kind)[0]) for each in value)
    if get_origin(kind) is dict:
        return {name: built(inner, get_args(kind)[1]) for name, inner in value.items()}
    return value


def is_required(each: dataclasses.Field) -> bool:
    """Whether a field of a dataclass has no default."""
    return each.default is MISSING and each.default_factory is MISSING


def default_problems(given: DictConfig, defaults: DictConfig) -> Iterator[Problem]:
    """The values whose type differs from that of the default in its YAML file, and datasets without a shape.

    Groups are plain YAML, so OmegaConf takes any value for them: the defaults are their schema.
    """
    yield from dict.fromkeys((*_problems_with_defaults(given, defaults, ""), *_shapes_problems(given, "")))


def _problems_with_defaults(given: Any, default: Any, path: str) -> Iterator[Problem]:
    if isinstance(given, DictConfig) and isinstance(default, DictConfig):
        for key in (key for key in given if key in default):
            where = f"{path}.{key}" if path else str(key)
            yield from _problems_with_defaults(given._get_node(key), default._get_node(key), where)
    elif isinstance(default, ListConfig) and not isinstance(given, ListConfig):
        yield from _list_problems(given._value(), path)
    elif not isinstance(given, DictConfig | ListConfig) and not isinstance(default, DictConfig | ListConfig):
        value, usual = given._value(), default._value()
        if not _is_like(value, usual):
            fix, expected = (f"{path}={as_typed(usual)}",), type_words(type(usual))
            yield Problem(f"is {type_words(type(value))}", path, value, expected, fix=fix)


def _list_problems(value: Any, path: str) -> Iterator[Problem]:
    if value is not None and not _is_interpolation(value) and not isinstance(value, Mapping):
        yield Problem(key=path, given=value, expected="a list", fix=(f"{path}=[{as_typed(value)}]",))


def _shapes_problems(given: Any, path: str) -> Iterator[Problem]:
    """The shapes of every dataset: a list of at least one, or null where only reading can tell."""
    if not isinstance(given, DictConfig) or given._is_none() or given._is_missing() or given._is_interpolation():
        return
    for key in given:
        inner, where = given._get_node(key), f"{path}.{key}" if path else str(key)
        if key == "shapes" and "reader" in given:
            if isinstance(inner, ListConfig) and not inner._is_none() and not len(inner):
                yield Problem("holds no shape", where, [], "one", fix=(f"{where}=[scored_pair]",))
            elif isinstance(inner._value(), str):
                yield from _list_problems(inner._value(), where)
        else:
            yield from _shapes_problems(inner, where)


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value may stand in place of a default."""
    if value is None or usual is None or _is_interpolation(value) or _is_interpolation(usual):
        return True
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(usual, bool) and isinstance(value, bool)
    if isinstance(usual, float):
        return isinstance(value, int | float)
    if isinstance(usual, int):
        # A whole-number default may mean steps where a fraction means a share (warmup_steps: 0 or 0.1).
        return isinstance(value, int) or (isinstance(value, float) and 0 < value < 1)
    return True


def _is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value
