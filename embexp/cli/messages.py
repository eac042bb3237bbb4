"""Hydra's and OmegaConf's mistakes as the one message a person needs."""

import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TextIO

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from embexp.cli.overrides import SINGLE, path_problem
from embexp.cli.quoting import quoted
from embexp.config.compose import option_names
from embexp.config.schemas import SCHEMAS
from embexp.config.session import known_model, option_files
from embexp.core.arguments import TRAINING_ARGUMENTS, field_defaults, type_words
from embexp.core.environment import lack_of
from embexp.core.redaction import Redacting, redacted
from embexp.errors import EmbexpError, Problem, as_typed, did_you_mean, listed, printable

# Hydra puts the override that it has no use for into its message and nowhere else; tests/cli/test_messages.py pins it.
_UNKNOWN = re.compile(
    r"(?:In '.*?': )?Could not override '(?P<key>[^']+)'(?:.*use \+(?P=key)=(?P<value>.*))?", re.DOTALL
)
_SEVERAL_VALUES = re.compile(r"Ambiguous value for argument '(?P<argument>.*)'")
_LAUNCHERS = {"submitit_slurm": "slurm", "submitit_local": "slurm", "joblib": "joblib"}  # by extras of pyproject.toml
_NOT_THERE = re.compile(r"Could not delete (?:from config\. )?'(?P<key>[^']+)'")
_LABELS = re.compile(r"^(Error:|hint:|\w*Error:|FAILED:)", re.MULTILINE)  # that begin a line
_COLOURS = {"hint:": 36}  # cyan; all other labels are red
_CHOICE_OF_STAGE = re.compile(r"(?P<group>\w+)@adapt\.(?P<stage>[\w-]+)\.(?P=group)")


def explain(error: BaseException) -> str:
    """The one message a person needs: what was given, what was expected, what to type."""
    return printable(redacted(str(_explained(error))))


def coloured(message: str, stream: TextIO) -> str:
    """The message with its labels (Error:, hint:) in colours where the stream is a terminal that shows them."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "unknown") or not stream.isatty():
        return message
    return _LABELS.sub(lambda label: f"\033[{_COLOURS.get(label[0], 31)}m{label[0]}\033[0m", message)


class TerminalFormatter(Redacting):
    """A log's lines for the terminal, with the hints of a warning in colour."""

    def format(self, record: logging.LogRecord) -> str:
        return coloured(super().format(record), sys.stderr)


def unknown_override(error: BaseException) -> tuple[str, str] | None:
    """Key and value of the override that Hydra has no use for, None where its error says something else."""
    if not isinstance(error, HydraException):
        return None
    if left_out := _NOT_THERE.search(str(error)):
        return f"~{left_out['key']}", ""
    found = _UNKNOWN.match(str(error))
    return (found["key"], found["value"] or "<value>") if found else None


def _explained(error: BaseException) -> Problem | BaseException:
    if isinstance(error, InterpolationResolutionError):
        return next(_errors_of_ours(error), error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _explain_option(error, error.missing_cfg_file)
    if isinstance(error, OverrideParseException):
        return _explain_grammar(error.override)
    if isinstance(error, HydraException) and (several := _SEVERAL_VALUES.match(str(error))):
        key, _, value = several["argument"].partition("=")
        return Problem(
            "names several values", key, value, expected="one; or a multirun, with a run for each", fix=("-m",)
        )
    unknown, cause = unknown_override(error), error.__cause__
    if unknown and unknown[0].startswith("~"):
        return Problem(f"{unknown[0]} leaves out what is not there", expected="a key that is, or a command without it")
    if unknown and (choice := _CHOICE_OF_STAGE.fullmatch(unknown[0])):
        return _explain_choice(choice["group"], choice["stage"], unknown[1])
    if unknown and "defaults list" in str(error):
        text = "was given; this command has no such choice"
        return Problem(text, *unknown, expected="the command without it")
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        parent, key = cause.parent_node, cause.key
        if isinstance(parent, DictConfig) and key is not None and key not in parent:
            return _explain_key(parent, str(key), str(cause.full_key or key), unknown)
        return _explain_value(error, cause)
    return error


def _errors_of_ours(error: BaseException) -> Iterator[EmbexpError]:
    """The error of one of our resolvers, in place of which OmegaConf raises its own."""
    inner: BaseException | None = error
    while inner := inner.__cause__ or inner.__context__:
        if isinstance(inner, EmbexpError):
            yield inner


def _explain_option(error: MissingConfigException, file: str) -> Problem | BaseException:
    group, _, option = file.rpartition("/")
    in_list = error.options is None  # Hydra does not name the options of a group that takes several
    options = sorted(option_names(group)) if in_list else error.options
    if not options:
        return error
    if group in ("dataset", "model") and option and Path(option).exists():
        return path_problem(group, option)
    given, how_many = ([option], "some") if in_list else (option, "one")
    if (extra := _LAUNCHERS.get(option)) and group == "hydra/launcher" and (lack := lack_of(extra, imports=False)):
        return Problem(f"needs {lack.text}", group, option, fix=(lack.fix,))
    near = get_close_matches(option, options, n=2, cutoff=0.5)
    fix = tuple(f"{group}={as_typed([name] if in_list else name)}" for name in near)
    expected = f"{how_many} of: {listed(options)}"
    note = did_you_mean(option, options)
    if group == "model" and (found := known_model(option)):
        note, fix = "", (f"model={found}",)
    elif group == "model":
        expected += f"; a folder; or an id of the Hub with its owner, such as BAAI/{option}"
    return Problem("is not known", group, given, expected, note, fix)


def _explain_choice(group: str, stage: str, option: str) -> Problem:
    """What to type where a stage chooses from a group and has no choice there, or was not chosen itself."""
    key, stages = f"adapt.{stage}.{group}", option_names("adapt")
    if group == "loss" and stage in stages and not _chooses_loss(stage):
        others = [name for name in sorted(stages) if _chooses_loss(name)]
        fix = [f"adapt=[{name}] adapt.{name}.loss={option}" for name in others]
        fix = [f"adapt=[{option}]"] if option in stages else fix
        text = f"was given; {stage} has one loss, that of conf/adapt/{stage}.yaml"
        return Problem(text, key, option, f"its arguments ({key}.<argument>=<value>) or another stage", fix=tuple(fix))
    if stage in stages:
        text, fix = f"was given; no stage {stage} is chosen", f"adapt=[{stage}] {key}={option}"
        return Problem(text, key, option, expected="one of those chosen", fix=(fix,))
    text, fix = f"was given; {stage} has no {group} that it would replace", f"+{group}@{key}={option}"
    return Problem(text, key, option, expected="one that is added", fix=(fix,))


def _chooses_loss(stage: str) -> bool:
    defaults = OmegaConf.load(option_files("adapt")[stage]).get("defaults") or ()
    return any("loss@" in key for entry in defaults if isinstance(entry, DictConfig) for key in entry)


def _explain_grammar(override: str) -> Problem:
    key, _, value = override.partition("=")
    parent, _, name = key.lstrip("+~").rpartition(".")
    if not key.isascii() and parent:
        entry = shlex.quote(f"{parent}={{{name}: {value}}}")
        text = f"{override} cannot be read: {name} cannot stand left of the sign ="
        return Problem(text, expected="a dictionary with all names", fix=(entry,))
    expected = "the value, or each text of a list, in inner quotes"
    return Problem(
        f"{override} cannot be read by Hydra", expected=expected, fix=(f"{key}={shlex.quote(quoted(value))}",)
    )


def _explain_key(parent: DictConfig, key: str, where: str, unknown: tuple[str, str] | None) -> Problem:
    """A key that is not there: `where` is the full key, `unknown` key and value as they were typed."""
    if hint := parent.get("_hint_"):
        return Problem("is not a key", where, note=str(hint))
    typed, value = unknown or (where, "<value>")
    known = [str(name) for name in parent if str(name) not in ("hydra", "_target_")]
    above = where.rpartition(".")[0]
    is_step = above == "dataset.steps" and (key in SINGLE or key in option_files("step"))
    if above and (not known or is_step):
        return _explain_first_key(above, key, typed, value)
    if str(parent.get("_target_")).endswith("TrainingArguments") and key in field_defaults(*TRAINING_ARGUMENTS):
        expected = "a sign + before it: the YAML does not have this argument of the trainer"
        return Problem("is not a key", where, expected=expected, fix=(f"+{typed}={value}",))
    near = [f"{above}.{name}".lstrip(".") for name in get_close_matches(key, known, n=2, cutoff=0.5)]
    fix = tuple(f"{name}{typed.removeprefix(where)}={value}" for name in near)
    return Problem("is not a key", where, expected=f"one of: {listed(known)}", note=did_you_mean(key, known), fix=fix)


def _explain_first_key(parent: str, key: str, typed: str, value: str) -> Problem:
    """What to type where a key was given for a dictionary that does not have it because nothing was chosen there."""
    where = f"{parent}.{key}"
    if parent == "dataset.steps" and key in SINGLE:
        options = [name for name in sorted(option_names(key)) if name != "none"]
        fix, text = tuple(f"{key}={name} {typed}={value}" for name in options), f"no option of {key} is chosen"
        return Problem(f"is not a key: {text}", where, expected=f"one of: {listed(options)}", fix=fix[:1])
    group = {"dataset.steps": "step", "adapt": "adapt"}.get(parent)
    if group:
        text = f"is not a key: no such {'stage' if group == 'adapt' else 'step'} is chosen"
        return Problem(text, where, expected="one that is", fix=(f"{group}=[{key}] {typed}={value}",))
    entry = shlex.quote(f"{parent}={{{key}: {value}}}")
    return Problem(f"is not a key: {parent} is empty", where, expected="a dictionary", fix=(entry,))


def _explain_value(error: HydraException, cause: OmegaConfBaseException) -> Problem | BaseException:
    """A value that OmegaConf cannot convert to the type of its key; the default is what to type."""
    key, said = cause.full_key, str(cause).splitlines()[0]
    if not key:
        return Problem(f"{str(error).splitlines()[0]}. {said}")
    given = cause.value
    for schema in SCHEMAS.values():
        for each in fields(schema):
            if each.name == key and each.type is not Any:
                usual = None if each.default is MISSING else each.default
                return Problem(key=key, given=given, expected=type_words(each.type), fix=(f"{key}={as_typed(usual)}",))
    return Problem(f"does not fit: {said}", key, given, expected="a value of its type")
