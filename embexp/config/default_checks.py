"""Checks of a composed configuration against its YAML files: values of the type of their default, none left out."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from embexp.config.session import option_files
from embexp.core.arguments import is_interpolation, type_words
from embexp.core.file_contents import bytes_of
from embexp.errors import Problem, as_typed, listed

_TOO_LARGE = 2**63


def default_problems(given: DictConfig, defaults: DictConfig) -> Iterator[Problem]:
    """The values whose type differs from that of the default in its YAML file, and datasets without a shape.

    Groups are plain YAML, so OmegaConf takes any value for them: the defaults are their schema.
    """
    problems = (*_problems_with_defaults(given, defaults, ""), *_shapes_problems(given, ""), *_size_problems(given))
    yield from dict.fromkeys((*problems, *_problems_with_numbers(OmegaConf.to_container(given), "")))


_WHOLE = ("paths", "dataset", "sweep", "auto")  # mappings of which nothing can be left out
_MAY_BE_NULL = ("modifier", "evaluator", "guard", "experiment", "test", "dev")  # groups at the top


def left_out_problems(
    given: Mapping[str, Any], defaults: Mapping[str, Any], needed: Callable[[str], Collection[str]], path: str = ""
) -> Iterator[Problem]:
    """The keys that were taken out of what the YAML files say (`~paths.cache`), and that are needed.

    Of a call these are the arguments without a default.

    Args:
        given, defaults: as plain values; interpolations may be unresolved.
        needed: the arguments without a default of a callable, by its dotted path.
    """
    target = defaults.get("_target_")
    if target != given.get("_target_"):
        return  # another call, with arguments of its own
    for key, default in defaults.items():
        where, value = f"{path}.{key}" if path else str(key), given.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            if target is None or "_target_" in default:  # what else is in a call is the value of an argument
                yield from left_out_problems(value, default, needed, where)
            continue
        is_out = key not in given or (not path and value is None and isinstance(default, Mapping))
        if is_out and default is not None and _is_needed(key, path, defaults, needed):
            expected = f"one of: {listed(options)}" if (options := option_files(where)) else "a value"
            is_plain = not (default and isinstance(default, Mapping)) and not is_interpolation(default)
            fix = (f"++{where}={as_typed(default)}",) if is_plain else ()
            yield Problem("was taken out, and is needed", where, expected=expected, fix=fix)


def _is_needed(key: Any, path: str, defaults: Mapping[str, Any], needed: Callable[[str], Collection[str]]) -> bool:
    if "_target_" in defaults:
        return key in needed(defaults["_target_"])
    if "default" in defaults:  # the value of all names that have none of their own
        return key == "default"
    return path.rpartition(".")[2] in _WHOLE if path else key not in _MAY_BE_NULL


def _problems_with_numbers(given: Any, path: str) -> Iterator[Problem]:
    """Numbers that no key can mean, at any depth: nan, inf, and whole ones that no library holds."""
    if isinstance(given, Mapping | list):
        for key, value in given.items() if isinstance(given, Mapping) else enumerate(given):
            yield from _problems_with_numbers(value, f"{path}.{key}".lstrip("."))
    elif (isinstance(given, float) and not isfinite(given)) or (isinstance(given, int) and abs(given) >= _TOO_LARGE):
        yield Problem(key=path, given=given, expected="a finite number of at most 18 digits")


def _problems_with_defaults(given: Any, default: Any, path: str) -> Iterator[Problem]:
    if isinstance(given, DictConfig) and isinstance(default, DictConfig):
        for key in (key for key in given if key in default):
            where = f"{path}.{key}" if path else str(key)
            yield from _problems_with_defaults(given._get_node(key), default._get_node(key), where)
    elif isinstance(default, ListConfig) and not isinstance(given, ListConfig):
        yield from _list_problems(given._value(), path, OmegaConf.to_container(default))
    elif isinstance(default, DictConfig) and isinstance(given._value(), int | float):
        if "default" in default:  # a number for each name, or one for all
            return
        yield Problem(
            key=path,
            given=given._value(),
            expected=f"a mapping with some of: {listed(default)}" if len(default) else "a mapping",
        )
    elif isinstance(given, DictConfig | ListConfig) and not isinstance(default, DictConfig | ListConfig):
        usual = default._value()
        if isinstance(usual, int | float) and not given._is_none():
            value, fix = OmegaConf.to_container(given), (f"{path}={as_typed(usual)}",)
            yield Problem(key=path, given=value, expected=type_words(type(usual)), fix=fix)
    elif not isinstance(given, DictConfig | ListConfig) and not isinstance(default, DictConfig | ListConfig):
        value, usual = given._value(), _resolved(default)
        if not _is_like(value, usual):
            fix, expected = (f"{path}={as_typed(usual)}",), type_words(type(usual))
            yield Problem(f"is {type_words(type(value))}", path, value, expected, fix=fix)


def _resolved(node: Any) -> Any:
    """The value of a default; of one that refers to another (the model's learning rate) that other's value."""
    try:
        return node._dereference_node()._value() if node._is_interpolation() else node._value()
    except InterpolationResolutionError:  # what it refers to is not among the defaults
        return node._value()


def _list_problems(value: Any, path: str, usual: Sequence[Any] = ()) -> Iterator[Problem]:
    """One value in place of a list. Of texts a list may be that text alone; one of numbers follows rules of its own."""
    if value is not None and not is_interpolation(value) and not isinstance(value, Mapping):
        is_one = not usual or (isinstance(value, str) and isinstance(usual[0], str))
        yield Problem(
            key=path, given=value, expected="a list", fix=(f"{path}={as_typed([value] if is_one else usual)}",)
        )


def _shapes_problems(given: Any, path: str) -> Iterator[Problem]:
    """The shapes of every dataset: a list of at least one, or null where only reading shows it."""
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


def _size_problems(given: DictConfig) -> Iterator[Problem]:
    """A size of the cache that cannot be read."""
    node = given.get("paths")
    value = None if node is None or "cache_size" not in node else _resolved(node._get_node("cache_size"))
    if value is None or isinstance(value, bool) or is_interpolation(value) or bytes_of(value):
        return
    key, expected = "paths.cache_size", "a size above 0 with its unit, such as 500MB, 20GB or 1TB; null: no limit"
    number = re.match(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?![a-z]{3})", str(value), re.IGNORECASE)
    is_near = number and bytes_of(f"{number[1]}GB")
    near = f"{key}={number[1]}{(number[2] or 'G').upper()}B" if is_near else f"{key}=20GB"
    note = "paths.cache=null keeps nothing." if number and not is_near else ""
    yield Problem("is no size", key, value, expected, note, (near, f"{key}=null"))


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value may stand in place of a default."""
    if value is None or usual is None or is_interpolation(value) or is_interpolation(usual):
        return True
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(usual, bool) and isinstance(value, bool)
    if isinstance(usual, float):
        return isinstance(value, int | float)
    if isinstance(usual, int):
        # A whole-number default may mean steps where a fraction means a share (warmup_steps: 0 or 0.1).
        return isinstance(value, int) or (isinstance(value, float) and 0 < value < 1)
    return True
