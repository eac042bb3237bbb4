"""Ctrl-C and SIGTERM: raised where they arrive, but not in the middle of what must not be left half done.

An exception in the middle of a database's transaction leaves it open, and the database locked for everybody.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from embexp.errors import Terminated


class _Interrupts:
    """What has arrived while it was held back, and how often holding back was begun and not ended."""

    def __init__(self) -> None:
        self.depth = 0
        self.waiting: type[BaseException] | None = None

    def arrived(self, error: type[BaseException]) -> None:
        """Raise the error, or keep it; whoever presses Ctrl-C twice does not want to wait."""
        is_impatient = error is KeyboardInterrupt and self.waiting is not None
        if self.depth == 0 or is_impatient:
            raise error
        self.waiting = error


_INTERRUPTS = _Interrupts()


def listen() -> None:
    """Let Ctrl-C raise KeyboardInterrupt and SIGTERM Terminated, unless they are held back."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # else it is ignored on purpose
        signal.signal(signal.SIGINT, lambda *_: _INTERRUPTS.arrived(KeyboardInterrupt))
    if "SLURM_JOB_ID" not in os.environ:  # submitit handles the signal itself, to requeue the job
        signal.signal(signal.SIGTERM, lambda *_: _INTERRUPTS.arrived(Terminated))


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that arrive inside are raised at its end; in other threads than the main one none arrives."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _INTERRUPTS.depth += 1
    try:
        yield
    finally:
        _INTERRUPTS.depth -= 1
        if _INTERRUPTS.depth == 0 and _INTERRUPTS.waiting is not None:
            error, _INTERRUPTS.waiting = _INTERRUPTS.waiting, None
            raise error
