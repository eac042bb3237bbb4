"""`python -m embexp.tune`: search for the values that make the best model on dev, with Optuna."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.errors import ConfigError, EmbexpError


def main() -> None:
    """Take from the command line what is searched, compose the rest, and run the study."""
    import embexp.tuning.record  # noqa: F401  # knows the folder that conf/tune.yaml asks for
    from embexp.command import exit_with, run_command
    from embexp.tuning.space import with_space

    try:
        sys.argv[1:] = with_space(sys.argv[1:])
    except EmbexpError as error:
        exit_with(error)
    run_command(tune, "tune")


def tune(config: DictConfig, _choices: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the trials that the study lacks, below one parent run, and tell the best; returns what was found.

    Raises:
        ConfigError: Optuna is missing, or the search cannot be as it was typed.
        EmbexpError: what does not fit, told before the first trial.
        TrainingError: all trials failed.
    """
    from hydra.core.hydra_config import HydraConfig

    check_settings(config)
    typed = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)

    from embexp.tuning.space import check_values, read_space, run_overrides

    fixed = run_overrides(typed)
    space = read_space(config.tune.space, fixed)
    check_values(space, fixed)

    from embexp.tuning.story import run_study

    return run_study(config, typed, fixed, space, folder)


def check_settings(config: DictConfig) -> None:
    """Raise ConfigError unless there is Optuna, and as many trials as can be."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("embexp.tune needs Optuna, which is not installed. Type pip install 'embexp[tune]'.")
    if config.trials < 1:
        raise ConfigError(f"trials={config.trials}: expected at least 1, the number of all trials of the study.")
    if config.resume is not None:
        raise ConfigError("resume goes on with one run. A study is gone on with by its own command: leave resume out.")


if __name__ == "__main__":
    main()
