"""Hydra's and OmegaConf's mistakes as the one message a person needs."""

import re
import shlex

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from embexp.config import conf_dir
from embexp.errors import did_you_mean
from embexp.overrides import SINGLE, quoted

# OmegaConf's words around a mistake that one of our resolvers found.
RESOLVING = re.compile(r"ConfigError raised while resolving interpolation: (.*?)\s*full_key: .*", re.DOTALL)


def explain(error: BaseException) -> str:
    """The one message a person needs: what was given, what was expected, what to type."""
    if resolving := RESOLVING.match(str(error)):
        return resolving.group(1)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _explain_option(error, error.missing_cfg_file)
    if isinstance(error, OverrideParseException):
        return _explain_grammar(error)
    cause = error.__cause__
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        return _explain_key(error, cause)
    return str(error)


def _explain_option(error: MissingConfigException, file: str) -> str:
    group, _, option = file.rpartition("/")
    in_list = error.options is None  # Hydra does not tell the options of a group that takes several
    options = sorted(path.stem for path in conf_dir().glob(f"{group}/*.yaml")) if in_list else error.options
    if not options:
        return str(error)
    given, expected = (f"{group}=[{option}]", "some") if in_list else (f"{group}={option}", "one")
    return (
        f"{given} is not known. Expected {expected} of: {', '.join(options)}. {did_you_mean(option, options)}".strip()
    )


def _explain_grammar(error: OverrideParseException) -> str:
    key, _, value = error.override.partition("=")
    parent, _, name = key.lstrip("+~").rpartition(".")
    if not key.isascii() and parent:
        entry = shlex.quote(f"{parent}={{{name}: {value}}}")
        return f"{error.override} cannot be read: {name} cannot stand left of the sign =. Type {entry}, with all names."
    return (
        f"{error.override} cannot be read by Hydra. Put the value, or each text of a list, in inner quotes: "
        f"{key}={shlex.quote(quoted(value))}."
    )


def _explain_key(error: HydraException, cause: OmegaConfBaseException) -> str:
    parent, key = cause.parent_node, cause.key
    first_line = str(error).splitlines()[0]
    if isinstance(parent, DictConfig) and key is not None and key not in parent:
        where = str(cause.full_key or key)
        if hint := parent.get("_hint_"):
            return f"{where} is not a key. {hint}"
        known = [str(name) for name in parent if str(name) not in ("hydra", "_target_")]
        if "." in where and (not known or _is_option_of_steps(where)):
            return _explain_first_key(where, str(error))
        return f"{where} is not a key. Known here: {', '.join(known)}. {did_you_mean(str(key), known)}".strip()
    return f"{first_line}. {str(cause).splitlines()[0]}"


def _is_option_of_steps(where: str) -> bool:
    """Whether a key is the name of a step that was not chosen, beside others that were."""
    parent, _, key = where.rpartition(".")
    return parent == "dataset.steps" and (key in SINGLE or (conf_dir() / "step" / f"{key}.yaml").exists())


def _explain_first_key(where: str, message: str) -> str:
    """What to type where a key was given for a dictionary that has none."""
    parent, _, key = where.rpartition(".")
    if parent == "dataset.steps" and key in SINGLE:
        return f"{where} is not a key: no option of {key} is chosen. Type {key}=<option> beside it."
    if parent == "dataset.steps":
        return f"{where} is not a key: no such step is chosen. Type step=[{key}] beside it."
    if parent == "adapt":
        return f"{where} is not a key: no such stage is chosen. Type adapt=[{key}] beside it."
    typed = re.search(rf"\+{re.escape(where)}=(.*)", message)
    entry = shlex.quote(f"{parent}={{{key}: {typed.group(1) if typed else '<value>'}}}")
    return f"{where} is not a key: {parent} is empty. Type {entry}."
