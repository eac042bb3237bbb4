"""Answers of a language model: cached on disk so that none is paid for twice, counted in tokens and money."""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from embexp.endpoints.keeping import NOT_KEPT, Tokens, open_table
from embexp.steps.llm.endpoint import Endpoint

logger = logging.getLogger(__name__)


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


class AnswerCache:
    """Answers by their keys, in an SQLite file: written one by one, whole after a kill. All threads may use it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        with self._lock, self._connection:
            self._connection.execute(
                "create table if not exists answers"
                "(key text primary key, text text, input_tokens integer, output_tokens integer, is_cut integer)"
            )

    def get(self, key: str) -> Answer | None:
        """The answer under a key, None where there is none."""
        with self._lock:
            query = "select text, input_tokens, output_tokens, is_cut from answers where key = ?"
            row = self._connection.execute(query, (key,)).fetchone()
        return Answer(*row[:3], is_cut=bool(row[3])) if row else None

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer; once this returns, no kill of the process loses it."""
        with self._lock, self._connection:
            row = (key, *astuple(answer))
            self._connection.execute("insert or replace into answers values (?, ?, ?, ?, ?)", row)


@contextmanager
def open_answer_cache(folder: Path | None) -> Iterator[AnswerCache]:
    """The cache in a folder, for this process alone: another process waits, and finds the answers there.

    Args:
        folder: None caches only as long as this lasts.
    """
    if folder is None:
        logger.warning(NOT_KEPT)
    with open_table(folder, "answers") as connection:
        yield AnswerCache(connection)


class LimitError(Exception):
    """A request that could pass the limit is not sent."""


class Budget:
    """Adds up what answers cost, and holds back requests that could pass a limit. All threads may use it.

    Attributes:
        spent: tokens of all answers, those of earlier starts included.
        num_answers: how many these are.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.spent = Tokens()
        self.num_answers = 0
        self._endpoint = endpoint
        self._under_way = Tokens()
        self._closed = False
        self._changed = threading.Condition()

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        with self._changed:
            self.spent += Tokens(answer.input_tokens, answer.output_tokens)
            self.num_answers += 1

    @contextmanager
    def reserve(self, request: Tokens) -> Iterator[None]:
        """Reserve tokens while a request is under way; wait for others when together they could pass a limit.

        Raises:
            LimitError: this request could pass it by itself, or an earlier one could have.
        """
        with self._changed:
            while not self._closed and not self._fits(self._under_way + request):
                self._closed = self._under_way == Tokens()
                if not self._closed:
                    self._changed.wait()
            if self._closed:
                self._changed.notify_all()
                raise LimitError
            self._under_way += request
        try:
            yield
        finally:
            with self._changed:
                self._under_way += Tokens(-request.read, -request.written)
                self._changed.notify_all()

    def _fits(self, more: Tokens) -> bool:
        total, limits = self.spent + more, self._endpoint
        return (limits.max_total_tokens is None or total.read + total.written <= limits.max_total_tokens) and (
            limits.max_cost is None or total.cost_at(limits) <= limits.max_cost
        )
