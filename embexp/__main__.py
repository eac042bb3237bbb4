"""`python -m embexp`: one run, or with -m every combination of a sweep."""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.environment import SWEEP_ID
from embexp.stopwatch import timed_job


def main() -> None:
    """Compose the configuration, plan the run, execute it, and close the sweep if this was one."""
    from embexp.command import run_command
    from embexp.sweep.closing import closing_sweep

    with closing_sweep():
        run_command(train)


def train(config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
    """One run, or the rest of one; the primary metric is returned, for sweepers that optimise it."""
    from embexp.run_record import held
    from embexp.sweep.failures import recorded_job

    with held(folder), timed_job():
        if SWEEP_ID in os.environ:
            with recorded_job(folder):
                return _train_cell(config, choices, folder)
        return _train(config, choices, folder)


def _train_cell(config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
    from embexp.plan import plan_run
    from embexp.sweep.cells import BUILDERS, run_cell

    return run_cell(plan_run(config, choices, folder, BUILDERS), config.sweep.rerun)


def _train(config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
    from embexp.plan import plan_run
    from embexp.resuming import check_unused, resumed
    from embexp.sweep.failures import recorded_job, typed_overrides

    resume = config.resume is not None
    if resume:
        config, choices = resumed(folder, typed_overrides())
    else:
        check_unused(folder)
    with recorded_job(folder):
        plan = plan_run(config, choices, folder)

        from embexp.run import execute

        return execute(plan, resume).primary_value


if __name__ == "__main__":
    main()
