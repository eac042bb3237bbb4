"""`python -m embexp`: one run, or with -m every combination of a sweep."""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.core.environment import SWEEP_ID
from embexp.core.profiling import timed_job


def main() -> None:
    """Compose the configuration, plan the run, execute it, and close the sweep if this was one."""
    from embexp.cli.app import run_command
    from embexp.sweep.finish import closing_sweep

    with closing_sweep():
        run_command(train)


def train(config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
    """One run, or the rest of one; the primary metric is returned, for sweepers that optimise it."""
    from embexp.core.run_folder import held
    from embexp.sweep.finish import recorded_job

    with held(folder), timed_job():
        if SWEEP_ID in os.environ:
            with recorded_job(folder):
                return _train_cell(config, choices, folder)
        return _train(config, choices, folder)


def _train_cell(config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
    from embexp.experiment.plan import plan_run
    from embexp.sweep.job_cache import BUILDERS, run_cell

    return run_cell(plan_run(config, choices, folder, BUILDERS), config.sweep.rerun)


def _train(config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
    from embexp.experiment.plan import plan_run
    from embexp.experiment.resume import check_unused, resumed
    from embexp.sweep.finish import recorded_job, typed_overrides

    resume = config.resume is not None
    if resume:
        config, choices = resumed(folder, typed_overrides())
    else:
        check_unused(folder)
    with recorded_job(folder):
        plan = plan_run(config, choices, folder)

        from embexp.experiment.execute import execute

        return execute(plan, resume).primary_value


if __name__ == "__main__":
    main()
