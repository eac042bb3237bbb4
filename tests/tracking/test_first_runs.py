"""Processes that start together where there is no store yet: all their runs are in it, whoever is killed meanwhile."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from killed_runs import SERVER
from servers import mlflow_server, postgres

from embexp.tracking import local_store
from embexp.tracking.mlflow_runs import MlflowRuns
from embexp.tracking.mlflow_tracker import PARENT_TAG, MlflowTracker

pytestmark = pytest.mark.slow


def tracker_of(uri: str | None) -> MlflowTracker:
    return MlflowTracker(uri, "together", log_model=False, checkpoint="none", telemetry=False)


def send_run(tracker: MlflowTracker, name: str, parent: str | None = None) -> str:
    """What a run sends."""
    run_id = tracker.start(name, parent, key=name)
    tracker.log_params({"name": name})
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.finish("FINISHED")
    return run_id


def start_run(name: str, folder: Path, uri: str | None, ready, change: str = "") -> None:
    """What a process does once all are ready: a run, or a sweep with a run below it."""
    os.chdir(folder)
    if change.startswith("environment "):
        os.environ["MLFLOW_TRACKING_URI"] = change.removeprefix("environment ")
    if "without locks" in change:
        local_store._one_at_a_time = lambda _: contextlib.nullcontext()
    if "without links" in change:
        os.link = lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted"))
    if change == "killed":
        local_store._place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if change == "without MLflow's lock":  # as on several machines
        import mlflow.utils.file_utils

        mlflow.utils.file_utils.ExclusiveFileLock = lambda _: contextlib.nullcontext()
    tracker = tracker_of(uri)
    ready.wait(timeout=120)
    if change == "later":
        time.sleep(0.5)
    tracker.prepare()
    if change == "sweep":
        parent = send_run(tracker, f"{name}, the sweep")
        send_run(tracker_of(uri), name, parent)
    else:
        send_run(tracker, name)


def together(folder: Path, *kinds: tuple[int, str | None, str]) -> list[int]:
    """The exit codes of processes that start runs at the same moment.

    Args:
        kinds: how many, the store's URI, and what is special about them.
    """
    each_one = [(uri, change) for number, uri, change in kinds for _ in range(number)]
    ready = SERVER.Barrier(len(each_one))
    processes = [
        SERVER.Process(target=start_run, args=(f"run {place}", folder, uri, ready, change))
        for place, (uri, change) in enumerate(each_one)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    return [process.exitcode for process in processes]


def check_runs(uri: str, expected: int) -> None:
    """Whether the store has that many runs, each whole and once, besides those of sweeps, which hold the others."""
    found = MlflowRuns(tracker_of(uri), Path()).matching("")
    assert len({run.name for run in found}) == len(found) == expected
    assert {(run.status, run.metrics["loss"], run.params["name"] == run.name) for run in found} == {
        ("FINISHED", 1.0, True)
    }


REPEATED = [1, *(pytest.param(number, marks=pytest.mark.matrix) for number in (2, 3))]


@pytest.mark.parametrize("attempt", REPEATED)
def test_twenty_runs_that_start_together_in_an_empty_folder_are_all_in_the_store(workplace, attempt):  # noqa: ARG001
    uri = f"sqlite:///{workplace / 'mlflow.db'}"
    kinds = [(6, None, ""), (4, None, f"environment {uri}"), (4, "sqlite:///mlflow.db", ""), (2, uri, "")]
    assert together(workplace, *kinds, (4, None, "sweep")) == [0] * 20
    check_runs(uri, 20)
    client = tracker_of(uri).client
    (experiment,) = (each for each in client.search_experiments() if each.name == "together")
    below = [run for run in client.search_runs([experiment.experiment_id]) if PARENT_TAG in run.data.tags]
    assert len(below) == 4
    assert {path.name for path in workplace.iterdir()} <= {"mlflow.db", ".mlflow.db.lock", "mlruns"}


def test_a_process_that_is_killed_while_it_makes_the_store_holds_up_nobody(workplace):
    codes = together(workplace, (1, None, "killed"), (5, None, "later"))
    assert sorted(codes) == [-signal.SIGKILL] + [0] * 5
    check_runs(f"sqlite:///{workplace / 'mlflow.db'}", 5)


FILE_SYSTEMS = [pytest.param("without locks", marks=pytest.mark.matrix), "without locks and without links"]


@pytest.mark.parametrize("change", FILE_SYSTEMS)
def test_a_file_system_without_locks_or_links_has_one_store_too(workplace, change):
    assert together(workplace, (4, None, change)) == [0] * 4
    check_runs(f"sqlite:///{workplace / 'mlflow.db'}", 4)
    assert {path.name for path in workplace.iterdir()} == {"mlflow.db"}


@pytest.mark.matrix
def test_an_mlflow_server_that_starts_on_the_same_file_at_the_same_time_shares_it(workplace):
    uri = f"sqlite:///{workplace / 'mlflow.db'}"
    outside = workplace / "server"
    outside.mkdir()
    ready = SERVER.Barrier(4)
    processes = [SERVER.Process(target=start_run, args=(f"run {place}", workplace, None, ready)) for place in range(4)]
    for process in processes:
        process.start()
    with mlflow_server(outside, uri) as server:
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0] * 4
        send_run(tracker_of(server), "through the server")
        check_runs(server, 5)


def test_runs_that_start_together_on_a_database_without_tables_are_all_in_it(workplace):
    with postgres() as uri:
        assert together(workplace, (6, uri, "without MLflow's lock")) == [0] * 6
        check_runs(uri, 6)
