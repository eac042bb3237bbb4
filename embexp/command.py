"""What all commands share: Hydra's entry, paths in place of group options, mistakes as one message."""

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from embexp.config import TRUSTED, VERSION_BASE, check_value_types, conf_dir, defaults_of
from embexp.data.formats import SUFFIXES, kind_of
from embexp.errors import EmbexpError, Terminated, did_you_mean

# `dataset=my.csv` stands for `dataset=file dataset.reader.path=my.csv`, `dataset=org/name` for the Hub's data set.
PATH_OPTIONS = {"dataset": ("file", "dataset.reader.path"), "model": ("pretrained", "model.path")}
HUB_OPTION = ("hub", "dataset.reader.id")
Task = Callable[[DictConfig, dict[str, Any], Path], Any]


def run_command(task: Task, config_name: str = "config") -> None:
    """Run `task(config, choices, folder)` for the command line, through Hydra.

    A user's mistake is printed as one message and exits with code 1; HYDRA_FULL_ERROR=1 asks for the traceback.
    SIGTERM ends the task with Terminated, so that its run is closed as KILLED.
    """
    import hydra

    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors to us in place of printing them
    sys.argv[1:] = expand_paths(sys.argv[1:])
    _end_on_sigterm()

    def job(config: DictConfig) -> Any:
        return _run_job(task, config, config_name, wants_traceback)

    try:
        hydra.main(config_path=str(conf_dir()), config_name=config_name, **VERSION_BASE, **TRUSTED)(job)()
    except (EmbexpError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        exit_with(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _run_job(task: Task, config: DictConfig, config_name: str, wants_traceback: bool) -> Any:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra_config = HydraConfig.get()
    try:
        choices = OmegaConf.to_container(hydra_config.runtime.choices)
        check_value_types(config, defaults_of(choices, config_name))
        return task(config, choices, Path(hydra_config.runtime.output_dir))
    except EmbexpError as error:
        if wants_traceback or hydra_config.mode == RunMode.MULTIRUN:
            raise
        exit_with(error)


def exit_with(error: Exception) -> None:
    """Print the one message that a mistake deserves, and end with code 1."""
    print(f"Error: {explain(error)}", file=sys.stderr)
    sys.exit(1)


def _end_on_sigterm() -> None:
    if "SLURM_JOB_ID" in os.environ:  # submitit handles the signal itself, to requeue the job
        return

    def end(*_: Any) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, end)


def expand_paths(arguments: Sequence[str]) -> list[str]:
    """Replace `dataset=<path>` and `model=<path or Hub id>` by the option that reads it.

    >>> expand_paths(["dataset=data/my.csv", "loss=mnrl"])
    ['dataset=file', 'dataset.reader.path=data/my.csv', 'loss=mnrl']
    """
    return [expanded for argument in arguments for expanded in _expand(argument)]


def _expand(argument: str) -> list[str]:
    group, _, value = argument.partition("=")
    if group not in PATH_OPTIONS or not all(_is_path(part) for part in value.split(",")):
        return [argument]
    option, key = HUB_OPTION if group == "dataset" and _is_hub_id(value) else PATH_OPTIONS[group]
    return [f"{group}={option}", f"{key}={value}"]


def _is_path(value: str) -> bool:
    """A slash or a known ending makes a path; a folder beside us that is called like an option does not hide it."""
    return "/" in value or kind_of(Path(value)) in SUFFIXES


def _is_hub_id(value: str) -> bool:
    """`org/name` is an id of the Hub unless there is such a folder here or the name ends like a file's."""
    looks_like_one = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", value) is not None
    return looks_like_one and not Path(value).exists() and kind_of(Path(value)) not in SUFFIXES


def explain(error: BaseException) -> str:
    """The one message a person needs: what was given, what was expected, what to type."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        return (
            f"{group}={option} is not known. Expected one of: {', '.join(error.options)}. "
            f"{did_you_mean(option, error.options)}".strip()
        )
    cause = error.__cause__
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        return _explain_key(error, cause)
    return str(error)


def _explain_key(error: HydraException, cause: OmegaConfBaseException) -> str:
    parent, key = cause.parent_node, cause.key
    first_line = str(error).splitlines()[0]
    if isinstance(parent, DictConfig) and key is not None and key not in parent:
        if hint := parent.get("_hint_"):
            return f"{cause.full_key or key} is not a key. {hint}"
        known = [str(name) for name in parent if str(name) not in ("hydra", "_target_")]
        where = cause.full_key or str(key)
        return f"{where} is not a key. Known here: {', '.join(known)}. {did_you_mean(str(key), known)}".strip()
    return f"{first_line}. {str(cause).splitlines()[0]}"
