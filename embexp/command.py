"""What all commands share: Hydra's entry, and mistakes as one message."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from embexp.config import TRUSTED, VERSION_BASE, conf_dir, defaults_of
from embexp.errors import EmbexpError
from embexp.explaining import explain
from embexp.interrupts import listen
from embexp.job_overrides import leave_to_jobs
from embexp.overrides import expand_paths, quote_texts
from embexp.value_types import check_value_types

MISTAKES = (EmbexpError, HydraException, OmegaConfBaseException)
Task = Callable[[DictConfig, dict[str, Any], Path], Any]


def run_command(task: Task, config_name: str = "config") -> None:
    """Run `task(config, choices, folder)` for the command line, through Hydra.

    A user's mistake is printed as one message and exits with code 1; HYDRA_FULL_ERROR=1 asks for the traceback.
    SIGTERM ends the task with Terminated, so that its run is closed as KILLED.
    """
    import hydra

    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors to us in place of printing them
    listen()

    def job(config: DictConfig) -> Any:
        return _run_job(task, config, config_name, wants_traceback)

    try:
        sys.argv[1:] = leave_to_jobs(quote_texts(expand_paths(sys.argv[1:])))
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


def _run_job(task: Task, config: DictConfig, config_name: str, wants_traceback: bool) -> Any:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra_config = HydraConfig.get()
    try:
        choices = OmegaConf.to_container(hydra_config.runtime.choices)
        check_value_types(config, defaults_of(choices, config_name, config))
        return task(config, choices, Path(hydra_config.runtime.output_dir))
    except MISTAKES as error:
        if wants_traceback or hydra_config.mode == RunMode.MULTIRUN:
            raise
        exit_with(error)


def exit_with(error: Exception) -> None:
    """Print the one message that a mistake deserves, and end with code 1."""
    print(f"Error: {explain(error)}", file=sys.stderr)
    sys.exit(1)
