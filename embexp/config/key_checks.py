"""Checks of describing keys: that each is known in its group, and that its value has its type."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from embexp.config.value_types import built, is_required, problems_with_type, type_words
from embexp.config.yaml_keys import KEYS_OF_GROUPS, CallKeys, EvaluatorKeys, StepKeys, TuneKeys, keys_of, own_keys
from embexp.core.arguments import refuse
from embexp.errors import Problem, as_typed, did_you_mean, listed

_Keys = TypeVar("_Keys", bound=CallKeys)


def read_keys(kind: type[_Keys], node: Mapping[str, Any], name: str) -> _Keys:
    """The describing keys of a call.

    Args:
        name: the key where the call stands in the configuration, such as `loss`.

    Raises:
        ConfigError: a describing key that is not known, or one whose value has the wrong type; lists every problem.

    >>> read_keys(StepKeys, {"_target_": "a.b", "_costly_": True, "seed": 42}, "dataset.steps.mine").costly
    True
    """
    refuse(problem for _, problem in _problems_with_keys(kind, node, name))
    return kind(**{each.name: built(node[key], each.type) for key, each in keys_of(kind).items() if key in node})


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
    """The mappings that may have describing keys, with where they stand: the options of the groups, and all calls."""
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
    if path[:1] == ("adapt",) or (path[:1] == ("evaluator",) and len(path) > 2):
        path = path[2:]
    match path:
        case ("loss" | "modifier" | "trainer" as group,):
            return KEYS_OF_GROUPS[group]
        case ("evaluator", _):
            return EvaluatorKeys
        case ("dataset", "steps", _):
            return StepKeys
        case ("tune", "sampler" | "pruner"):
            return TuneKeys
        case ("dataset" | "model" | "conversion" | "tracking",) | ("export", _) | ("dataset", "reader"):
            return CallKeys
    return None


def _problems_with_keys(kind: type[CallKeys], node: Mapping[str, Any], name: str) -> Iterator[tuple[str, Problem]]:
    """The problems with the describing keys of a call, each with its key."""
    known = keys_of(kind)
    arguments = [key for key in node if not str(key).startswith("_")]
    for key, value in node.items():
        if key in known:
            yield from ((key, problem) for problem in problems_with_type(f"{name}.{key}", value, known[key].type))
            yield from ((key, problem) for problem in _argument_problems(f"{name}.{key}", key, value, arguments))
        elif str(key).startswith("_") or (str(key).endswith("_") and _nearest(key, known, 0.85)):
            yield key, _unknown_key(key, value, kind, name)
    for key, each in known.items():
        if is_required(each) and key not in node:
            yield (
                key,
                Problem(f"has no {key}", key=name, expected=type_words(each.type), fix=(f"+{name}.{key}=<value>",)),
            )


def _unknown_key(key: str, value: Any, kind: type[CallKeys], name: str) -> Problem:
    others = [group for group, keys in KEYS_OF_GROUPS.items() if key in keys_of(keys)]
    near = "" if others else _nearest(key, keys_of(kind))
    note = f"Did you mean {near!r}?" if near else f"It is a key of: {listed(others)}." if others else ""
    return Problem(
        f"is not a describing key of {kind.what}",
        key=f"{name}.{key}",
        given=value,
        expected=f"some of: {listed(own_keys(kind))}",
        note=note,
        fix=(f"+{name}.{near}={as_typed(value)}",) if near else (f"~{name}.{key}",),
    )


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
            fix = tuple(_as_yaml(each) for each in problem.fix)
            return dataclasses.replace(problem, file=str(shown), line=found[0], fix=fix)
    return problem


def _as_yaml(override: str) -> str:
    """What stands in a YAML in place of an override.

    >>> _as_yaml("+loss._traits_=[compares_rows]")
    '_traits_: [compares_rows]'
    """
    key, _, value = override.lstrip("+").partition("=")
    return f"{key.rpartition('.')[2]}: {value}" if value else override


def _holds(node: Any, key: str, value: Any) -> bool:
    """Whether a mapping at any depth has this value under this key."""
    if isinstance(node, Mapping):
        return (key in node and node[key] == value) or any(_holds(inner, key, value) for inner in node.values())
    return isinstance(node, list) and any(_holds(inner, key, value) for inner in node)
