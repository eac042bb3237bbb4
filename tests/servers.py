"""Servers that tests start for real: PostgreSQL and MLflow's, on loopback only, each stopped by its process id."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DEBIAN = "/usr/lib/postgresql/*/bin"
WHERE = os.pathsep.join([os.environ.get("PATH", ""), *sorted(glob.glob(DEBIAN), reverse=True)])


@contextmanager
def postgres() -> Iterator[str]:
    """The URI of an empty PostgreSQL database, whose server and files are gone afterwards.

    The test is skipped where PostgreSQL or its driver is missing.
    """
    pytest.importorskip(
        "psycopg", reason="psycopg, the driver of PostgreSQL, is missing: pip install 'psycopg[binary]'"
    )
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    owner = unprivileged()
    # A folder of its own: pytest's belong to root, and the path of a Unix socket is 107 characters long at most.
    with tempfile.TemporaryDirectory(prefix="embexp-pg-") as folder:
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        port = free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        data, log = f"{folder}/data", f"{folder}/log"
        call = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, **owner}
        subprocess.run([initdb, "-D", data, "-U", "embexp", "--auth=trust", "--no-sync", "-E", "UTF8"], **call)
        subprocess.run([pg_ctl, "-D", data, "-l", log, "-o", options, "-w", "start"], **call)
        try:
            yield f"postgresql+psycopg://embexp@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "-w", "stop"], **call)


@contextmanager
def mlflow_server(folder: Path, store: str | None = None) -> Iterator[str]:
    """The URI of an MLflow server that keeps its artifacts in the folder, and its runs in the store.

    Args:
        folder: an existing folder, in which the server's log is written, too.
        store: URI of a database; None is a new SQLite file in the folder.
    """
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store or f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(
            command, env=os.environ | quiet, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(uri + "/health", server, folder / "server.log")
        yield uri
    finally:
        # The server and its worker, a session of their own. Asked kindly, they wait for connections kept open.
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=30)


def wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 90) -> None:
    """Return once the server answers; a server that has ended or is too slow fails with the end of its log."""
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"{address} did not answer in {seconds:.0f} s:\n{log.read_text()[-3000:]}")


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs; the test is skipped where it is missing."""
    return shutil.which(name, path=WHERE) or pytest.skip(f"PostgreSQL's {name} is neither in PATH nor in {DEBIAN}")


def unprivileged() -> dict[str, Any]:
    """As whom PostgreSQL runs, as arguments of `subprocess.run`: as ourselves unless we are root."""
    import pwd

    if os.geteuid() != 0:
        return {}
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]  # Debian's package of PostgreSQL brings a user
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def free_port() -> int:
    """A port of loopback on which nobody listens at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
