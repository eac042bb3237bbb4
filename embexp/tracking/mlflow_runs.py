"""Many runs of an MLflow store at once: their parameters, metrics and tags by its search, files only when asked for."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.errors import ConfigError, TrackingError
from embexp.tracking.mlflow_tracker import KEY_TAG, PARENT_TAG, MlflowTracker
from embexp.tracking.recorded_run import RecordedRun
from embexp.tracking.run_parts import PART_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each file of each run
PAGE = 1000  # runs that come with one answer
SWEEP_TAG = "embexp.sweep"  # the ids of the sweeps that a run belongs to
OF_MLFLOW = "mlflow."  # tags that MLflow sets by itself
EXAMPLES = "examples"  # folder of a run's artifacts
MISTAKES = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")  # MLflow's errors that are the user's


class MlflowRuns:
    """The runs of a tracker's store.

    Args:
        downloads: an empty folder for files of runs that are asked for.
    """

    def __init__(self, tracker: MlflowTracker, downloads: Path) -> None:
        self.tracker = tracker
        self.downloads = downloads

    def below(self, parent: str) -> list[RecordedRun]:
        """The jobs of a sweep, oldest first.

        Raises:
            ConfigError: the store has no such run.
            TrackingError: the store does not answer.
        """
        with self._answers(
            f"sweep={parent} is neither a sweep's folder nor a run in MLflow at {self.tracker.uri}. Expected one of "
            "both: type sweep=<sweeps>/<date>/<time>, or the id of the sweep or of its parent run."
        ):
            run = self.tracker.client.get_run(parent)
        found = self._search(run.info.experiment_id, f"tags.`{PARENT_TAG}` = '{parent}'")
        if sweep := run.data.tags.get(KEY_TAG):  # jobs that it took from other sweeps are below those
            found += self._search(run.info.experiment_id, f"tags.`{SWEEP_TAG}` LIKE '%{sweep}%'")
        return [*{run.id: run for run in found}.values()]

    def parent_of(self, run_id: str) -> str | None:
        """The id of the parent run of a job.

        Raises:
            TrackingError: the store does not answer, or does not have the job.
        """
        with self._answers(f"MLflow at {self.tracker.uri} has no run {run_id}. Expected the store of the sweep."):
            return self.tracker.client.get_run(run_id).data.tags.get(PARENT_TAG)

    def matching(self, condition: str) -> list[RecordedRun]:
        """The runs of the tracker's experiment that fit a condition in MLflow's own language, oldest first.

        Raises:
            ConfigError: MLflow does not understand the condition, or there is no such experiment.
            TrackingError: the store does not answer.
        """
        missing = (
            f"MLflow at {self.tracker.uri} has no experiment {self.tracker.experiment!r}. Expected the one that the "
            "runs were sent to: type tracking.uri=<its store>, or tracking.experiment=<its name>."
        )
        with self._answers(missing):
            experiment = self.tracker.client.get_experiment_by_name(self.tracker.experiment)
        if experiment is None:
            raise ConfigError(missing)
        return self._search(experiment.experiment_id, condition)

    def _search(self, experiment: str, condition: str) -> list[RecordedRun]:
        """The runs that fit, oldest first, without those that only hold others and without parts of runs."""
        runs, token = [], None
        while True:
            with self._answers(
                f"filter={condition} is no filter that MLflow understands. Expected one such as "
                "filter=\"params.model = 'minilm' and tags.verdict = 'better'\"."
            ):
                page = self.tracker.client.search_runs(
                    [experiment],
                    condition,
                    max_results=PAGE,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
            runs += page
            token = page.token
            if not token:
                whole = [run for run in runs if PART_TAG not in run.data.tags]
                parents = {run.data.tags.get(PARENT_TAG) for run in whole}
                return [self._recorded(run) for run in whole if run.info.run_id not in parents]

    def _recorded(self, run: "Run") -> RecordedRun:
        return RecordedRun(
            id=run.info.run_id,
            name=run.info.run_name,
            status=run.info.status,
            ended=(run.info.end_time or 0) / 1000,
            params=run.data.params,
            metrics=run.data.metrics,
            tags={key: value for key, value in run.data.tags.items() if not key.startswith(OF_MLFLOW)},
            examples=functools.partial(self._download, run.info.run_id),
        )

    def _download(self, run_id: str, name: str) -> Path | None:
        path = f"{EXAMPLES}/{name}.parquet"
        with self._answers(f"MLflow at {self.tracker.uri} has no run {run_id} any more. Expected it to stay."):
            if path not in {file.path for file in self.tracker.client.list_artifacts(run_id, EXAMPLES)}:
                return None
            folder = self.downloads / run_id
            folder.mkdir(parents=True, exist_ok=True)
            return Path(self.tracker.client.download_artifacts(run_id, path, str(folder)))

    @contextmanager
    def _answers(self, mistake: str) -> Iterator[None]:
        """Turns MLflow's errors into ours: the user's mistake, told in these words, or a store that fails."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            if getattr(error, "error_code", None) in MISTAKES:
                raise ConfigError(f"{mistake} MLflow says: {said}") from error
            raise TrackingError(
                f"MLflow at {self.tracker.uri} cannot be read: {said} Expected a store that answers: check "
                "tracking.uri, or name the sweep's folder: sweep=<sweeps>/<date>/<time>."
            ) from error
