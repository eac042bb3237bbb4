"""`python -m embexp`: one run, or with -m every combination of a sweep."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.stopwatch import timed_job


def main() -> None:
    """Compose the configuration, plan the run, execute it, and close the sweep if this was one."""
    from embexp.command import run_command
    from embexp.sweep import closing_sweep

    with closing_sweep():
        run_command(train)


def train(config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
    """One run, or the rest of one; the primary metric is returned, for sweepers that optimise it."""
    from embexp.run_record import held

    with held(folder), timed_job():
        return _train(config, choices, folder)


def _train(config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
    from embexp.plan import plan_run
    from embexp.resuming import check_unused, resumed
    from embexp.sweep import recorded_job, shared_builders, typed_overrides

    resume = config.resume is not None
    if resume:
        config, choices = resumed(folder, typed_overrides())
    else:
        check_unused(folder)
    with recorded_job(folder):
        plan = plan_run(config, choices, folder, shared_builders())

        from embexp.run import execute

        return execute(plan, resume).primary_value


if __name__ == "__main__":
    main()
