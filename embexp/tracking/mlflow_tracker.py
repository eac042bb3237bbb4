"""MLflow as a Tracker, through its client API: no global active run that one job could leave to the next."""

import importlib.metadata
import os
import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.file_contents import link_copies
from embexp.core.redaction import redacted
from embexp.core.run_folder import RESUME_FILES
from embexp.errors import ConfigError, TrackingError
from embexp.tracking.local_store import local_file, make_database, making_tables
from embexp.tracking.mlflow_store import (
    client_of,
    experiment_of,
    folder_of,
    milliseconds,
    page_of,
    reported,
    source_tags,
    store_of,
    view_tag,
)
from embexp.tracking.run_records import RunRecords
from embexp.tracking.store_calls import at_work, made_once, rests
from embexp.tracking.store_limits import (
    LONGEST_EXPERIMENT,
    LONGEST_PLACE,
    LONGEST_RUN_NAME,
    allowed_text,
    metric_name,
    searchable,
)

PARENT_TAG = "mlflow.parentRunId"
KEY_TAG = "embexp.run"  # the run's own key, by which it is found again
SWEEP_TAG = "embexp.sweep"  # the ids of the sweeps that a run belongs to
VIEW = "embexp"  # the view of an experiment's runs; of a sweep's runs with its id
_REFUSED_BY_MODELS = re.compile(r"[/:.%\"']+")  # characters that no model's name may hold
_INPUTS = ["What does the price of a share depend on?", "股票价格取决于什么？"]  # what MLflow shows as an example
_HOW_TO_READ = """\
One row is one training. `score` is its metric on the test data, `score_base` that of the untouched model, `score_delta`
the difference, with its 95 % interval from `score_low` to `score_high`; the tag `verdict` says what the difference is
(docs/verdicts.md of embexp). A sweep is a run with others below it: its description is their leaderboard, and its
artifacts hold the page `leaderboard/leaderboard.html`.

To see the runs sorted by score, add `?viewStateShareKey=embexp` to this page's address after `runs`.
"""


class MlflowTracker:
    """Runs, metrics and models in an MLflow store.

    Args:
        uri: the tracking server or database; None is that of MLFLOW_TRACKING_URI, else `mlflow.db` (SQLite) in the
            working directory. MLflow's other variables (user, password, token, certificates) hold, too.
        experiment: name of the experiment, created when missing; None is that of MLFLOW_EXPERIMENT_NAME or
            MLFLOW_EXPERIMENT_ID, else `embexp`.
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
        experiment: str | None,
        log_model: bool,
        checkpoint: str,
        telemetry: bool,
        register: str | None = None,
    ) -> None:
        kinds = LegalValues(one_of=("none", "weights", "full"))
        problems = [*problems_with("tracking.checkpoint", checkpoint, kinds, such_as="weights")]
        for key, value in (("experiment", experiment), ("uri", uri)):
            problems += problems_with(f"tracking.{key}", value, LegalValues(text=True, optional=True), such_as="null")
        refuse(problems)
        if register is not None and (not register.strip() or {"/", ":"} & set(register) or not log_model):
            raise ConfigError(
                "cannot be registered" if log_model else "needs the model in the store",
                key="tracking.register",
                given=register,
                expected="a name without / and :, and the model stored",
                fix="tracking.register=my-model tracking.log_model=true",
            )
        self.register = register
        self.uri, self.named_by = store_of(uri)
        self._experiment = experiment
        self.keeps_model = log_model
        self.checkpoint = checkpoint
        self.run_id = self.run_name = self.experiment_id = ""
        if not telemetry:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

    @made_once
    def client(self) -> Any:
        """MLflow's client for this store."""
        return client_of(self.uri)

    @made_once
    def experiment(self) -> str:
        """The experiment's name.

        Raises:
            ConfigError: databases do not take it.
        """
        name = experiment_of(self._experiment, lambda: self.client)
        if name != allowed_text(name, LONGEST_EXPERIMENT):
            raise ConfigError(
                "is no name that databases take",
                key="tracking.experiment",
                given=allowed_text(name, 40),
                expected=f"at most {LONGEST_EXPERIMENT} characters, none of them a control character",
                fix="tracking.experiment=embexp",
            )
        return name

    @reported
    def prepare(self) -> None:
        """Create the store and the experiment if they are missing. Call it once, before any parallel job."""
        if path := local_file(self.uri):
            at_work(0.0 if path.exists() else 600.0)(make_database)(path)
        with making_tables(self.uri):
            self._experiment_id()

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            try:
                view, content = view_tag(VIEW, "")
                tags = {view: content, "mlflow.note.content": _HOW_TO_READ}
                self._check_place()
                return self.client.create_experiment(self.experiment, tags=tags)
            except MlflowException:  # another process has made it meanwhile
                experiment = self.client.get_experiment_by_name(self.experiment)
                if experiment is None:
                    raise
        if (view := view_tag(VIEW, ""))[0] not in experiment.tags:  # of an earlier version
            self.client.set_experiment_tag(experiment.experiment_id, *view)
        return experiment.experiment_id

    def _check_place(self) -> None:
        """Refuse a database that cannot hold the address of a run's files, which are below the working directory."""
        place = str(Path.cwd())
        if self.uri.startswith(("postgres", "mysql", "mssql")) and len(place) > LONGEST_PLACE:
            raise TrackingError(
                f"The path of the working directory, below which a run's files are kept, has {len(place)} characters",
                expected=f"at most {LONGEST_PLACE}, which databases take, or an MLflow server in tracking.uri",
                fix="tracking=none",
            )

    @reported
    def start(self, name: str, parent: str | None = None, key: str | None = None, at: float | None = None) -> str:
        """Open a run, below `parent` when given, and return its id; the run that has the key, where there is one."""
        self.run_name = name
        self.experiment_id = experiment = self._experiment_id()
        if found := self._run_with(key, experiment) if key else None:
            self.take_up(found)
            self.client.update_run(self.run_id, status="RUNNING")
            return self.run_id
        own = {PARENT_TAG: parent, KEY_TAG: searchable(key or "")}
        tags = source_tags() | {tag: value for tag, value in own.items() if value}
        shown = allowed_text(redacted(name), LONGEST_RUN_NAME)
        self.run_id = self.client.create_run(experiment, milliseconds(at), tags, shown).info.run_id
        self.records = RunRecords(self.client, self.run_id, is_new=True)
        if shown != redacted(name):
            self.records.note("name of the run", f"is {len(name)} characters long, or has control characters")
            self.records.send_note()
        return self.run_id

    def _run_with(self, key: str, experiment: str) -> str | None:
        found = self.client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{searchable(key)}'")
        return found[0].info.run_id if found else None

    @reported
    def attach(self, key: str) -> None:
        """Take up the run that has the key without opening it again; MLflow adds to finished runs, too.

        Raises:
            TrackingError: the store has no such run.
        """
        experiment = self.client.get_experiment_by_name(self.experiment)
        found = self._run_with(key, experiment.experiment_id) if experiment else None
        if not found:
            raise TrackingError(
                f"MLflow at {redacted(self.uri)} has no run with {KEY_TAG}={key} in the experiment {self.experiment!r}",
                expected="the store that the run was sent to: check tracking.uri in its config.yaml",
            )
        self.take_up(found)
        self.experiment_id = experiment.experiment_id

    def take_up(self, run_id: str) -> None:
        """Add to the run that MLflow calls so."""
        self.run_id, self.records = run_id, RunRecords(self.client, run_id, is_new=False)

    @reported
    def latest(self, keys: Collection[str]) -> dict[str, float]:
        """The last value of each of these metrics that the run has."""
        stored = self.client.get_run(self.run_id).data.metrics
        return {key: stored[metric_name(key)] for key in keys if metric_name(key) in stored}

    @reported
    def logged(self, keys: Collection[str]) -> set[tuple[str, int]]:
        """Which of these metrics the run has at which steps."""
        stored = self.client.get_run(self.run_id).data.metrics
        return {
            (key, entry.step)
            for key in keys
            if metric_name(key) in stored
            for entry in self.client.get_metric_history(self.run_id, metric_name(key))
        }

    @reported
    def log_params(self, params: Mapping[str, Any]) -> None:
        self.records.params(params)

    @reported
    def log_tags(self, tags: Mapping[str, str]) -> None:
        self.records.tags(tags)

    @reported
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None, at: float | None = None) -> None:
        self.records.metrics(metrics, step or 0, at)

    @reported
    def log_data(
        self,
        name: str,
        context: str,
        digest: str,
        source: str,
        num_rows: int | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Name the rows among the run's datasets, which the UI shows and filters by."""
        self.records.data(name, context, digest, source, num_rows, columns or {})

    @reported
    def describe(self, text: str) -> None:
        self.records.describe(text)

    @reported
    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file, or all files of a folder."""
        send = self.records.files if path.is_dir() else self.records.file
        send(path, folder)

    @reported
    def log_checkpoint(self, path: Path) -> None:
        """Store a checkpoint's files below `checkpoint/`, as the setting `checkpoint` says."""
        if self.checkpoint == "none":
            return
        left_out = RESUME_FILES if self.checkpoint == "weights" else ()
        self.records.files(path, f"checkpoint/{path.name}", left_out)
        if folder := folder_of(self.client.get_run(self.run_id).info.artifact_uri):
            link_copies(folder / "checkpoint" / path.name, path)

    @reported
    def log_model(self, path: Path, step: int, metrics: Mapping[str, float], at: float | None = None) -> None:
        """Store the model so that `mlflow.sentence_transformers.load_model` finds it, with its step and metrics."""
        if self.keeps_model:
            self.records.metrics(metrics, step, at, model=self._stored_model() or self._store_model(path, step))

    def _store_model(self, path: Path, step: int) -> str:
        """The id of the model, which is stored now."""
        import mlflow
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(path), device="cpu")
        with mlflow.start_run(run_id=self.run_id):
            stored = mlflow.sentence_transformers.log_model(
                model,
                name=_REFUSED_BY_MODELS.sub("-", allowed_text(self.run_name, LONGEST_RUN_NAME)) or "model",
                # Without requirements MLflow imports the model in another process to find them, 18 s long.
                pip_requirements=_requirements(),
                signature=mlflow.models.infer_signature(_INPUTS, model.encode(_INPUTS, show_progress_bar=False)),
                input_example=_INPUTS,
                registered_model_name=self.register,
                step=step,
            )
        self.client.update_run(self.run_id, status="RUNNING")  # the context above has ended the run
        if folder := folder_of(self.client.get_logged_model(stored.model_id).artifact_location):
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

    @reported
    def finish(self, status: str, at: float | None = None) -> None:
        self.client.set_terminated(self.run_id, status, milliseconds(at))

    def rests(self) -> bool:
        return rests(self.uri)

    def settings(self) -> dict[str, Any]:
        given = {"uri": self.store(), "experiment": self.__dict__.get("experiment", self._experiment)}
        return given | {"log_model": self.keeps_model, "checkpoint": self.checkpoint, "register": self.register}

    def store(self) -> str:
        return redacted(self.uri).rstrip("/")

    def where(self) -> str:
        why = f" ({self.named_by})" if self.named_by else ""
        place = f"run {self.run_id} in experiment {self.experiment!r}," if self.run_id else "not yet in"
        return f"{place} {self.store()}{why}"

    def page(self) -> str:
        return self.run_id and self.page_of_run(self.experiment_id, self.run_id)

    def page_of_run(self, experiment: str, run: str) -> str:
        """The address of the page of any run of the store."""
        return page_of(self.uri, f"experiments/{experiment}/runs/{run}") + self._after()

    def _after(self) -> str:
        """What makes a page of a file answer."""
        is_file = self.uri.startswith("sqlite:")
        return f" (after: {shlex.join(['mlflow', 'ui', '--backend-store-uri', self.uri])})" if is_file else ""

    @reported
    def page_of_sweep(self, sweep: str) -> str:
        """The address of a view of the sweep's runs, best score first, which is stored with the experiment."""
        name, condition = f"{VIEW}-{sweep}", f"tags.`{SWEEP_TAG}` LIKE '%{sweep}%'"
        self.client.set_experiment_tag(self.experiment_id, *view_tag(name, condition))
        return page_of(self.uri, f"experiments/{self.experiment_id}/runs", viewStateShareKey=name) + self._after()


def _requirements() -> list[str]:
    """What loading a model needs, in versions that an index has: 2.13.0 of a torch that calls itself 2.13.0+cpu."""
    names = ("sentence-transformers", "transformers", "torch")
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]
