"""What all commands share: Hydra's entry, and mistakes as one message.

Hydra composes a multirun once without what is swept, so of the default option of each group, and applies the other
overrides to that: `loss=contrastive,triplet loss.margin=0.3` and `dataset=my.csv ~dataset.steps.split` would fail. So
it gets only what the multirun itself reads; the jobs get all (`JOBS`).
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
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

_OF_THE_MULTIRUN = re.compile(r"[+~]*(hydra|sweep|tracking|paths|experiment)\b(?!@)")  # what the multirun itself reads
_MULTIRUN, _SHOWS = {"-m", "--multirun"}, {"--cfg", "-c"}
JOBS: ContextVar[tuple[str, ...] | None] = ContextVar("overrides of the jobs of a multirun", default=None)


def _for_hydra(arguments: Sequence[str], config_name: str) -> list[str]:
    """The arguments that Hydra gets. Those of a multirun that are for its jobs stand in `JOBS`, in their order.

    >>> _for_hydra(["-m", "loss=contrastive,angle", "~loss.margin", "sweep.workers=2", "seed=1"], "config"), JOBS.get()
    (['-m', 'sweep.workers=2'], ('loss=contrastive,angle', '~loss.margin', 'sweep.workers=2', 'seed=1'))
    >>> _for_hydra(["-m", "--cfg", "job", "loss=angle,mnrl"], "config")
    ['--cfg', 'job', 'loss=angle']
    """
    JOBS.set(None)
    if not _MULTIRUN & {*arguments} or config_name != "config":
        return [*arguments]
    if _SHOWS & {*arguments}:  # the configuration of the first job
        return [_first_value(each) for each in arguments if each not in _MULTIRUN]
    flags, overrides = split_flags(arguments)
    own = [each for each in overrides if _OF_THE_MULTIRUN.match(each) and not is_sweep(each)]
    JOBS.set(tuple(each for each in overrides if not each.lstrip("+~").startswith("hydra")))
    return [*flags, *own]


def _first_value(argument: str) -> str:
    parsed = _parsed(argument)
    if parsed is None or not parsed.is_discrete_sweep():
        return argument
    return f"{parsed.get_key_element()}={next(parsed.sweep_string_iterator())}"


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
        sys.argv[1:] = _for_hydra([*flags, *quote_texts(expand_paths(overrides))], config_name)
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
