"""Choices of options as people type them: null for none, a list of one, and those that are no names to Hydra."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from embexp.config.session import option_files
from embexp.errors import ConfigError, listed

_SEVERAL = ("step", "adapt", "evaluator", "export")  # groups of which a run has a list of options
# What a run cannot go without, with a value to type.
_NEEDED = {"dataset": "finance", "model": "minilm", "loss": "mnrl", "conversion": "default", "trainer": "default"}
_NEEDED |= {"tracking": "none", "paths": "default", "seed": "42", "threads": "null", "name": "null", "keep": "weights"}
_NEEDED |= {"profile": "false", "shape": "null", "primary_metric": "null", "resume": "null", "evaluator": "[sts]"}
_NEEDED |= {"sweep": "default"}
_NO_NAME = re.compile(r"null|true|false|nan|[-+]?inf|[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)  # to Hydra's grammar


def as_hydra_chooses(argument: str) -> str:
    """An override with the choice that it means; one that chooses nothing stays.

    >>> [as_hydra_chooses(each) for each in ("modifier=null", "loss=[mnrl]", "model/adapter=lora,null", "seed=1")]
    ['modifier=none', 'loss=mnrl', 'model/adapter=lora,none', 'seed=1']

    Raises:
        ConfigError: several options where a run has one, one twice, none where a run needs one, or what is no name.
    """
    if argument.startswith("~") and argument[1:] in _NEEDED:
        name = argument[1:]
        raise ConfigError(f"{argument} leaves out what every run has", fix=f"{name}={_NEEDED[name]}")
    if argument == "experiment=null":
        return "~experiment"
    key, sign, value = argument.partition("=")
    group = key.lstrip("+").partition("@")[0]
    options = option_files(group) if sign and re.fullmatch(r"[a-z_/]+", group) else {}
    if not options or Path(value).exists():
        return argument
    in_list = value[:1] + value[-1:] == "[]" and not {"[", "]"} & {*value[1:-1]}  # else a sweep over lists
    if in_list or (group in _SEVERAL and "[" not in value):
        names = [each.strip() for each in value.strip("[]").split(",")] if value.strip("[]") else []
        value = _list(group, names, value) if group in _SEVERAL else _only(key, names, value, options)
    elif key.startswith("+") and key.lstrip("+") == group:
        text = f"adds an option of {group}, of which a run has one already"
        raise ConfigError(text, key=key, given=value, expected="another one in its place", fix=f"{group}={value}")
    if "[" in value:
        return argument
    return f"{key}={','.join(_named(key, name, options) for name in value.split(','))}"


def _only(key: str, names: Sequence[str], value: str, options: Iterable[str]) -> str:
    """The one option that a list in brackets names."""
    if len(names) == 1:
        return names[0]
    fix = (f"{key}={names[0]}", f"-m {key}={','.join(names)}") if names else (f"{key}={_likely(key, options)}",)
    note = "With -m there is a run with each." if names else ""
    text = "names several" if names else "names none"
    raise ConfigError(text, key=key, given=value, expected=f"only one {key.partition('@')[0]}", note=note, fix=fix)


def _list(group: str, names: Sequence[str], value: str) -> str:
    """The list of options as it was typed, each of which is there once."""
    once = [*dict.fromkeys(names)]
    if wrong := [name for name in names if _NO_NAME.fullmatch(name)]:
        none = "none" in option_files(group)
        if [*names] == ["null"] and none:
            return "none"
        fix = f"{group}={_NEEDED.get(group, '[]')}"
        expected = f"some of: {listed(sorted(option_files(group)))}"
        raise ConfigError(f"holds {wrong[0]}, which is no name", key=group, given=value, expected=expected, fix=fix)
    if len(once) < len(names) and value.startswith("["):
        fix = f"{group}=[{','.join(once)}]"
        raise ConfigError("names an option twice", key=group, given=value, expected="each once", fix=fix)
    return value


def _named(key: str, name: str, options: Sequence[str]) -> str:
    """The name of an option; null stands for the option none."""
    if not _NO_NAME.fullmatch(name.strip()) or name in options:
        return name
    if name == "null" and "none" in options:
        return "none"
    fix = f"{key}={_likely(key, options)}"
    raise ConfigError("is no name", key=key, given=name, expected=f"one of: {listed(sorted(options))}", fix=fix)


def _likely(key: str, options: Iterable[str]) -> str:
    """An option to propose: the usual one of its group, else none where there is it, else the first."""
    group = key.lstrip("+").partition("@")[0]
    return _NEEDED.get(group) or ("none" if "none" in options else min(options))
