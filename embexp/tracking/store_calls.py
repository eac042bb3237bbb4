"""Calls to a tracker's store that end, whatever the store does: each has a thread of its own and a limit.

A socket that nobody answers and a database's library in C hear no signal and know no deadline. The main thread, which
waits for the thread, hears both: the call is given up and its thread left behind. It may still reach the store later,
so every call can be made again without harm.

A store that has failed rests: calls fail at once until a minute has passed, then two, then four. Once all waiting of
this process has taken `BUDGET` seconds it rests until a run ends, which tries once more.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embexp.core.signals import is_interrupted

OPENING = 15.0  # seconds that a store has to open a run
USUAL = 30.0  # seconds for any other call; one that sends files has more, by their size
SLOWEST = 500_000  # bytes a second of the slowest upload that is waited for
CLOSING = 10.0  # seconds of the last attempt, at the end of a run, until the store answers
AFTER_SIGNAL = 3.0  # seconds that a call may take in all once a signal has arrived
BUDGET = 60.0  # seconds that a store which has failed may cost a process
_FIRST_REST = 60.0
_POLL = 0.05


class NoAnswerError(Exception):
    """A store that has not answered in time, or that rests because it failed a moment ago."""


@dataclass
class _Store:
    """What this process has seen of a store."""

    failures: int = 0
    spent: float = 0.0
    rests_until: float = 0.0
    said: str = ""

    def failed(self, seconds: float, said: str) -> None:
        self.failures += 1
        self.spent += seconds
        self.said = said
        rest = _FIRST_REST * 2 ** (self.failures - 1)
        self.rests_until = float("inf") if self.spent >= BUDGET else time.monotonic() + rest

    def answered(self) -> None:
        self.failures, self.spent, self.rests_until = 0, 0.0, 0.0


_STORES: dict[str, _Store] = {}
_LIMIT: ContextVar["_Limit | None"] = ContextVar("when the calls to a store end", default=None)
_IS_LAST: ContextVar[bool] = ContextVar("whether a store that rests is called", default=False)


def rests(address: str) -> bool:
    """Whether a store has failed and is not yet called again."""
    return address in _STORES and time.monotonic() < _STORES[address].rests_until


def forget_stores() -> None:
    """Call every store again, whatever happened before."""
    _STORES.clear()


@dataclass
class _Limit:
    """When calls begin and are given up, by `time.monotonic`; work of this machine alone puts the end off."""

    begins: float
    ends: float


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls inside end in so many seconds together; a store that rests is called."""
    limit, last = _LIMIT.set(_Limit(now := time.monotonic(), now + seconds)), _IS_LAST.set(True)
    try:
        yield
    finally:
        _LIMIT.reset(limit)
        _IS_LAST.reset(last)


@contextmanager
def last_attempt() -> Iterator[None]:
    """Inside, a store that rests is called, too, with little patience until it answers."""
    token = _IS_LAST.set(True)
    try:
        yield
    finally:
        _IS_LAST.reset(token)


@dataclass
class _Call:
    """A call in its thread.

    Attributes:
        grace: seconds beyond the limit, for what it sends.
        last_error: of an attempt that is being repeated.
    """

    function: Callable[[], Any]
    limit: _Limit
    grace: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None
    last_error: str = ""

    def run(self) -> None:
        _HERE.call = self
        try:
            self.result = self.function()
        except BaseException as error:  # noqa: BLE001  # raised again by who waits
            self.error = error
        self.done.set()


_HERE = threading.local()


def note_error(error: BaseException) -> None:
    """Keep what the store said, to be reported where the call is given up."""
    if call := getattr(_HERE, "call", None):
        call.last_error = _first_line(error)


@contextmanager
def at_work(most: float) -> Iterator[None]:
    """What runs inside is work of this machine, or of a store that has answered: its time is not counted.

    Args:
        most: seconds of which this holds.
    """
    limit = _HERE.call.limit if getattr(_HERE, "call", None) else _Limit(0.0, 0.0)
    start = time.monotonic()
    limit.ends += most
    try:
        yield
    finally:
        limit.ends -= max(0.0, most - (time.monotonic() - start))


def call_store(
    address: str, function: Callable[[], Any], is_failure: Callable[[BaseException], bool], size: int = 0
) -> Any:
    """What the function gives, which calls the store.

    Args:
        is_failure: whether an error means that the store is out of order; else it has answered.
        size: bytes that it sends.

    Raises:
        NoAnswerError: it took too long, a signal arrived while it waited, or the store rests.
        Exception: what the function raised.
    """
    if getattr(_HERE, "call", None):  # inside of another call
        return function()
    store = _STORES.setdefault(address, _Store())
    if rests(address) and not _IS_LAST.get():
        raise NoAnswerError(f"it failed a moment ago ({store.said}) and is not called again yet")
    start = time.monotonic()
    limit = _LIMIT.get() or _Limit(start, start + (CLOSING if store.failures else USUAL))
    call = _Call(function, limit, size / SLOWEST)
    threading.Thread(target=call.run, name="tracker", daemon=True).start()
    try:
        _wait(call, start)
    except NoAnswerError as error:
        store.failed(time.monotonic() - start, str(error))
        raise
    if call.error is not None and is_failure(call.error):
        store.failed(time.monotonic() - start, _first_line(call.error))
    else:
        store.answered()
    if call.error is not None:
        raise call.error
    return call.result


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _wait(call: _Call, start: float) -> None:
    while not call.done.wait(_POLL):
        now = time.monotonic()
        if is_interrupted() and now - start > AFTER_SIGNAL:
            raise NoAnswerError("it did not answer before the run was stopped")
        if now > call.limit.ends + call.grace:
            why = f" (its last answer: {call.last_error})" if call.last_error else ""
            raise NoAnswerError(f"no answer in {now - call.limit.begins:.0f} s{why}")


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder; 0 where there is none."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size if path.is_file() else 0


class made_once:  # noqa: N801
    """A property that is made when it is first read; unlike Python 3.11's cached_property, without a lock.

    That lock is one for all objects: all trackers would wait for one whose store hangs.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self
        owner.__dict__[self.make.__name__] = made = self.make(owner)
        return made
