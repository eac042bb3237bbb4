"""Stores that refuse, hang or say nonsense: one message in time, a training that goes on, signals that end waiting."""

import contextlib
import http.server
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator

import pytest

from embexp.core import signals
from embexp.core.signals import held_back, listen
from embexp.errors import TrackingError
from embexp.tracking import outbox, store_calls
from embexp.tracking.journal import Journal
from embexp.tracking.mlflow_store import store_errors
from embexp.tracking.mlflow_tracker import MlflowTracker
from embexp.tracking.store_calls import NoAnswerError, call_store, forget_stores, rests, within

LOGIN_PAGE = b"<!DOCTYPE html>\n<html><body>Log in</body></html>"


@pytest.fixture(autouse=True)
def fresh_stores(monkeypatch):
    """No store has failed yet; servers that refuse are not tried again, and the patience is short."""
    forget_stores()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store_errors()  # imports mlflow
    monkeypatch.setattr(store_calls, "_POLL", 0.01)
    yield
    forget_stores()


@contextlib.contextmanager
def answering(status: int, body: bytes, location: str = "") -> Iterator[str]:
    """The address of a server that answers everything so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def black_hole(scheme: str = "http://{}") -> Iterator[str]:
    """The address of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield scheme.format(f"127.0.0.1:{listener.getsockname()[1]}")


@contextlib.contextmanager
def locked(path) -> Iterator[str]:
    """The address of a SQLite store that another process writes to, and does not come to an end."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield f"sqlite:///{path}"


def tracker_of(uri: str) -> MlflowTracker:
    return MlflowTracker(uri, "toy", log_model=False, checkpoint="none", telemetry=False)


LOGIN = "a login that the store accepts"
FAULTS = {
    "401": (lambda: answering(401, b'{"error_code": "UNAUTHENTICATED", "message": "who?"}'), "who?", LOGIN),
    "403 without JSON": (lambda: answering(403, b"Forbidden"), "HTTP 403", "a login that the store accepts"),
    "404": (lambda: answering(404, b"<html>\nnothing</html>"), "HTTP 404", "the address of an MLflow server"),
    "500": (lambda: answering(500, b"oops"), "500 error responses", "a store that answers"),
    "502 of a proxy": (lambda: answering(502, LOGIN_PAGE), "502 error responses", "a store that answers"),
    "login page": (lambda: answering(200, LOGIN_PAGE), "not in a valid JSON format", "the address of an MLflow server"),
    "redirected for ever": (lambda: answering(302, b"", "/"), "redirects", "a store that answers"),
    "refused": (lambda: contextlib.nullcontext("http://127.0.0.1:9"), "Connection refused", "a store that answers"),
    "no such host": (lambda: contextlib.nullcontext("http://no.invalid"), "Failed to resolve", "a store that answers"),
    "black hole": (black_hole, "no answer in", "a store that answers"),
    "database: black hole": (
        lambda: black_hole("postgresql+psycopg://me:secret@{}/mlflow"),
        "no answer in",
        "a store that answers",
    ),
    "database: refused": (
        lambda: contextlib.nullcontext("postgresql+psycopg://me:secret@127.0.0.1:9/mlflow"),
        "Connection refused",
        "a store that answers",
    ),
    "no driver": (
        lambda: contextlib.nullcontext("mssql+pyodbc://me:secret@host/mlflow"),
        "No module named 'pyodbc'",
        "an installed driver",
    ),
    "unknown scheme": (lambda: contextlib.nullcontext("oracle://h/mlflow"), "unsupported URI", "a store that answers"),
    "no folder": (lambda: contextlib.nullcontext("sqlite:////proc/nowhere/mlflow.db"), "No such file", "a store"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_is_dead_at_the_start_is_one_message_in_time(fault, tmp_path, monkeypatch):
    store, said, expected = FAULTS[fault]
    monkeypatch.setattr(outbox, "OPENING", 0.5 if "black hole" in fault else 15.0)
    with store() as uri:
        begun = time.monotonic()
        with pytest.raises(TrackingError) as caught:
            Journal(tmp_path, tracker_of(uri)).open("a run", None, "key")
        assert time.monotonic() - begun < 5
    message = str(caught.value)
    assert said in message
    assert f"Expected {expected}" in message
    assert message.endswith("hint: type tracking=none")
    assert "secret" not in message
    assert len(message) < 800


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("what", ["locked", "no database", "read-only"])
def test_a_sqlite_file_that_cannot_be_used_is_one_message_in_time(what, workplace, monkeypatch):
    monkeypatch.setattr(outbox, "OPENING", 0.5 if what == "locked" else 15.0)
    path = workplace / "mlflow.db"
    if what == "no database":
        path.write_bytes(b"nothing of SQLite's" * 100)
    uri = f"sqlite:///file:{path}?mode=ro&uri=true" if what == "read-only" else f"sqlite:///{path}"
    said = {"locked": r"no answer in|locked", "no database": "not a database", "read-only": "readonly"}[what]
    with locked(path) if what == "locked" else contextlib.nullcontext(), pytest.raises(TrackingError, match=said):
        Journal(workplace / "run", tracker_of(uri)).open("a run", None, "key")


def test_a_store_that_hangs_in_the_middle_costs_one_wait_and_then_nothing(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(store_calls, "USUAL", 0.2)
    calls, hang = [], threading.Event()

    def call(name):
        calls.append(name)
        hang.wait()

    class Hanging:
        uri, is_open = "http://here", True

        def __getattr__(self, method):
            return {"rests": lambda: rests(self.uri), "settings": dict}.get(method, lambda *_: self.send(method))

        def send(self, method):
            if method in ("prepare", "start"):
                return "id"
            try:
                return call_store(self.uri, lambda: call(method), lambda _: True)
            except NoAnswerError as error:
                raise TrackingError(str(error)) from error

    monkeypatch.setattr(store_calls, "CLOSING", 0.2)
    begun = time.monotonic()
    with Journal(tmp_path, Hanging()).open("a run", None, "key") as journal:
        for step in range(200):
            journal.log_metrics({"loss": 1.0 / (step + 1)}, step)
    assert time.monotonic() - begun < 2
    assert calls == ["log_metrics"] * 2  # the first of all, and once more at the end
    assert caplog.text.count("The run continues") == 1
    assert len(outbox.read_unsent(tmp_path / "unsent.jsonl")) == 1 + 200 + 3
    hang.set()


def test_a_store_that_failed_is_called_again_after_a_rest_until_its_time_is_spent(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(store_calls.time, "monotonic", lambda: now[0])

    def fails():
        now[0] += 25
        raise OSError("down")

    tried = []
    for second in range(0, 3000, 10):
        now[0] = 1000.0 + max(second, now[0] - 1000)
        try:
            call_store("x://y", fails, lambda _: True)
        except OSError:
            tried.append(second)
        except NoAnswerError:  # it rests
            now[0] += 1
    assert len(tried) == 3  # 25 seconds each, of 60
    with within(5), pytest.raises(OSError, match="down"):
        call_store("x://y", fails, lambda _: True)
    call_store("x://y2", lambda: None, lambda _: True)
    assert rests("x://y")
    assert not rests("x://y2")


def test_an_answer_that_is_an_error_is_no_failure_of_the_store():
    def refuses():
        raise ValueError("no such run")

    with pytest.raises(ValueError, match="no such run"):
        call_store("x://z", refuses, lambda _: False)
    assert not rests("x://z")


@pytest.fixture
def listening():
    """The signals of a command, and those of pytest afterwards."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    listen()
    yield
    signals._INTERRUPTS.begin()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
@pytest.mark.parametrize("is_held", [True, False], ids=["held back", "free"])
def test_a_signal_ends_the_wait_for_a_store_that_hangs(number, kind, is_held, monkeypatch):
    monkeypatch.setattr(store_calls, "AFTER_SIGNAL", 0.3)
    hang = threading.Event()
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
    begun = time.monotonic()
    held = held_back() if is_held else contextlib.nullcontext()
    with pytest.raises(kind), held, contextlib.suppress(NoAnswerError):
        call_store("x://hangs", hang.wait, lambda _: True)
    assert time.monotonic() - begun < 1
    hang.set()


@pytest.mark.usefixtures("listening")
def test_a_call_that_the_store_answers_is_not_cut_by_a_signal():
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    done = []
    with pytest.raises(SystemExit), held_back():
        call_store("x://slow", lambda: (time.sleep(0.3), done.append(1)), lambda _: True)
    assert done == [1]
