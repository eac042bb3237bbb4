"""embexp's launcher, where Hydra looks for launchers; how jobs are run stands in embexp/sweep/."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class SweepLauncher(Launcher):
    """Runs the jobs of a multirun in this process or in worker processes, and shows the progress."""

    def setup(self, *, hydra_context: "HydraContext", task_function: "TaskFunction", config: "DictConfig") -> None:
        from embexp.sweep.jobs import JobRunner

        self.runner = JobRunner(hydra_context, task_function, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence["JobReturn"]:
        from embexp.sweep.start import launch

        if not self.runner.config.sweep.get("race"):
            return launch(self.runner, job_overrides, initial_job_idx)
        from embexp.racing.raced_sweep import in_rounds

        return launch(self.runner, job_overrides, initial_job_idx, in_rounds)
