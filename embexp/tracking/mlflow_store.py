"""What is peculiar to MLflow's stores: errors, locked SQLite files, what the environment names, links to pages."""

import functools
import json
import logging
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from embexp.core.environment import lack_of
from embexp.core.redaction import MASK, redacted
from embexp.core.run_context import timed
from embexp.errors import ConfigError, RefusedRecordError, TrackingError
from embexp.tracking.store_calls import NoAnswerError, at_work, call_store, note_error, size_of

# A server that refuses is tried again for some seconds, and a request given up before `embexp.tracking.store_calls`
# gives up the call; MLflow's own settings take four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
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
            note_error(error)
        time.sleep(random.uniform(0.1, 1.0))  # SQLite refuses one of two that wait for each other, at once


_ANSWERS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")  # of a store in order
_LONGEST = 300  # characters of what a store says: a proxy says a page


def _is_out_of_order(error: BaseException) -> bool:
    """Whether a store that raises this has failed; else it has answered, or the file to be sent is at fault."""
    is_answer = getattr(error, "error_code", None) in _ANSWERS
    return isinstance(error, store_errors()) and not is_answer and not isinstance(error, FileNotFoundError)


def reported(method: Callable) -> Callable:
    """Turn MLflow's errors in a tracker's method into TrackingError, which the journal survives.

    The call ends whatever the store does (`embexp.tracking.store_calls`).
    """

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        failures = (*store_errors(), NoAnswerError)  # imports mlflow, whose time does not count as the store's
        size = sum(size_of(each) for each in args if isinstance(each, Path))
        try:
            attempt = functools.partial(_unless_locked, method, self, *args, **kwargs)
            return call_store(self.uri, attempt, _is_out_of_order, size)
        except failures as error:
            said = redacted(said_by(error))[:_LONGEST]
            kind = RefusedRecordError if getattr(error, "error_code", None) == _ANSWERS[0] else TrackingError
            expected, fix = _remedy(error, self.uri, self.named_by or "tracking.uri")
            raise kind(
                f"MLflow at {redacted(self.uri)} failed in {method.__name__}: {said}",
                expected=expected,
                fix=(*fix, "tracking=none"),
            ) from error

    return call


_REFUSED_BY_PEER = re.compile(r"\(Caused by \w+\([\"'](?:\w+\([^)]*\): )?(.*)[\"']\)\)")  # in requests' words
_STATUS = re.compile(r"API request to endpoint (\S+) failed with error code (\d+) != 200.*", re.DOTALL)


def said_by(error: BaseException) -> str:
    """The one line of an error that says what is wrong, without the libraries between.

    >>> text = "API request to endpoint /api/2.0/x failed with error code 404 != 200. Response body: '<html>'"
    >>> said_by(OSError(text)), said_by(OSError("(Caused by NewError(\'HTTPConnection(port=9): Connection refused\'))"))
    ('HTTP 404 from /api/2.0/x', 'Connection refused')
    """
    text = str(error)
    if found := _REFUSED_BY_PEER.search(text):
        return found[1]
    if found := _STATUS.match(text):
        return f"HTTP {found[2]} from {found[1]}"
    return (text.splitlines() or [type(error).__name__])[0]


# How databases say that they do not let one in: PostgreSQL (four of its causes), MySQL.
_LOGIN_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba.conf entry|role .* does not exist|Access denied for user"
)


def _remedy(error: BaseException, uri: str, named_by: str) -> tuple[str, tuple[str, ...]]:
    """What was expected of a store that fails so, and what to type besides leaving it out."""
    code, said = getattr(error, "error_code", ""), str(error)
    if isinstance(error, ImportError):
        driver = lack_of("postgres") if uri.startswith("postgres") else None
        return f"an installed driver for the database of {named_by}", (driver.fix,) if driver else ()
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED") or _LOGIN_REFUSED.search(said):
        login = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        login = login if uri.startswith("http") else f"the user and the password in {named_by}"
        return f"a login that the store accepts ({login}), or a run without a store", ()
    if "not in a valid JSON format" in said or code == "ENDPOINT_NOT_FOUND":
        return f"the address of an MLflow server in {named_by} (a proxy or another program answered)", ()
    return f"a store that answers: check {named_by}, or run without a store", ()


def milliseconds(seconds: float | None) -> int:
    """A time since 1970 as MLflow writes it; None is now."""
    return int((time.time() if seconds is None else seconds) * 1000)


def quiet_mlflow() -> Any:
    """The module mlflow, which then logs no more than warnings."""
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each request that is tried again
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


_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # that MLflow takes without a server


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
    if uri.partition(":")[0].partition("+")[0] not in _DATABASES:
        return mlflow.MlflowClient(uri)
    _reach(uri)
    with at_work(_MOST_SECONDS):  # it makes tables where there are none
        return mlflow.MlflowClient(uri)


def _reach(uri: str) -> None:
    """Raise SQLAlchemy's error where a database cannot be read: MLflow would try again for two minutes."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    try:
        sqlalchemy.inspect(engine).has_table("experiments")
    finally:
        engine.dispose()


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


def folder_of(address: str) -> Path | None:
    """The folder of artifacts that are on this machine, so that they and a run's own files need the room of one."""
    place = urlsplit(address)
    return Path(unquote(place.path) if place.scheme else place.geturl()) if place.scheme in ("", "file") else None
