"""`python -m embexp`: one run, or with -m every combination of a sweep."""

import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.core.profiling import Timer
from embexp.core.run_context import RunContext


def main() -> None:
    """Compose the configuration, plan the run, execute it, and close the sweep if this was one."""
    from embexp.cli.app import run_command
    from embexp.sweep.finish import closing_sweep

    with closing_sweep():
        run_command(_Training())


class _Training:
    """The task of the command: a run, or the jobs of a sweep, one after the other in this process.

    Jobs share the data sets that were built. Composing a job's configuration belongs to the job's time, so that begins
    where the job before has ended.
    """

    def __init__(self) -> None:
        self.builders: dict[str, Any] = {}
        self.began = time.perf_counter()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()  # in a worker process it begins with nothing

    def __call__(self, config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
        """Do one run, or the rest of one; return the primary metric, for sweepers that optimise it."""
        from embexp.core.run_folder import held
        from embexp.sweep.start import sweep_of_job

        sweep, parent = sweep_of_job()
        with held(folder):
            try:
                return _train(config, choices, folder, RunContext(parent, sweep, self.builders, Timer(self.began)))
            finally:
                self.began = time.perf_counter()


def _train(config: DictConfig, choices: dict[str, Any], folder: Path, context: RunContext) -> float:
    from embexp.experiment.plan import plan_run
    from embexp.experiment.resume import check_unused, resumed
    from embexp.sweep.finish import recorded_job, typed_overrides

    if context.sweep:
        with recorded_job(folder):
            from embexp.sweep.job_cache import run_or_reuse

            return run_or_reuse(plan_run(config, choices, folder, context=context), config.sweep.rerun, context)
    resume = config.resume is not None
    if resume:
        config, choices = resumed(folder, typed_overrides())
    else:
        check_unused(folder)
    with recorded_job(folder):
        plan = plan_run(config, choices, folder, context=context)

        from embexp.experiment.execute import execute

        return execute(plan, resume, context=context).primary_value


if __name__ == "__main__":
    main()
