"""Waiting between requests: an even pace, longer and longer waits for a busy server, and what it asks for itself."""

import datetime
import email.utils
import random
import re
import threading
import time
from concurrent.futures import CancelledError

SECONDS = 60  # of a minute
_NUMBER = re.compile(r"\d+(\.\d*)?", re.ASCII)


class Pace:
    """Spreads requests evenly, so that no minute has more of them, or of their tokens, than allowed.

    Args:
        requests_per_minute, tokens_per_minute: None for no limit.
        stop: ends all waiting once it is set.
    """

    def __init__(
        self, requests_per_minute: float | None, tokens_per_minute: float | None, stop: threading.Event
    ) -> None:
        self._per_request = SECONDS / requests_per_minute if requests_per_minute else 0.0
        self._per_token = SECONDS / tokens_per_minute if tokens_per_minute else 0.0
        self._stop = stop
        self._lock = threading.Lock()
        self._next = self._held_until = time.monotonic()

    def wait(self, num_tokens: int) -> None:
        """Wait for one's turn; the next one's comes when a request of so many tokens is allowed for.

        Raises:
            CancelledError: all is to stop.
        """
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + max(self._per_request, self._per_token * num_tokens)
        self.sleep(turn - time.monotonic())
        while (left := self._held_until - time.monotonic()) > 0:
            self.sleep(left)

    def hold(self, seconds: float) -> None:
        """Nobody's turn comes before so many seconds have gone."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds.

        Raises:
            CancelledError: all is to stop.
        """
        if self._stop.wait(max(0.0, seconds)):
            raise CancelledError


def wait_before(attempt: int, first: float, longest: float) -> float:
    """Seconds before another try: they double with each, and chance keeps those who wait from coming at once.

    >>> 2.0 <= wait_before(3, first=1.0, longest=60.0) <= 4.0
    True
    """
    return min(longest, first * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)


def seconds_asked_for(header: str | None) -> float | None:
    """What Retry-After says, in seconds or as a date; None where it says nothing that can be read.

    >>> seconds_asked_for("2.5"), seconds_asked_for("soon"), seconds_asked_for("Thu, 01 Jan 1970 00:00:00 GMT")
    (2.5, None, 0.0)
    """
    if header is None:
        return None
    if _NUMBER.fullmatch(header.strip()):
        return float(header)
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    date = date.replace(tzinfo=date.tzinfo or datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())
