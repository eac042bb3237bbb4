"""MLflow's database, which comes into being once and whole, however many processes begin together.

A SQLite file is made in a folder of its own and gets its name by a link, which fails where there is one already. That
needs no lock, so that it holds on network file systems; where locks work, the others wait for the first in place of
making one each.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from embexp.tracking.store_calls import at_work

if TYPE_CHECKING:
    from sqlalchemy import Connection

_MOST_SECONDS = 120.0  # that a process waits for another one that makes the database
_ABANDONED = 10.0  # seconds without a change after which a half made one is finished here
_LEFT_OVER = 3600.0  # seconds after which what a killed process was making is removed


def local_file(uri: str) -> Path | None:
    """The file of a SQLite store; None of another store, and of one in memory.

    >>> [str(local_file(uri)) for uri in ("sqlite:////data/a.db", "sqlite+pysqlite:///a.db?timeout=9", "http://host")]
    ['/data/a.db', 'a.db', 'None']
    """
    scheme, separator, rest = uri.partition(":///")
    name = rest.partition("?")[0]
    is_file = scheme.partition("+")[0] == "sqlite" and separator and name and not name.startswith((":memory:", "file:"))
    return Path(name) if is_file else None


def make_database(path: Path) -> None:
    """A SQLite file with MLflow's tables, unless it is there.

    Raises:
        OSError: the file cannot be made.
    """
    if is_whole(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _one_at_a_time(path):
            if not path.exists():
                with _made_apart(path) as made:
                    _place(made, path)
            elif not _becomes_whole(path):
                with _made_apart(path) as made:
                    _fill(path, made)
    except sqlite3.Error as error:
        raise OSError(f"{path} cannot be made: {error}") from error


def is_whole(path: Path) -> bool:
    """Whether the database has all that it needs; what is no database is left to MLflow, which says so.

    Its last step is to enter the experiment `Default`. One of an earlier version of MLflow is whole, too.
    """
    if not path.is_file():
        return path.exists()
    with path.open("rb") as file:
        if (begin := file.read(16)) and begin != b"SQLite format 3\0":
            return True
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=5)) as database:
            return database.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:  # no such table, or locked by the process that makes it
        return False
    except sqlite3.DatabaseError:
        return True


@contextlib.contextmanager
def making_tables(uri: str) -> Iterator[None]:
    """Wait while a process, on any machine, makes MLflow's tables in a PostgreSQL database; nothing for other stores.

    MLflow itself holds up the processes of one machine only, and makes the tables in many steps.
    """
    if not uri.startswith("postgres"):
        yield
        return
    import sqlalchemy

    lock = "SELECT pg_advisory_{}lock(hashtext('tables of MLflow'))"  # ends with the connection, too
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as database:
        if not _is_filled(database):
            with at_work(_MOST_SECONDS):
                database.execute(sqlalchemy.text(lock.format("")))
            if _is_filled(database):
                database.execute(sqlalchemy.text(lock.format("un")))
        yield


def _is_filled(database: "Connection") -> bool:
    import sqlalchemy

    try:
        return database.scalar(sqlalchemy.text("SELECT 1 FROM experiments LIMIT 1")) is not None
    except sqlalchemy.exc.ProgrammingError:  # no such table
        return False
    finally:
        database.rollback()


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Wait while another process makes the database, where the file system has locks; it is right without, too."""
    from filelock import FileLock

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=_MOST_SECONDS)
    with contextlib.suppress(OSError, NotImplementedError):  # no locks there, or held by a process that hangs
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _made_apart(path: Path) -> Iterator[Path]:
    """A whole database in a folder beside the place, that is gone afterwards."""
    from embexp.tracking.mlflow_store import quiet_mlflow

    begin = f".{path.name}.making-"
    for left in path.parent.glob(f"{begin}*"):
        with contextlib.suppress(OSError):  # another process removes it
            if time.time() - left.stat().st_mtime > _LEFT_OVER:
                shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=begin, dir=path.parent))
    try:
        made = folder / path.name
        quiet_mlflow().MlflowClient(f"sqlite:///{made}").search_experiments()
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(made: Path, path: Path) -> None:
    """Give a database its name unless another one has it by now."""
    try:
        os.link(made, path)
        return
    except FileExistsError:
        is_ours = False
    except OSError:  # a file system without links
        is_ours = _is_new(path)
    if is_ours or not _becomes_whole(path):
        _fill(path, made)


def _is_new(path: Path) -> bool:
    """Make an empty file; whether there was none."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    return True


def _becomes_whole(path: Path) -> bool:
    """Wait for another program that makes the database; whether it does, or had done.

    One that has not changed for some time was left half made by a process that was killed.
    """
    end = time.monotonic() + _MOST_SECONDS
    state, since = None, time.monotonic()
    while not is_whole(path) and time.monotonic() < end:
        found = path.stat().st_size, path.stat().st_mtime_ns
        if found != state:
            state, since = found, time.monotonic()
        elif time.monotonic() - since > _ABANDONED:
            return False
        time.sleep(0.1)
    return True


def _fill(path: Path, made: Path) -> None:
    """Give an empty or half made database the tables of a whole one: all in one step, and by one process."""
    with closing(sqlite3.connect(made)) as source:
        content = [*source.iterdump()][1:-1]  # without its own BEGIN and COMMIT
    with closing(sqlite3.connect(path, timeout=_MOST_SECONDS, isolation_level=None)) as target:
        target.execute("PRAGMA foreign_keys = OFF")
        target.execute("BEGIN EXCLUSIVE")
        found = target.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        if ("table", "experiments") in found and target.execute("SELECT 1 FROM experiments LIMIT 1").fetchone():
            target.execute("ROLLBACK")
            return
        for kind, name in found:
            if kind == "table":  # its indexes go with it
                target.execute(f'DROP TABLE "{name}"')
        for statement in content:
            target.execute(statement)
        target.execute("COMMIT")
