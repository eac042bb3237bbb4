"""Runs as they were recorded, from their folder or from an MLflow store by its search."""

import functools
import gc
import hashlib
import math
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.redaction import redacted
from embexp.core.run_folder import is_file_name
from embexp.errors import ConfigError, Problem, TrackingError, did_you_mean, listed
from embexp.tracking.local_store import local_file
from embexp.tracking.mlflow_store import store_errors
from embexp.tracking.mlflow_tracker import KEY_TAG, PARENT_TAG, SWEEP_TAG, MlflowTracker
from embexp.tracking.run_parts import PART_TAG
from embexp.tracking.store_limits import LONGEST_PARAM, allowed_name, allowed_text, recorded_name

if TYPE_CHECKING:
    from mlflow.entities import Run

PRIMARY = "primary"  # the tag that names the run's primary metric
FINISHED = "FINISHED"


@dataclass(frozen=True)
class RecordedRun:
    """What is known of a run without opening its files.

    Attributes:
        ended: seconds since 1970.
        params: flat, as texts; keys of params and metrics are those that MLflow takes (`ndcg_at_10`).
        metrics: the last finite value of each.
        examples: gives the Parquet file of per-example values by its name (`sts_test`); None where there is none.
        folder: where it is; None of one that comes from the store.
        page: its address in the tracker's UI, with what makes that answer; empty without one.
        typed: the overrides of a sweep's job.
        searched: what the search of its learning rate found: tried (rate and dev each), chosen, share; else empty.
    """

    id: str
    name: str
    status: str
    ended: float
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    examples: Callable[[str], Path | None]
    folder: Path | None = None
    page: str = ""
    typed: tuple[str, ...] = ()
    searched: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> str:
        return self.params.get("seed", "")

    @property
    def primary(self) -> str | None:
        """The key of its primary metric; None of a run that trained nothing."""
        return self.tags.get(PRIMARY)


def as_recorded_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as MLflow keeps them.

    >>> as_recorded_params({"loss.scale": 20.0, "dataset.label@1": "a", "shape": None})
    {'loss.scale': '20.0', 'dataset.label_at_1--e46d8a77': 'a'}
    """
    return _given({allowed_name(key): allowed_text(str(value), LONGEST_PARAM) for key, value in params.items()})


def _given(params: Mapping[str, str]) -> dict[str, str]:
    """Those with a value; runs of earlier versions also have those without."""
    return {key: value for key, value in params.items() if value != "None"}


def as_recorded_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as MLflow keeps them; those that are no finite number are not sent there.

    >>> as_recorded_metrics({"test/beir/ndcg_at_10": 0.5, "delta/beir/ndcg_at_10_low": float("nan")})
    {'test/beir/ndcg_at_10': 0.5}
    """
    return {allowed_name(key): value for key, value in metrics.items() if value is not None and math.isfinite(value)}


os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each file of each run
_PAGE = 1000  # runs that come with one answer
_EXAMPLES = "examples"  # folder of a run's artifacts
_MISTAKES = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")  # MLflow's errors that are the user's


class MlflowRuns:
    """The runs of a tracker's store.

    Args:
        downloads: an empty folder for the files of runs.
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
        text = f"is neither a sweep's folder nor a run in MLflow at {redacted(self.tracker.uri)}"
        expected, fix = "its folder, or the id of the sweep or of its parent run", ("sweep=<sweeps>/<date>/<time>",)
        with self._answers(Problem(text, "sweep", parent, expected, fix=fix)):
            run = self._client.get_run(parent)
        found = self._search(run.info.experiment_id, f"tags.`{PARENT_TAG}` = '{parent}'")
        if sweep := run.data.tags.get(KEY_TAG):  # jobs that it took from other sweeps are below those
            found += self._search(run.info.experiment_id, f"tags.`{SWEEP_TAG}` LIKE '%{sweep}%'")
        return [*{run.id: run for run in found}.values()]

    def matching(self, condition: str) -> list[RecordedRun]:
        """The runs of the tracker's experiment that fit a condition in MLflow's own language, oldest first.

        Raises:
            ConfigError: MLflow does not understand the condition, or there is no such experiment.
            TrackingError: the store does not answer.
        """
        name, client = self.tracker.experiment, self._client
        missing = Problem(f"is no experiment in MLflow at {redacted(self.tracker.uri)}", "tracking.experiment", name)
        with self._answers(missing):
            experiment = client.get_experiment_by_name(name)
            others = [] if experiment else [each.name for each in client.search_experiments() if each.name != "Default"]
        if experiment is None:
            fix = (*(shlex.quote(f"tracking.experiment={each}") for each in others), "tracking.uri=<another store>")
            expected = f"the one that the runs were sent to; this store has: {listed(others)}"
            raise ConfigError(replace(missing, expected=expected, note=did_you_mean(name, others), fix=fix))
        return self._search(experiment.experiment_id, condition)

    @property
    def _client(self) -> Any:
        """Reading makes no store: where its file is missing MLflow would make one, or try to for two minutes."""
        uri = self.tracker.uri
        if (file := local_file(uri)) and not file.exists():
            expected = "a store that runs were sent to"
            fix = ("tracking.uri=sqlite:///<folder>/mlflow.db", "sweep=<sweeps>/<date>/<time>")
            raise ConfigError(Problem("is not there", "tracking.uri", uri, expected, fix=fix))
        return self.tracker.client

    def _search(self, experiment: str, condition: str) -> list[RecordedRun]:
        """The runs that fit, oldest first, without those that only hold others and without parts of runs."""
        runs: list[tuple[RecordedRun, str | None]] = []
        token = None
        example = "filter=\"params.model = 'minilm' and tags.verdict = 'better'\""
        expected = "a condition on params, metrics, tags or attributes, with texts in quotes"
        while True:
            with self._answers(
                Problem("is no filter that MLflow understands", "filter", condition, expected, fix=(example,))
            ):
                page = self._page(experiment, condition, token)
            whole = (run for run in page if PART_TAG not in run.data.tags)
            runs += [(self._recorded(run), run.data.tags.get(PARENT_TAG)) for run in whole]
            token = page.token
            if not token:
                parents = {parent for _, parent in runs}
                return [run for run, _ in runs if run.id not in parents]

    def _page(self, experiment: str, condition: str, token: str | None) -> Any:
        """The runs of one answer.

        The garbage collector waits: MLflow makes an object of every metric, parameter and tag, 150,000 for a page, and
        it would look through all of them again and again.
        """
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return self.tracker.client.search_runs(
                [experiment], condition, max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
            )
        finally:
            if was_enabled:
                gc.enable()

    def _recorded(self, run: "Run") -> RecordedRun:
        return RecordedRun(
            id=run.info.run_id,
            name=run.info.run_name,
            status=run.info.status,
            ended=(run.info.end_time or 0) / 1000,
            params=_given(run.data.params),
            metrics={recorded_name(key): value for key, value in run.data.metrics.items()},
            tags={key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
            examples=functools.partial(self._download, run.info.run_id),
            page=self.tracker.page_of_run(run.info.experiment_id, run.info.run_id),
        )

    def _download(self, run_id: str, name: str) -> Path | None:
        path = f"{_EXAMPLES}/{name}.parquet"
        if not is_file_name(name):  # the store says what the run's evaluators are called
            return None
        gone = f"MLflow at {redacted(self.tracker.uri)} has no run {run_id} any more"
        with self._answers(
            Problem(gone, expected="runs that stay until they are read", note="Type the command again.")
        ):
            if path not in {file.path for file in self.tracker.client.list_artifacts(run_id, _EXAMPLES)}:
                return None
            folder = self.downloads / hashlib.sha256(run_id.encode()).hexdigest()  # a store may call a run ../../x
            folder.mkdir(parents=True, exist_ok=True)
            return Path(self.tracker.client.download_artifacts(run_id, path, str(folder)))

    @contextmanager
    def _answers(self, mistake: Problem) -> Iterator[None]:
        """Turn MLflow's errors into ours: this mistake of the user, or a store that fails."""
        try:
            yield
        except store_errors() as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            if getattr(error, "error_code", None) in _MISTAKES:
                raise ConfigError(replace(mistake, note=f"MLflow says: {said}")) from error
            raise TrackingError(
                f"MLflow at {redacted(self.tracker.uri)} cannot be read: {said}",
                expected="a store that answers: check tracking.uri, or name the sweep's folder",
                fix="sweep=<sweeps>/<date>/<time>",
            ) from error
