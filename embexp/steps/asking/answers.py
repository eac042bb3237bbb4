"""Answers of a language model, kept on disk as each one arrives, so that none is paid for twice."""

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
FILE = "answers.sqlite"


@dataclass(frozen=True)
class Answer:
    """What a model wrote, and the tokens that it took.

    Attributes:
        is_cut: it was cut off at its longest length.
    """

    text: str
    input_tokens: int
    output_tokens: int
    is_cut: bool = False


def answer_key(address: str, body: Mapping[str, Any], num_texts: int) -> str:
    """What an answer is kept under: a hash of the address and of all that was asked."""
    asked = json.dumps([address, body, num_texts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


class KeptAnswers:
    """Answers by their keys, in an SQLite file: written one by one, whole after a kill. All threads may use it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        # A log of writes is as safe against a kill as a journal and needs no disk flush for each answer; with no other
        # process there, SQLite needs no shared memory for it, which network drives do not have.
        for pragma in ("locking_mode = exclusive", "journal_mode = wal", "synchronous = normal"):
            self._connection.execute(f"pragma {pragma}")
        with self._lock, self._connection:
            self._connection.execute(
                "create table if not exists answers"
                "(key text primary key, text text, input_tokens integer, output_tokens integer, is_cut integer)"
            )

    def get(self, key: str) -> Answer | None:
        """The answer that is kept under a key."""
        with self._lock:
            query = "select text, input_tokens, output_tokens, is_cut from answers where key = ?"
            row = self._connection.execute(query, (key,)).fetchone()
        return Answer(*row[:3], is_cut=bool(row[3])) if row else None

    def keep(self, key: str, answer: Answer) -> None:
        """Keep an answer; once this returns, no kill of the process loses it."""
        with self._lock, self._connection:
            row = (key, *astuple(answer))
            self._connection.execute("insert or replace into answers values (?, ?, ?, ?, ?)", row)


@contextmanager
def kept_answers(folder: Path | None) -> Iterator[KeptAnswers]:
    """The answers that a folder keeps, for this process alone: another one that asks, too, waits and finds them there.

    Args:
        folder: None keeps them only as long as this lasts.
    """
    if folder is None:
        logger.warning("Answers are not kept (paths.cache=null): after an interruption all are paid for again.")
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            yield KeptAnswers(connection)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder), closing(sqlite3.connect(folder / FILE, check_same_thread=False)) as connection:
            yield KeptAnswers(connection)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{FILE}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("Another process asks a model, too, and keeps its answers in %s: waiting for it.", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
