"""MLflow as a Tracker, through its client API: no global active run that one job could leave to the next."""

import functools
import importlib.metadata
import json
import logging
import os
import random
import re
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from embexp.core.arguments import TEXT, LegalValues, problems_with, refuse
from embexp.core.file_contents import link_copies
from embexp.core.run_context import timed
from embexp.core.run_folder import RESUME_FILES
from embexp.errors import ConfigError, TrackingError

# A server that does not answer is given up after some 15 seconds; MLflow's own setting takes four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
PARENT_TAG = "mlflow.parentRunId"
_REFUSED = re.compile(r"[^\w.\-: /]")  # characters that no name may hold
KEY_TAG = "embexp.run"  # the run's own key, by which it is found again
_LOCKED, _MOST_SECONDS = "database is locked", 60.0  # SQLite: of many runs that start together one writes at a time


def store_errors() -> tuple[type[Exception], ...]:
    """What MLflow's client raises when a store fails.

    A database that goes away raises SQLAlchemy's own error from the rollback, past MLflow's wrapping; one whose driver
    is not installed an ImportError.
    """
    with timed("importing mlflow"):
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    return MlflowException, SQLAlchemyError, OSError, ImportError


def _unless_locked(method: Callable, *args: Any, **kwargs: Any) -> Any:
    """What the method gives, tried again while the store is a SQLite file that others write to.

    A transaction that fails leaves nothing behind, so each method may be called again.
    """
    end = time.monotonic() + _MOST_SECONDS
    while True:
        try:
            return method(*args, **kwargs)
        except store_errors() as error:
            if _LOCKED not in str(error) or time.monotonic() > end:
                raise
        time.sleep(random.uniform(0.1, 1.0))  # SQLite refuses one of two that wait for each other, at once


def _reported(method: Callable) -> Callable:
    """Turn MLflow's errors into TrackingError, which the journal survives."""

    @functools.wraps(method)
    def call(self: "MlflowTracker", *args: Any, **kwargs: Any) -> Any:
        try:
            return _unless_locked(method, self, *args, **kwargs)
        except store_errors() as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            raise TrackingError(
                f"MLflow at {self.uri} failed in {method.__name__}: {first_line}",
                expected="a store that answers: check tracking.uri, or run without a store",
                fix="tracking=none",
            ) from error

    return call


class MlflowTracker:
    """Runs, metrics and models in an MLflow store.

    Args:
        uri: the tracking server or database; None is `mlflow.db` (SQLite) in the working directory.
        experiment: name of the experiment, created when missing.
        log_model: store the trained model as an MLflow model.
        checkpoint: what of a checkpoint folder `log_checkpoint` stores: none, weights or full.
        telemetry: let MLflow send its usage reports.
        register: the name in MLflow's registry of which the trained model becomes a new version; None registers none.

    Raises:
        ConfigError: an unknown setting of checkpoint, a name that the registry refuses, or no model to register.
    """

    def __init__(
        self,
        uri: str | None,
        experiment: str,
        log_model: bool,
        checkpoint: str,
        telemetry: bool,
        register: str | None = None,
    ) -> None:
        kinds = LegalValues(one_of=("none", "weights", "full"))
        problems = [*problems_with("tracking.checkpoint", checkpoint, kinds, such_as="weights")]
        problems += problems_with("tracking.experiment", experiment, TEXT, such_as="embexp")
        refuse([*problems, *problems_with("tracking.uri", uri, LegalValues(text=True, optional=True), such_as="null")])
        if register is not None and (not register.strip() or {"/", ":"} & set(register) or not log_model):
            raise ConfigError(
                "cannot be registered" if log_model else "needs the model in the store",
                key="tracking.register",
                given=register,
                expected="a name without / and :, and the model stored",
                fix="tracking.register=my-model tracking.log_model=true",
            )
        self.register = register
        self.uri = uri or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
        self.experiment = experiment
        self.keeps_model = log_model
        self.checkpoint = checkpoint
        self.run_id = ""
        if not telemetry:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

    @functools.cached_property
    def client(self) -> Any:
        """MLflow's client for this store."""
        mlflow = _quiet_mlflow()
        mlflow.set_tracking_uri(self.uri)
        return mlflow.MlflowClient(self.uri)

    @_reported
    def prepare(self) -> None:
        """Create the store and the experiment if they are missing. Call it once, before any parallel job."""
        path = Path(self.uri.removeprefix("sqlite:///"))
        if self.uri.startswith("sqlite:///") and not path.exists() and path.parent.is_dir():
            _make_database(path)
        self._experiment_id()

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            try:
                return self.client.create_experiment(self.experiment)
            except MlflowException:  # another process has made it meanwhile
                experiment = self.client.get_experiment_by_name(self.experiment)
                if experiment is None:
                    raise
        return experiment.experiment_id

    @_reported
    def start(self, name: str, parent: str | None = None, key: str | None = None) -> str:
        """Open a run, below `parent` when given, and return its id; the run that has the key, where there is one."""
        experiment = self._experiment_id()
        if found := self._run_with(key, experiment) if key else None:
            self.run_id = found
            self.client.update_run(self.run_id, status="RUNNING")
            return self.run_id
        tags = {tag: value for tag, value in ((PARENT_TAG, parent), (KEY_TAG, key)) if value}
        self.run_id = self.client.create_run(experiment, run_name=name, tags=tags).info.run_id
        return self.run_id

    def _run_with(self, key: str, experiment: str) -> str | None:
        found = self.client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'")
        return found[0].info.run_id if found else None

    @_reported
    def attach(self, key: str) -> None:
        """Take up the run that has the key without opening it again; MLflow adds to finished runs, too.

        Raises:
            TrackingError: the store has no such run.
        """
        experiment = self.client.get_experiment_by_name(self.experiment)
        found = self._run_with(key, experiment.experiment_id) if experiment else None
        if not found:
            raise TrackingError(
                f"MLflow at {self.uri} has no run with {KEY_TAG}={key} in the experiment {self.experiment!r}",
                expected="the store that the run was sent to: check tracking.uri in its config.yaml",
            )
        self.run_id = found

    @_reported
    def latest(self, keys: Collection[str]) -> dict[str, float]:
        """The last value of each of these metrics that the run has."""
        stored = self.client.get_run(self.run_id).data.metrics
        return {key: stored[allowed_name(key)] for key in keys if allowed_name(key) in stored}

    @_reported
    def logged(self, keys: Collection[str]) -> set[tuple[str, int]]:
        """Which of these metrics the run has at which steps."""
        stored = self.client.get_run(self.run_id).data.metrics
        return {
            (key, entry.step)
            for key in keys
            if allowed_name(key) in stored
            for entry in self.client.get_metric_history(self.run_id, allowed_name(key))
        }

    @_reported
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters, in batches as large as MLflow takes; values longer than it takes are cut."""
        from mlflow.entities import Param

        entries = [Param(allowed_name(key), str(value)[:6000]) for key, value in params.items()]
        for start in range(0, len(entries), 100):
            self.client.log_batch(self.run_id, params=entries[start : start + 100])

    @_reported
    def log_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        entries = [RunTag(allowed_name(key), str(value)[:8000]) for key, value in tags.items()]
        self.client.log_batch(self.run_id, tags=entries)

    @_reported
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [Metric(allowed_name(key), value, now, step or 0) for key, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=entries)

    @_reported
    def log_data(self, name: str, context: str, digest: str, num_rows: int, source: str) -> None:
        """Name the rows among the run's datasets, which the UI shows and filters by."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        dataset = Dataset(name[:500], digest[:36], "local", source, profile=json.dumps({"num_rows": num_rows}))
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
        try:
            self.client.log_inputs(self.run_id, inputs)
        except MlflowException:  # another job named the same rows at the same moment: now they are there
            self.client.log_inputs(self.run_id, inputs)

    @_reported
    def describe(self, text: str) -> None:
        self.client.set_tag(self.run_id, "mlflow.note.content", text[:8000])

    @_reported
    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file, or all files of a folder."""
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    @_reported
    def log_checkpoint(self, path: Path) -> None:
        """Store a checkpoint's files below `checkpoint/`, as the setting `checkpoint` says."""
        if self.checkpoint == "none":
            return
        left_out = RESUME_FILES if self.checkpoint == "weights" else ()
        for file in sorted(path.rglob("*")):
            if file.is_file() and not any(file.match(pattern) for pattern in left_out):
                folder = Path("checkpoint") / path.name / file.relative_to(path).parent
                self.client.log_artifact(self.run_id, str(file), folder.as_posix())

    @_reported
    def log_model(self, path: Path, step: int, metrics: Mapping[str, float]) -> None:
        """Store the model so that `mlflow.sentence_transformers.load_model` finds it, with its step and metrics."""
        from mlflow.entities import Metric

        if not self.keeps_model:
            return
        model = self._stored_model() or self._store_model(path, step)
        now = int(time.time() * 1000)
        entries = [Metric(allowed_name(key), value, now, step, model_id=model) for key, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=entries)

    def _store_model(self, path: Path, step: int) -> str:
        """The id of the model, which is stored now."""
        import mlflow
        from sentence_transformers import SentenceTransformer

        # Named requirements: to find them MLflow would import the model in another process, 18 s long.
        needs = [f"{name}=={importlib.metadata.version(name)}" for name in ("sentence-transformers", "torch")]
        with mlflow.start_run(run_id=self.run_id):
            stored = mlflow.sentence_transformers.log_model(
                SentenceTransformer(str(path), device="cpu"),
                name="model",
                pip_requirements=needs,
                registered_model_name=self.register,
                step=step,
            )
        self.client.update_run(self.run_id, status="RUNNING")  # the context above has ended the run
        place = urlsplit(self.client.get_logged_model(stored.model_id).artifact_location)
        if place.scheme in ("", "file"):  # on this machine, so that both need the room of one
            folder = Path(unquote(place.path) if place.scheme else place.geturl())
            link_copies(folder / "model.sentence_transformer", path)
        return stored.model_id

    def _stored_model(self) -> str | None:
        """The id of the model where a process that was killed had stored it; one that is not whole is removed."""
        experiment = self.client.get_run(self.run_id).info.experiment_id
        whole = None
        for model in self.client.search_logged_models([experiment], f"source_run_id = '{self.run_id}'"):
            if model.status == "READY":
                whole = model.model_id
            else:
                self.client.delete_logged_model(model.model_id)
        return whole

    @_reported
    def finish(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status)

    def where(self) -> str:
        return f"run {self.run_id} in experiment {self.experiment!r}, {self.uri}"


def _make_database(path: Path) -> None:
    """A SQLite file with MLflow's tables, unless it is there: of several processes one makes it, the others wait.

    It is made in another place, so that a process that is killed meanwhile leaves none half made, and takes its place
    only where there is none: another process may have opened it.
    """
    from filelock import FileLock

    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            return
        making = path.with_name(f"{path.name}.making")
        for left in path.parent.glob(f"{making.name}*"):
            left.unlink()
        _quiet_mlflow().MlflowClient(f"sqlite:///{making}").search_experiments()
        try:
            os.link(making, path)
        except FileExistsError:  # by another program, such as MLflow's own server
            pass
        except OSError:  # a file system without links
            making.rename(path)
        making.unlink(missing_ok=True)


def _quiet_mlflow() -> Any:
    """The module mlflow, which then logs no more than warnings."""
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def allowed_name(key: str) -> str:
    """The key with the characters that MLflow refuses replaced: `ndcg@10` becomes `ndcg_at_10`.

    >>> allowed_name("test/retrieval/ndcg@10"), allowed_name("conversion.label_scores.蕴含 (是)")
    ('test/retrieval/ndcg_at_10', 'conversion.label_scores.蕴含 _是_')
    """
    return _REFUSED.sub("_", key.replace("@", "_at_"))
