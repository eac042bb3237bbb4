"""Runs that start together in an empty folder, and stores that fail by errors that are not MLflow's own."""

import multiprocessing
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from embexp.errors import TrackingError
from embexp.tracking import mlflow_store
from embexp.tracking.mlflow_runs import MlflowRuns
from embexp.tracking.mlflow_store import make_database, reported
from embexp.tracking.mlflow_tracker import MlflowTracker


def tracker_of(uri: str | None) -> MlflowTracker:
    return MlflowTracker(uri, "together", log_model=False, checkpoint="none", telemetry=False)


def start_run(folder: Path, name: str, wait) -> None:
    """What a run sends, once all are ready."""
    import mlflow  # noqa: F401  # takes seconds, and not the same in all processes

    os.chdir(folder)
    tracker = tracker_of(None)
    wait.wait(timeout=300)
    tracker.prepare()
    tracker.start(name, key=name)
    tracker.log_params({"name": name})
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.finish("FINISHED")


@pytest.mark.slow
def test_runs_that_start_together_in_an_empty_folder_all_reach_the_store(workplace):
    number = int(os.environ.get("EMBEXP_TOGETHER", "4"))
    context = multiprocessing.get_context("spawn")
    wait = context.Barrier(number)
    children = [context.Process(target=start_run, args=(workplace, f"run {each}", wait)) for each in range(number)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert {child.exitcode for child in children} == {0}
    tracker = tracker_of(f"sqlite:///{workplace / 'mlflow.db'}")
    found = MlflowRuns(tracker, workplace).matching("")
    assert sorted(run.name for run in found) == sorted(f"run {each}" for each in range(number))
    assert {(run.status, run.metrics["loss"]) for run in found} == {("FINISHED", 1.0)}
    assert not [*workplace.glob("*making*")]


@pytest.fixture
def making(monkeypatch):
    """Makes a database without MLflow; what is in `meanwhile` happens before it is done."""
    made, meanwhile = [], []

    def client(uri):
        path = Path(uri.removeprefix("sqlite:///"))
        for each in meanwhile:
            each()
        path.write_text(f"made {len(made)}")
        made.append(path)
        return SimpleNamespace(search_experiments=lambda: [])

    monkeypatch.setattr(mlflow_store, "quiet_mlflow", lambda: SimpleNamespace(MlflowClient=client))
    return SimpleNamespace(made=made, meanwhile=meanwhile)


def test_a_database_is_made_once_and_half_made_ones_go(tmp_path, making):
    left = tmp_path / "mlflow.db.making"
    left.write_text("half")
    path = tmp_path / "mlflow.db"
    threads = [threading.Thread(target=make_database, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(making.made) == 1
    assert path.read_text() == "made 0"
    assert not left.exists()


def test_a_database_that_another_program_made_meanwhile_is_not_replaced(tmp_path, making):
    path = tmp_path / "mlflow.db"
    making.meanwhile.append(lambda: path.write_text("alive"))
    make_database(path)
    assert path.read_text() == "alive"
    assert not [*tmp_path.glob("*making*")]


@pytest.mark.usefixtures("making")
def test_a_database_is_made_on_a_file_system_without_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    make_database(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").read_text() == "made 0"


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
