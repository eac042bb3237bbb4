"""Real stores that are killed or stopped in the middle of runs and come back: nothing lost, nothing there twice."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from servers import free_port, postgres, wait_for

from embexp.core.run_folder import RECORD, write_json
from embexp.errors import TrackingError
from embexp.experiment.sync import sync
from embexp.tracking import store_calls
from embexp.tracking.journal import Journal
from embexp.tracking.mlflow_tracker import MlflowTracker
from embexp.tracking.outbox import Outbox
from embexp.tracking.run_parts import open_part
from embexp.tracking.store_calls import forget_stores

pytestmark = pytest.mark.slow


class Server:
    """MLflow's server at one address, which can be killed, stopped and brought back."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        self.command += ["--workers", "1", "--backend-store-uri", store, "--artifacts-destination", str(folder / "art")]
        self.begin()

    def begin(self) -> None:
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(f"{self.uri}/health", self.process, self.folder / "server.log")

    def send(self, number: int) -> None:
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait(timeout=30)


def down(server: Server, how: str) -> None:
    server.send(signal.SIGKILL if how == "killed" else signal.SIGSTOP)


def up(server: Server, how: str) -> None:
    server.begin() if how == "killed" else server.send(signal.SIGCONT)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        store = f"sqlite:///{folder / 'server.db'}"
        if request.param == "postgresql":
            store = stack.enter_context(postgres())
        made = Server(folder, store)
        try:
            yield made
        finally:
            made.send(signal.SIGKILL)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    """What takes half a minute takes two seconds."""
    monkeypatch.setattr(store_calls, "USUAL", 3.0)
    monkeypatch.setattr(store_calls, "CLOSING", 2.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    forget_stores()
    yield
    forget_stores()


@pytest.fixture(autouse=True)
def revived(request):
    """The next test finds the server as it was."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        if server.process.poll() is None:
            server.send(signal.SIGCONT)
        else:
            server.begin()


def tracker_of(uri: str, experiment: str = "dying") -> MlflowTracker:
    return MlflowTracker(uri, experiment, log_model=False, checkpoint="none", telemetry=False)


STEPS = 60


def record_run(folder: Path, tracker: MlflowTracker, at_step=lambda _step: None, key: str = "key", parent=None) -> Path:
    """A run as training writes it: parameters, tags, rows, values at each step, files, a part."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, {"key": key, "name": f"run {key}", "store": tracker.store(), "closed": False})
    (folder / "config.yaml").write_text("keep: full\n", encoding="utf-8")
    journal = Journal(folder, tracker)
    with journal.open(f"run {key}", parent, key, may_wait=parent is not None):
        journal.log_params({f"p{number}": number for number in range(150)})
        journal.log_data("rows", "train", "abc", "/data/rows.csv", 7)
        for step in range(1, STEPS + 1):
            at_step(step)
            journal.log_metrics({"train/loss": 1 / step, "train/dev": step / 7}, step)
            if step == STEPS // 2:
                with open_part(journal, folder / "stages" / "before", "before", "stage") as part:
                    part.log_results({"dev/x": 0.25})
        journal.log_results({"test/x": 0.5})
        journal.log_tags({"verdict": "better"})
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "reports" / "a.txt").write_text("report", encoding="utf-8")
        journal.log_artifact(folder / "reports", "reports")
        journal.describe("A run.")
    return folder


def check_run(client, key: str, experiment: str = "dying") -> None:
    """Whether the store has each record of a run, and each once."""
    number = client.get_experiment_by_name(experiment).experiment_id
    runs = client.search_runs([number], f"tags.`embexp.run` LIKE '{key}%'")
    assert sorted(run.info.run_name for run in runs) == [f"run {key}", f"run {key}/before"]
    part, run = sorted(runs, key=lambda each: -len(each.info.run_name))
    assert {run.info.status, part.info.status} == {"FINISHED"}
    assert part.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert part.data.metrics == {"dev/x": 0.25}
    assert run.data.params == {f"p{number}": str(number) for number in range(150)}
    assert [data.dataset.digest for data in run.inputs.dataset_inputs] == ["abc"]
    for name, values in (("train/loss", lambda step: 1 / step), ("train/dev", lambda step: step / 7)):
        history = [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
        assert history == [(step, values(step)) for step in range(1, STEPS + 1)]
    assert len(client.get_metric_history(run.info.run_id, "test/x")) == 1
    assert (run.data.tags["verdict"], run.data.tags["mlflow.note.content"]) == ("better", "A run.")
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"result.json", "metrics.jsonl", "reports"} <= files


@pytest.mark.parametrize("how", ["killed", pytest.param("stopped", marks=pytest.mark.matrix)])
def test_a_server_that_goes_away_in_the_middle_gets_all_of_the_run_later(server, how, tmp_path, caplog):
    gone: list[float] = []

    def at_step(step: int) -> None:
        if step == 10:
            down(server, how)
            gone.append(time.monotonic())

    folder = record_run(tmp_path / "run", tracker_of(server.uri), at_step, f"a{how}")
    assert time.monotonic() - gone[0] < 15
    assert json.loads((folder / "result.json").read_text())["run"]["status"] == "FINISHED"
    assert "MLflow is behind" in caplog.text
    forget_stores()
    with pytest.raises(TrackingError, match=r"failed in attach") as caught:
        sync([str(folder)])
    assert "hint: type python -m embexp.sync" in str(caught.value)
    up(server, how)
    forget_stores()
    sent = sync([str(folder)])
    assert not sent.running
    assert not sync([str(folder)]).records
    check_run(tracker_of(server.uri).client, f"a{how}")
    assert json.loads((folder / RECORD).read_text())["closed"] is True


@pytest.mark.matrix
@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_a_server_that_is_killed_and_comes_back_is_sent_the_rest_by_the_run_itself(server, tmp_path):
    def at_step(step: int) -> None:
        if step == 10:
            server.send(signal.SIGKILL)
        elif step == 40:
            server.begin()
            forget_stores()

    folder = record_run(tmp_path / "run", tracker_of(server.uri), at_step, "b")
    assert not list(folder.rglob("unsent*"))
    check_run(tracker_of(server.uri).client, "b")


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_a_sync_that_is_killed_and_typed_again_twice_at_once_sends_nothing_twice(server, tmp_path):
    folder = record_run(
        tmp_path / "run", tracker_of(server.uri), lambda step: step == 5 and down(server, "killed"), "c"
    )
    server.begin()
    command = [sys.executable, "-m", "embexp", "sync", str(folder)]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    client = tracker_of(server.uri).client
    end = time.monotonic() + 60
    while time.monotonic() < end and first.poll() is None:
        found = client.search_runs(["1"], "tags.`embexp.run` = 'c'")
        if found and found[0].data.metrics.get("train/dev", 0) > 12 / 7:
            break
        time.sleep(0.02)
    first.kill()
    first.wait()
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(each.communicate(timeout=120)[0] for each in both)
    assert [each.returncode for each in both] == [0, 0], said
    assert any("Nothing is waiting" in text for text in said)
    check_run(client, "c")


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_a_sweep_whose_store_dies_in_the_middle_gets_its_runs_below_its_parent(server, tmp_path):
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    parent = Outbox(sweep, tracker_of(server.uri))
    parent.open("a sweep", None, "sweep-d")
    record_run(sweep / "0", tracker_of(server.uri), key="d0", parent=parent.run["id"])
    server.send(signal.SIGKILL)
    begun = time.monotonic()
    record_run(sweep / "1", tracker_of(server.uri), key="d1", parent=parent.run["id"])
    parent.send("log_metrics", {"sweep/done": 2.0}, 2, time.time())
    parent.send("finish", "FINISHED", time.time())
    assert not parent.close(is_stopped=False)
    assert time.monotonic() - begun < 25
    server.begin()
    forget_stores()
    sync([str(sweep)])
    client = tracker_of(server.uri).client
    for key in ("d0", "d1"):
        check_run(client, key)
    (run,) = client.search_runs(["1"], "tags.`embexp.run` = 'd1'")
    assert run.data.tags["mlflow.parentRunId"] == parent.run["id"]
    result = json.loads((sweep / "1" / "result.json").read_text())
    assert result["run"]["id"] == run.info.run_id
    assert run.info.end_time / 1000 < time.time()
    assert client.get_run(parent.run["id"]).info.status == "FINISHED"


@pytest.fixture(scope="module")
def database() -> Iterator[SimpleNamespace]:
    """PostgreSQL itself, by its URI and the id of its first process."""
    with postgres() as uri:
        import psycopg

        with psycopg.connect(uri.replace("+psycopg", "")) as connection:
            folder = Path(connection.execute("SHOW data_directory").fetchone()[0])
        yield SimpleNamespace(uri=uri, pid=int((folder / "postmaster.pid").read_text().split()[0]))


def processes_of(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def test_a_database_that_hangs_and_comes_back_gets_all_of_the_run_later(database, tmp_path):
    stopped: list[int] = []

    def hang(step: int) -> None:
        if step == 10:
            stopped.extend(processes_of(database.pid))
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)

    try:
        folder = record_run(tmp_path / "run", tracker_of(database.uri), hang, "e")
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    forget_stores()
    sync([str(folder)])
    check_run(tracker_of(database.uri).client, "e")


@pytest.mark.matrix
def test_a_database_whose_connections_are_cut_gets_all_of_the_run_later(database, tmp_path):
    def cut(step: int) -> None:
        if step == 10:
            for pid in processes_of(database.pid)[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # PostgreSQL then ends all connections and recovers by itself

    folder = record_run(tmp_path / "run", tracker_of(database.uri), cut, "f")
    forget_stores()
    time.sleep(1)
    sync([str(folder)])
    check_run(tracker_of(database.uri).client, "f")
