"""Checks of a composed configuration: describing keys are known, and their values have the type of their key."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from omegaconf import OmegaConf

from embexp.config.session import option_files
from embexp.config.yaml_keys import (
    KEYS_OF_GROUPS,
    CallKeys,
    EvaluatorKeys,
    ModelKeys,
    StepKeys,
    TuneKeys,
    keys_of,
    own_keys,
)
from embexp.core.arguments import choices_of, fits, refuse, type_words
from embexp.errors import Problem, as_typed, did_you_mean, listed

_Keys = TypeVar("_Keys", bound=CallKeys)


def read_keys(kind: type[_Keys], node: Mapping[str, Any], name: str) -> _Keys:
    """The describing keys of the call that stands under the key `name`.

    Raises:
        ConfigError: a describing key that is not known, or one whose value has the wrong type; lists every problem.

    >>> read_keys(StepKeys, {"_target_": "a.b", "_costly_": True, "seed": 42}, "dataset.steps.mine").costly
    True
    """
    refuse(problem for _, problem in _problems_with_keys(kind, node, name))
    return kind(**{each.name: _built(node[key], each.type) for key, each in keys_of(kind).items() if key in node})


def key_problems(config: Mapping[str, Any], folders: Sequence[Path] = ()) -> Iterator[Problem]:
    """The problems with the describing keys of a configuration, at any depth.

    Args:
        config: as plain values; interpolations may be unresolved.
        folders: those that hold the YAML files, in which the line of each problem is looked up.

    >>> print(*key_problems({"modifier": {"_target_": "a.b", "_paper": "Su 2022"}}))
    modifier._paper=Su 2022 is not a describing key of a modifier. Expected some of: _refuses_, _needs_, _values_, \
_paper_. Did you mean '_paper_'?
    hint: type +modifier._paper_=Su 2022
    """
    for path, kind, node in _described_in(config, ()):
        for key, problem in _problems_with_keys(kind, node, ".".join(path)):
            yield _in_its_file(problem, key, node.get(key), folders)


def _described_in(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], type[CallKeys], Any]]:
    """The mappings that may have describing keys, with their places: the options of the groups, and all calls."""
    if isinstance(node, Mapping):
        kind = _kind_at(path) or (CallKeys if "_target_" in node else None)
        if kind:
            yield path, kind, node
        for key, value in node.items():
            if not (kind and str(key).startswith("_")):
                yield from _described_in(value, (*path, str(key)))
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from _described_in(value, (*path, str(place)))


def _kind_at(path: tuple[str, ...]) -> type[CallKeys] | None:
    """The keys of the group whose option stands there; None where none does.

    >>> _kind_at(("adapt", "tsdae", "loss")).__name__, _kind_at(("loss", "guide"))
    ('LossKeys', None)
    """
    above = {"adapt": 2, "mixture": 3, "evaluator": 2 * (len(path) > 2), "guard": 2 * (len(path) > 2)}
    path = path[above.get("".join(path[:1]), 0) :]  # without the keys over those of the group
    match path:
        case ("loss" | "modifier" | "trainer" as group,):
            return KEYS_OF_GROUPS[group]
        case ("evaluator" | "guard", _):
            return EvaluatorKeys
        case ("dataset", "steps", _):
            return StepKeys
        case ("tune", "sampler" | "pruner"):
            return TuneKeys
        case ("model",) | ("model", "source" | "base" | "adapter"):
            return ModelKeys
        case ("dataset" | "conversion" | "tracking",) | ("export", _) | ("dataset", "reader"):
            return CallKeys
    return None


def _problems_with_keys(kind: type[CallKeys], node: Mapping[str, Any], name: str) -> Iterator[tuple[str, Problem]]:
    """The problems with the describing keys of a call, each with its key."""
    known = keys_of(kind)
    arguments = [key for key in node if not str(key).startswith("_")]
    for key, value in node.items():
        if key in known:
            where = f"{name}.{key}"
            found = (*_type_problems(where, value, known[key].type), *_argument_problems(where, key, value, arguments))
            yield from ((key, problem) for problem in found)
        elif str(key).startswith("_") or (str(key).endswith("_") and _nearest(key, known, 0.85)):
            yield key, _unknown_key(key, value, kind, name)
    group, _, option = name.partition(".")
    for key, each in known.items():
        if is_required(each) and key not in node and option in option_files(group):
            text, fix = f"was given; the option {option} is not chosen", (f"{group}=[{option}]",)
            yield key, Problem(text, key=name, expected="one of those chosen", fix=fix)
        elif is_required(each) and key not in node:
            fix = (f"+{name}.{key}=<value>",)
            yield key, Problem(f"has no {key}", key=name, expected=type_words(each.type), fix=fix)


def _unknown_key(key: str, value: Any, kind: type[CallKeys], name: str) -> Problem:
    others = [group for group, keys in KEYS_OF_GROUPS.items() if key in keys_of(keys)]
    near = "" if others else _nearest(key, keys_of(kind))
    note = f"Did you mean {near!r}?" if near else f"It is a key of: {listed(others)}." if others else ""
    text, expected = f"is not a describing key of {kind.what}", f"some of: {listed(own_keys(kind))}"
    fix = (f"+{name}.{near}={as_typed(value)}",) if near else (f"~{name}.{key}",)
    return Problem(text, f"{name}.{key}", value, expected, note, fix)


def _nearest(key: str, known: Mapping[str, Any], cutoff: float = 0.6) -> str:
    """The known key that is nearest to a mistyped one; an empty string where none is near."""
    names = {name.strip("_"): name for name in known}
    near = get_close_matches(str(key).strip("_").lower(), names, n=1, cutoff=cutoff)
    return names[near[0]] if near else ""


def _argument_problems(where: str, key: str, value: Any, arguments: Sequence[str]) -> Iterator[Problem]:
    """Arguments that a describing key names and the call does not have, though one of nearly that name.

    An argument that was taken out of a YAML (`~loss.scale`) may stay in its keys.
    """
    named = []
    if key in ("_values_", "_companions_") and isinstance(value, Mapping | list | tuple):
        named = [*value]
    elif key == "_traits_" and isinstance(value, list | tuple):
        named = [argument for each in value if isinstance(each, Mapping) for argument in each.values()]
    free = [argument for argument in arguments if argument not in named]
    for argument in named:
        if argument not in arguments and (near := did_you_mean(str(argument), free)):
            text = f"names the argument {argument}, which is not there"
            yield Problem(text, key=where, expected=f"some of: {listed(arguments)}", note=near)


def _in_its_file(problem: Problem, key: str, value: Any, folders: Sequence[Path]) -> Problem:
    """The problem with the line of the file that says so, and what to type there; as it is where none does."""
    for path in (path for folder in folders for path in sorted(folder.rglob("*.yaml"))):
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [place for place, line in enumerate(lines, 1) if re.search(rf"(?<!\w){re.escape(key)}\s*:", line)]
        if found and _holds(OmegaConf.to_container(OmegaConf.load(path)), key, value):
            shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            typed = [(each, *each.lstrip("+").partition("=")) for each in problem.fix]
            fix = (f"{name.rpartition('.')[2]}: {inner}" if inner else each for each, name, _, inner in typed)
            return dataclasses.replace(problem, file=str(shown), line=found[0], fix=tuple(fix))
    return problem


def _holds(node: Any, key: str, value: Any) -> bool:
    """Whether a mapping at any depth has this value under this key."""
    if isinstance(node, Mapping):
        return (key in node and node[key] == value) or any(_holds(inner, key, value) for inner in node.values())
    return isinstance(node, list) and any(_holds(inner, key, value) for inner in node)


def _type_problems(where: str, value: Any, kind: Any) -> Iterator[Problem]:
    """The problems with a value of a describing key, or with what is in it."""
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        known = {each.name: each for each in dataclasses.fields(kind)}
        for name, inner in value.items():
            if name in known:
                yield from _type_problems(f"{where}.{name}", inner, known[name].type)
            else:
                expected = f"some of: {listed(known)}"
                yield Problem("is not known", f"{where}.{name}", inner, expected, did_you_mean(str(name), known))
        for name in (each.name for each in known.values() if is_required(each) and each.name not in value):
            yield Problem(f"has no {name}", key=where, expected=type_words(known[name].type))
    elif get_origin(kind) is dict and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _type_problems(f"{where}.{name}", inner, get_args(kind)[1])
    elif get_origin(kind) is tuple and isinstance(value, list | tuple) and dataclasses.is_dataclass(get_args(kind)[0]):
        for place, inner in enumerate(value):
            yield from _type_problems(f"{where}.{place}", inner, get_args(kind)[0])
    elif not fits(value, kind):
        as_list = get_origin(kind) is tuple and not isinstance(value, list | tuple) and fits([value], kind)
        unknown = [word for word in (value if isinstance(value, list | tuple) else [value]) if isinstance(word, str)]
        choices = choices_of(kind)
        near = next((did_you_mean(word, choices) for word in unknown if choices and word not in choices), "")
        fix = (f"{where}={as_typed([value])}",) if as_list else ()
        yield Problem(key=where, given=value, expected=type_words(kind), note=near, fix=fix)


def _built(value: Any, kind: Any) -> Any:
    """A value that fits, with classes in place of mappings and tuples in place of lists."""
    if dataclasses.is_dataclass(kind):
        types = {each.name: each.type for each in dataclasses.fields(kind)}
        return kind(**{name: _built(inner, types[name]) for name, inner in value.items()})
    if get_origin(kind) is tuple:
        return tuple(_built(each, get_args(kind)[0]) for each in value)
    if get_origin(kind) is dict:
        return {name: _built(inner, get_args(kind)[1]) for name, inner in value.items()}
    return value


def is_required(each: dataclasses.Field) -> bool:
    """Whether a field of a dataclass has no default."""
    return each.default is MISSING and each.default_factory is MISSING


def unknown_key_problems(config: Mapping[str, Any], known: Sequence[str]) -> Iterator[Problem]:
    """Keys of one's own (`+trainr.max_steps=5`) that no command has, unless another key refers to them (`${mine}`)."""
    for key in (each for each in config if each not in known and f"${{{each}" not in str(config)):
        text, near = "is no key here, and nothing refers to it", did_you_mean(str(key), known)
        yield Problem(text, str(key), note=near, fix=(f"~{key}",))
