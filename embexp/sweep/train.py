"""One job from its configuration to its result: a run, the rest of one, or a cell of a sweep."""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.core.run_context import RunContext, Timer
from embexp.core.run_folder import RECORD, RESULT, held, is_closed, read_json, readable, write_json, write_text
from embexp.errors import SkippedJobError

TRACE = "error.txt"  # in a job's folder: where in the code it failed


class Training:
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
        from hydra.core.hydra_config import HydraConfig

        from embexp.sweep.start import sweep_of_job

        sweep, parent = sweep_of_job()
        typed = OmegaConf.to_container(HydraConfig.get().overrides, resolve=False)
        folder_typed = [own for own in typed["hydra"] if own.startswith("hydra.run.dir=")]
        try:
            context = RunContext(parent, sweep, self.builders, Timer(self.began))
            return train(config, choices, folder, [*typed["task"], *folder_typed], context)
        finally:
            self.began = time.perf_counter()


def train(
    config: DictConfig, choices: dict[str, Any], folder: Path, overrides: Sequence[str], context: RunContext
) -> float:
    """Run a job, or the rest of it; return the primary metric.

    Args:
        overrides: of this job, as they were typed.
    """
    from embexp.experiment.plan import plan_run
    from embexp.experiment.resume import check_unused, resumed

    with held(folder):
        if context.sweep:
            with _recorded(folder, overrides):
                from embexp.sweep.jobs import run_or_reuse

                return run_or_reuse(plan_run(config, choices, folder, context=context), config.sweep.rerun, context)
        resume = config.resume is not None
        if resume:
            config, choices = resumed(folder, overrides)
        else:
            check_unused(folder)
        with _recorded(folder, overrides):
            plan = plan_run(config, choices, folder, context=context)

            from embexp.experiment.execute import execute

            return execute(plan, resume, context=context).primary_value


@contextmanager
def _recorded(folder: Path, overrides: Sequence[str]) -> Iterator[None]:
    """Leave result.json and the traceback in the folder of a job that failed, also before its run was opened."""
    try:
        yield
    except BaseException as error:
        begun = [folder] if (folder / RECORD).is_file() else []
        if not isinstance(error, SkippedJobError) and not any(closed for _, closed in readable(begun, is_closed)):
            path = folder / RESULT
            files = [path] if path.is_file() else []
            content = next((content for _, content in readable(files, read_json)), {"run": {"status": "FAILED"}})
            write_json(path, content | {"error": f"{type(error).__name__}: {error}", "overrides": [*overrides]})
            write_text(folder / TRACE, "".join(traceback.format_exception(error)))
        raise
    (folder / TRACE).unlink(missing_ok=True)
