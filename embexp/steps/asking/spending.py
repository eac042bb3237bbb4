"""What answers cost, in tokens and money, and the limit that no request may pass."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from embexp.steps.asking.answers import Answer
from embexp.steps.asking.endpoint import Endpoint

MILLION = 1_000_000


class LimitError(Exception):
    """A request that could pass the limit is not sent."""


@dataclass(frozen=True)
class Tokens:
    """Tokens that were read and written."""

    read: int = 0
    written: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.read + other.read, self.written + other.written)

    def cost_at(self, endpoint: Endpoint) -> float:
        """What they cost, in the currency of the prices."""
        read, written = endpoint.input_price or 0.0, endpoint.output_price or 0.0
        return (self.read * read + self.written * written) / MILLION

    def words(self, endpoint: Endpoint) -> str:
        """The tokens, and their cost where there are prices."""
        has_prices = endpoint.input_price is not None or endpoint.output_price is not None
        cost = f", cost {self.cost_at(endpoint):.4f}" if has_prices else ""
        return f"{self.read:,} tokens read, {self.written:,} written{cost}"


def tokens_of(answer: Answer) -> Tokens:
    """The tokens that an answer took."""
    return Tokens(answer.input_tokens, answer.output_tokens)


class Spending:
    """Adds up answers, and holds requests back that could pass a limit. All threads may use it.

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
            self.spent += tokens_of(answer)
            self.num_answers += 1

    @contextmanager
    def room_for(self, request: Tokens) -> Iterator[None]:
        """Set tokens aside while a request is under way; waits for others when together they could pass a limit.

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
