"""What is peculiar to MLflow's stores: errors, locked SQLite files, what the environment names, links to pages."""

import functools
import json
import logging
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from embexp.core.environment import lack_of
from embexp.core.redaction import MASK, redacted
from embexp.core.run_context import timed
from embexp.errors import ConfigError, TrackingError

# A server that does not answer is given up after some 15 seconds; MLflow's own setting takes four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # the address with its password
_LOCKED = "database is locked"
_MOST_SECONDS = (
    60.0  # that a locked SQLite file is tried again: many runs that start together write one after the other
)


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


def reported(method: Callable) -> Callable:
    """Turn MLflow's errors in a tracker's method into TrackingError, which the journal survives."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return _unless_locked(method, self, *args, **kwargs)
        except store_errors() as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            is_postgres = isinstance(error, ImportError) and self.uri.startswith("postgres")
            driver = lack_of("postgres") if is_postgres else None
            raise TrackingError(
                f"MLflow at {redacted(self.uri)} failed in {method.__name__}: {redacted(first_line)}",
                expected=f"a store that answers: check {self.named_by or 'tracking.uri'}, or run without a store",
                fix=(driver.fix, "tracking=none") if driver else "tracking=none",
            ) from error

    return call


def quiet_mlflow() -> Any:
    """The module mlflow, which then logs no more than warnings."""
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


_URI, _NAME, _ID = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"


def store_of(uri: str | None) -> tuple[str, str]:
    """The address of the store, and the environment variable that names it where no setting does, else an empty text.

    Without either it is `mlflow.db` (SQLite) in the working directory.

    Raises:
        ConfigError: the address is that of a recorded run, without its password, and the environment has another one.
    """
    named = os.environ.get(_URI)
    if named and (not uri or (MASK in uri and redacted(named) == uri)):
        return named, _URI
    if uri and MASK in uri:
        expected = f"{_URI} in the environment with the same address and its password"
        raise ConfigError(
            "has no password, which is recorded nowhere", key="tracking.uri", given=uri, expected=expected
        )
    return uri or f"sqlite:///{Path.cwd() / 'mlflow.db'}", ""


def client_of(uri: str) -> Any:
    """MLflow's client for a store, to which models are stored, too.

    MLflow writes the address to the environment; it is taken out again, or the next run of this process would find
    the store of this one where the user has named none.
    """
    mlflow = quiet_mlflow()
    before = os.environ.get(_URI)
    mlflow.set_tracking_uri(uri)
    if before is None:
        os.environ.pop(_URI, None)
    else:
        os.environ[_URI] = before
    return mlflow.MlflowClient(uri)


def experiment_of(name: str | None, client: Callable[[], Any]) -> str:
    """The name of the experiment: the given one, that of MLflow's environment variables (name before id), or embexp.

    Args:
        client: gives MLflow's client, for the name of an id.
    """
    if not name and not os.environ.get(_NAME) and (number := os.environ.get(_ID)):
        return client().get_experiment(number).name
    return name or os.environ.get(_NAME) or "embexp"


_SOURCE = "mlflow.source.name"


def source_tags() -> dict[str, str]:
    """MLflow's own tags for who ran what: user, source, and the commit of the repository in the working directory.

    MLflow's context providers give them, so that those of a platform (Databricks, a team's plugin) do, too.
    """
    from mlflow.tracking.context.registry import resolve_tags
    from mlflow.utils.git_utils import get_git_commit

    tags = resolve_tags()
    program = Path(tags.get(_SOURCE, "")).name
    if program in ("__main__.py", "") or program.startswith("-"):  # of `python -m embexp`, of Python's prompt
        tags[_SOURCE] = "embexp"
    commit = get_git_commit(str(Path.cwd()))
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


_LOCAL_UI = "http://127.0.0.1:5000"  # where `make ui` and a plain `mlflow ui` answer
_VIEW_TAG = "mlflow.sharedViewState."  # of an experiment: what MLflow's button "Share" writes, by the key in its link
_COLUMNS = ("params.`loss`", "params.`model`", "params.`seed`", "metrics.`score`", "metrics.`score_delta`")


def view_tag(name: str, condition: str) -> tuple[str, str]:
    """The experiment's tag that holds a view of its runs, best score first, and its value.

    Args:
        name: of the view, in links to it.
        condition: of the runs that it shows, in MLflow's language; empty for all.
    """
    state = {
        "searchFilter": condition,
        "orderByKey": "metrics.`score`",
        "orderByAsc": False,
        "lifecycleFilter": "Active",
        "selectedColumns": [*_COLUMNS, "tags.`verdict`"],
        "viewMaximized": False,
    }
    return f"{_VIEW_TAG}{name}", json.dumps(state)


def page_of(uri: str, path: str, **query: str) -> str:
    """The address of a page of MLflow's UI for a store.

    >>> page_of("http://host:5000/", "experiments/1/runs", viewStateShareKey="ab")
    'http://host:5000/#/experiments/1/runs?viewStateShareKey=ab'
    >>> page_of("sqlite:///mlflow.db", "experiments/1/runs/ab")
    'http://127.0.0.1:5000/#/experiments/1/runs/ab'
    """
    server = redacted(uri).rstrip("/") if uri.startswith(("http://", "https://")) else _LOCAL_UI
    return f"{server}/#/{path}{'?' * bool(query)}{urlencode(query)}"
