"""Stores that fail by errors that are not MLflow's own, and SQLite files that are locked."""

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from embexp.errors import TrackingError
from embexp.tracking import mlflow_store
from embexp.tracking.mlflow_store import reported

LOST = OperationalError("SELECT 1", {}, Exception("server closed the connection unexpectedly"))
MISSING = ModuleNotFoundError("No module named 'psycopg2'")


@pytest.mark.parametrize("error", [LOST, MISSING, ConnectionResetError(104, "Connection reset by peer")])
def test_a_database_that_goes_away_is_an_error_of_the_tracker(error):
    @reported
    def log_metrics(_tracker):
        raise error

    with pytest.raises(TrackingError, match="failed in log_metrics"):
        log_metrics(SimpleNamespace(uri="postgresql://here/mlflow", named_by=""))


def test_a_locked_file_is_tried_again_and_given_up_in_the_end(monkeypatch):
    monkeypatch.setattr(mlflow_store.time, "sleep", lambda _: None)
    locked = OperationalError("INSERT", {}, Exception("database is locked"))
    errors = [locked] * 3

    @reported
    def start(_tracker):
        if errors:
            raise errors.pop()
        return "run"

    tracker = SimpleNamespace(uri="sqlite:///mlflow.db", named_by="")
    assert start(tracker) == "run"
    errors += [locked] * 2
    monkeypatch.setattr(mlflow_store, "_MOST_SECONDS", -1.0)
    with pytest.raises(TrackingError, match="database is locked"):
        start(tracker)
