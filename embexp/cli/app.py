"""What all commands share: Hydra's entry, and mistakes as one message.

Hydra composes a multirun once without what is swept, of the default option of each group, and applies the other
overrides to that: `loss=contrastive,triplet loss.margin=0.3` would fail, since the default loss has no margin. It
leaves out sweeps, though, and a choice of one value is a sweep.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from embexp.cli.commands import note_config_dir, split_flags
from embexp.cli.messages import explain
from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import check_config
from embexp.config.session import TRUSTED, VERSION_BASE, conf_dir
from embexp.core.signals import listen
from embexp.errors import EmbexpError

_OF_THE_MULTIRUN = ("hydra", "sweep", "tracking", "paths")  # what the multirun itself reads
_CHOICE = "=choice("


def _leave_to_jobs(arguments: Sequence[str]) -> list[str]:
    """The arguments of a multirun with every override that its jobs read as a choice of one value.

    `null` stays as it is: a choice cannot hold it. So do deletions (`~key`).

    >>> _leave_to_jobs(["-m", "loss=contrastive,angle", "loss.margin=0.3", "sweep.workers=2"])
    ['-m', 'loss=contrastive,angle', 'loss.margin=choice(0.3)', 'sweep.workers=2']
    >>> _leave_to_jobs(["loss=angle", "loss.scale=3"])
    ['loss=angle', 'loss.scale=3']
    """
    if not {"-m", "--multirun"} & {*arguments} or any(argument.startswith("hydra/sweeper=") for argument in arguments):
        return [*arguments]
    return [_as_choice(argument) for argument in arguments]


def as_typed(override: str) -> str:
    """An override as it was before `_leave_to_jobs`.

    >>> as_typed("loss.margin=choice(0.3)"), as_typed("seed=choice(1,2)"), as_typed("seed=1")
    ('loss.margin=0.3', 'seed=choice(1,2)', 'seed=1')
    """
    key, sign, value = override.partition(_CHOICE)
    if not sign or len(_choices_of(override)) != 1:
        return override
    return f"{key}={value.removesuffix(')')}"


def _as_choice(argument: str) -> str:
    key, sign, value = argument.partition("=")
    if not sign or key.startswith(("-", "~")) or key.lstrip("+").startswith(_OF_THE_MULTIRUN):
        return argument
    parsed = _parsed(argument)
    if parsed is None or parsed.is_sweep_override():
        return argument
    choice = f"{key}{_CHOICE}{value})"
    return choice if len(_choices_of(choice)) == 1 else argument


def _choices_of(override: str) -> list[str]:
    parsed = _parsed(override)
    return [*parsed.sweep_string_iterator()] if parsed and parsed.is_discrete_sweep() else []


def is_sweep(override: str) -> bool:
    """Whether an override names several values."""
    parsed = _parsed(override)
    return parsed is not None and parsed.is_sweep_override()


def _parsed(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:  # Hydra reads it next and reports it
        return None


MISTAKES = (EmbexpError, HydraException, OmegaConfBaseException)
_Task = Callable[[DictConfig, dict[str, Any], Path], Any]
_Rewrite = Callable[[Sequence[str]], list[str]]


def run_command(task: _Task, config_name: str = "config", rewrite: _Rewrite | None = None) -> None:
    """Run `task(config, choices, folder)` for the command line, through Hydra.

    `rewrite` turns the arguments without Hydra's flags into overrides, where a command takes others than overrides.

    A user's mistake is printed as one message and exits with code 1; HYDRA_FULL_ERROR=1 shows the traceback.
    SIGTERM ends the task with Terminated, so that its run is closed as KILLED.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors to us in place of printing them
    listen()

    def job(config: DictConfig) -> Any:
        return _run_job(task, config, config_name, wants_traceback)

    try:
        flags, arguments = split_flags(sys.argv[1:])
        note_config_dir(flags)
        overrides = rewrite(arguments) if rewrite else arguments
        sys.argv[1:] = _leave_to_jobs([*flags, *quote_texts(expand_paths(overrides))])
        hydra.main(config_path=str(conf_dir()), config_name=config_name, **VERSION_BASE, **TRUSTED)(job)()
    except MISTAKES as error:
        if wants_traceback:
            raise
        exit_with(error)
    except BrokenPipeError:  # who read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _run_job(task: _Task, config: DictConfig, config_name: str, wants_traceback: bool) -> Any:
    hydra_config = HydraConfig.get()
    try:
        choices = OmegaConf.to_container(hydra_config.runtime.choices)
        check_config(config, choices, config_name)
        return task(config, choices, Path(hydra_config.runtime.output_dir))
    except MISTAKES as error:
        if wants_traceback or hydra_config.mode == RunMode.MULTIRUN:
            raise
        exit_with(error)


def exit_with(error: Exception) -> None:
    """Print the one message that a mistake deserves, and end with code 1."""
    print(f"Error: {explain(error)}", file=sys.stderr)
    sys.exit(1)
