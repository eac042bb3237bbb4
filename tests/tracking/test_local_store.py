"""MLflow's SQLite file comes into being once, whoever begins it, with whom, and whoever is killed meanwhile."""

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

from embexp.errors import TrackingError
from embexp.tracking import local_store, mlflow_store
from embexp.tracking.local_store import is_whole, make_database
from embexp.tracking.mlflow_tracker import MlflowTracker

TABLES = "CREATE TABLE experiments (name TEXT); CREATE TABLE runs (id TEXT); CREATE INDEX by_id ON runs (id);"


def write_database(path: Path, maker: str | None, tables: str = TABLES) -> None:
    """A database with an experiment, which says who made it; None: it is half made."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(tables)
        if maker:
            database.execute("INSERT INTO experiments VALUES (?)", (maker,))
        database.commit()


def maker_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall() == [("by_id",)]
        ((maker,),) = database.execute("SELECT name FROM experiments").fetchall()
    return maker


@pytest.fixture
def making(monkeypatch):
    """Makes a database without MLflow; what is in `meanwhile` happens before it is done."""
    made, meanwhile = [], []

    def client(uri):
        path = Path(uri.removeprefix("sqlite:///"))
        made.append(path)
        write_database(path, f"number {len(made)}")
        for each in meanwhile:
            each()
        return SimpleNamespace(search_experiments=lambda: [])

    monkeypatch.setattr(mlflow_store, "quiet_mlflow", lambda: SimpleNamespace(MlflowClient=client))
    monkeypatch.setattr(local_store, "_ABANDONED", 0.3)
    return SimpleNamespace(made=made, meanwhile=meanwhile)


def without_links(monkeypatch, error=None):
    error = error or PermissionError(1, "Operation not permitted")
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(error))


def without_locks(monkeypatch, error=None):
    error = error or NotImplementedError("FileSystem does not appear to support flock")
    monkeypatch.setattr(filelock.FileLock, "acquire", lambda *_: (_ for _ in ()).throw(error))


def make_in_threads(path: Path, number: int = 8) -> None:
    errors = []

    def make():
        try:
            make_database(path)
        except Exception as error:  # noqa: BLE001  # a thread would swallow it
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_database_is_made_once_and_left_overs_of_killed_processes_go(tmp_path, making):
    old, young = tmp_path / ".mlflow.db.making-old", tmp_path / ".mlflow.db.making-young"
    for left in (old, young):
        left.mkdir()
        (left / "mlflow.db").write_text("half")
    os.utime(old, (0, 0))
    make_in_threads(tmp_path / "mlflow.db")
    assert len(making.made) == 1
    assert maker_of(tmp_path / "mlflow.db") == "number 1"
    assert [*tmp_path.glob(".mlflow.db.making*")] == [young]  # somebody may be at it


@pytest.mark.parametrize(
    "error", [NotImplementedError("no flock"), OSError(37, "No locks available"), filelock.Timeout("held")]
)
def test_without_locks_it_is_placed_once_and_never_replaced(tmp_path, making, monkeypatch, error):
    without_locks(monkeypatch, error)
    path, ready = tmp_path / "mlflow.db", threading.Barrier(8)
    making.meanwhile.append(lambda: ready.wait(20))  # all have made one before the first is placed
    inodes = set()
    placed, link = [], os.link

    def watched(source, target):
        link(source, target)
        placed.append(source)
        inodes.add(path.stat().st_ino)

    monkeypatch.setattr(os, "link", watched)
    make_in_threads(path)
    assert len(making.made) == 8
    assert len(placed) == 1
    assert inodes == {path.stat().st_ino}
    assert not [*tmp_path.glob(".mlflow.db.making*")]


@pytest.mark.parametrize("error", [PermissionError(1, "Operation not permitted"), OSError(95, "not supported")])
@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.usefixtures("making")
def test_without_links_one_process_fills_the_file_in_one_step(tmp_path, monkeypatch, error, locks):
    without_links(monkeypatch, error)
    if not locks:
        without_locks(monkeypatch)
    make_in_threads(tmp_path / "mlflow.db")
    maker_of(tmp_path / "mlflow.db")
    assert not [*tmp_path.glob(".mlflow.db.making*")]


@pytest.mark.parametrize("links", [True, False])
def test_a_database_that_another_program_made_meanwhile_is_not_replaced(tmp_path, making, monkeypatch, links):
    if not links:
        without_links(monkeypatch)
    path = tmp_path / "mlflow.db"
    making.meanwhile.append(lambda: write_database(path, "another program"))
    make_database(path)
    assert maker_of(path) == "another program"


def test_one_that_another_program_is_making_is_waited_for(tmp_path, making, monkeypatch):
    monkeypatch.setattr(local_store, "_ABANDONED", 5.0)
    path = tmp_path / "mlflow.db"
    write_database(path, None)

    def finish():
        time.sleep(0.4)
        write_database(path, "another program", "")

    other = threading.Thread(target=finish)
    other.start()
    make_database(path)
    other.join()
    assert maker_of(path) == "another program"
    assert making.made == []


HALF_MADE = {
    "an empty file": lambda path: path.touch(),
    "some tables": lambda path: write_database(path, None, "CREATE TABLE runs (id TEXT)"),
    "all tables, of another kind": lambda path: write_database(path, None, TABLES.replace("id TEXT", "other INT, id")),
}


@pytest.mark.parametrize("half", HALF_MADE.values(), ids=HALF_MADE)
@pytest.mark.usefixtures("making")
def test_one_that_was_left_half_made_is_finished_in_its_place(tmp_path, half):
    path = tmp_path / "mlflow.db"
    half(path)
    inode = path.stat().st_ino
    make_in_threads(path, 4)
    maker_of(path)
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("content", [b"no database at all, but a text that is long enough" * 99, b"x"])
def test_what_is_no_database_is_left_as_it_is(tmp_path, making, content):
    path = tmp_path / "mlflow.db"
    path.write_bytes(content)
    make_database(path)
    assert path.read_bytes() == content
    assert making.made == []


def test_one_with_experiments_is_whole_also_of_an_earlier_version_and_while_it_is_written_to(tmp_path):
    path = tmp_path / "my 100% store #1.db"
    write_database(path, "Default", "CREATE TABLE experiments (name TEXT)")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert is_whole(path)
    assert not is_whole(tmp_path / "absent.db")
    assert is_whole(tmp_path)  # a folder: MLflow says what is wrong


@pytest.mark.usefixtures("making")
def test_the_folder_of_a_store_is_made_and_one_that_cannot_be_is_an_error_of_the_tracker(workplace):
    make_database(Path("new/folder/mlflow.db"))
    assert maker_of(workplace / "new" / "folder" / "mlflow.db")
    (workplace / "file").touch()
    with pytest.raises(TrackingError, match=r"failed in prepare: .*file"):
        MlflowTracker("sqlite:///file/mlflow.db", "toy", False, "none", telemetry=False).prepare()
