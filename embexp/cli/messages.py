"""Hydra's and OmegaConf's mistakes as the one message a person needs."""

import re
import shlex

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from embexp.cli.overrides import SINGLE
from embexp.cli.quoting import quoted
from embexp.config.compose import conf_dir, option_names
from embexp.errors import did_you_mean

# OmegaConf's words around a mistake that one of our resolvers found.
_RESOLVING = re.compile(r"ConfigError raised while resolving interpolation: (.*?)\s*full_key: .*", re.DOTALL)

# Hydra's words where a stage has no such choice.
_NO_CHOICE = re.compile(r"Could not override '(\w+)@adapt\.([\w-]+)\.\1'.*\+\S+?=(.*)", re.DOTALL)


def explain(error: BaseException) -> str:
    """The one message a person needs: what was given, what was expected, what to type."""
    if resolving := _RESOLVING.match(str(error)):
        return resolving.group(1)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _explain_option(error, error.missing_cfg_file)
    if isinstance(error, OverrideParseException):
        return _explain_grammar(error)
    if no_choice := _NO_CHOICE.match(str(error)):
        return _explain_choice(*no_choice.groups())
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


def _explain_choice(group: str, stage: str, option: str) -> str:
    """What to type where a stage chooses from a group and has no choice there, or was not chosen itself."""
    given, stages = f"adapt.{stage}.{group}={option} was given", option_names("adapt")
    if group == "loss" and stage in stages and not _chooses_loss(stage):
        others = [option] if option in stages else filter(_chooses_loss, sorted(stages))
        other_stages = " or ".join(f"adapt=[{name}]" for name in others)
        return (
            f"{given}; {stage} has one loss, that of conf/adapt/{stage}.yaml. Expected its arguments "
            f"(adapt.{stage}.loss.<argument>=<value>) or another stage. Type {other_stages}."
        )
    if stage in stages:
        return f"{given}; no stage {stage} is chosen. Expected one of those chosen. Type adapt=[{stage}] beside it."
    added = f"+{group}@adapt.{stage}.{group}={option}"
    return f"{given}; {stage} has no {group} that it would replace. Expected one that is added. Type {added}."


def _chooses_loss(stage: str) -> bool:
    return "loss@" in str(OmegaConf.load(conf_dir() / "adapt" / f"{stage}.yaml").get("defaults"))


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
