"""Ctrl-C and SIGTERM: raised where they arrive, but not in the middle of what must not be left half done.

An exception in the middle of a database's transaction leaves it open, and the database locked for everybody. A training
ends after a step, so that a checkpoint can be written.

No signal is lost. Python drops an exception that is raised in the callback of a weak reference, in `__del__` and the
like, and prints it: our hook there keeps it, and an alarm raises it again a moment later. One that some library caught
is seen at the end of the next step. One that arrived in the middle of a library's work may make its clean-up fail, with
an error that replaces the signal (OmegaConf does so): `unmasked` raises the signal in its place.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from embexp.core.launch import launched
from embexp.errors import Terminated

_Kind = type[BaseException]
# Seconds that a signal may wait: less than schedulers give a job between SIGTERM and SIGKILL. A person presses again.
_PATIENCE: dict[_Kind, float] = {KeyboardInterrupt: 60.0, Terminated: 20.0}
_COPY = 2.0  # seconds in which a signal is the one before, passed on
_MOMENT = 0.05  # seconds until a signal that was dropped is raised again
_STOPPING = b"\nStopping after this step, with a checkpoint. Ctrl-C again ends at once.\n"


class _Interrupts:
    """What has arrived and waits.

    Attributes:
        depth: how often holding back was begun and not ended.
        trains: whether a signal waits for the end of a training step.
        raised: what was raised last, which ends the process unless it was dropped.
        process: which process listens: children that were forked from it have its handlers.
    """

    report = staticmethod(sys.__unraisablehook__)  # what is done with other exceptions that nothing can catch

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what came before: it has ended another command of this process."""
        self.depth = 0
        self.trains = False
        self.waiting: _Kind | None = None
        self.raised: _Kind | None = None
        self.deadline = 0.0
        self.process = os.getpid()

    @property
    def is_free(self) -> bool:
        """Whether an error may be raised anywhere."""
        return self.depth == 0 and not self.trains

    def arrived(self, kind: _Kind) -> None:
        """Raise the error, or keep it; whoever presses Ctrl-C twice does not want to wait."""
        if os.getpid() != self.process:  # of a data loader, for example: its parent ends it
            if kind is KeyboardInterrupt:
                return
            raise kind
        passed = time.monotonic() - (self.deadline - _PATIENCE[kind])
        is_copy = launched() is not None and passed < _COPY  # torchrun passes on what the terminal sends to all
        is_impatient = kind is KeyboardInterrupt and self.waiting is not None and not is_copy
        if self.is_free or is_impatient:
            self.throw(kind)
        if self.waiting is None:
            self.keep(kind)
            if self.trains and kind is KeyboardInterrupt:
                os.write(2, _STOPPING)  # print may be what was interrupted

    def keep(self, kind: _Kind, seconds: float | None = None) -> None:
        """Let it wait, until the alarm after these seconds at the latest if it may be raised then."""
        self.waiting = kind
        self.deadline = time.monotonic() + _PATIENCE[kind]
        _set_alarm(_PATIENCE[kind] if seconds is None else seconds)

    def throw(self, kind: _Kind) -> None:
        """Raise it now."""
        self.waiting, self.raised = None, kind
        _set_alarm(0)
        raise kind

    def alarmed(self) -> None:
        """Raise what waits if nothing holds it back, or has done so for too long."""
        left = self.deadline - time.monotonic()
        if self.waiting is not None and (self.is_free or left <= 0):
            self.throw(self.waiting)
        elif self.waiting is not None:
            _set_alarm(left)


_INTERRUPTS = _Interrupts()


def _set_alarm(seconds: float) -> None:
    """SIGALRM after so many seconds, 0 for none; no thread, since a thread cannot be started inside of a handler."""
    if not hasattr(signal, "setitimer"):  # Windows
        return
    if seconds:
        signal.signal(signal.SIGALRM, lambda *_: _INTERRUPTS.alarmed())
    signal.setitimer(signal.ITIMER_REAL, seconds)


def listen() -> None:
    """Let Ctrl-C raise KeyboardInterrupt and SIGTERM Terminated, unless they are held back."""
    _INTERRUPTS.begin()
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # else it is ignored on purpose
        signal.signal(signal.SIGINT, lambda *_: _INTERRUPTS.arrived(KeyboardInterrupt))
    if "SUBMITIT_EXECUTOR" not in os.environ:  # submitit handles the signal itself, to requeue the job
        signal.signal(signal.SIGTERM, lambda *_: _INTERRUPTS.arrived(Terminated))
    if sys.unraisablehook is not _keep_dropped:
        _INTERRUPTS.report, sys.unraisablehook = sys.unraisablehook, _keep_dropped


def _keep_dropped(dropped: Any) -> None:
    """Python's hook for exceptions that nothing can catch: ours wait for the alarm, others are reported as before."""
    if dropped.exc_type in _PATIENCE and os.getpid() == _INTERRUPTS.process:
        _INTERRUPTS.keep(dropped.exc_type, _MOMENT)
    else:
        _INTERRUPTS.report(dropped)


def is_interrupted() -> bool:
    """Whether a signal waits, or was raised and dropped."""
    return (_INTERRUPTS.waiting or _INTERRUPTS.raised) is not None


def raise_interrupt() -> None:
    """Raise the signal that `is_interrupted` has found, if any; not in another thread than the main one."""
    if _is_main_thread() and (kind := _INTERRUPTS.waiting or _INTERRUPTS.raised):
        _INTERRUPTS.throw(kind)


def masked_signal(error: BaseException | None) -> BaseException | None:
    """The signal that was raised before the error and is not seen any more, as the error has replaced it; else None."""
    kind = _INTERRUPTS.raised
    return kind() if kind is not None and isinstance(error, Exception) and _is_main_thread() else None


@contextmanager
def unmasked() -> Iterator[None]:
    """An error that has replaced a signal is not raised: the signal is."""
    try:
        yield
    except Exception as error:
        if found := masked_signal(error):
            raise found from error
        raise


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that arrive inside are raised at its end; in other threads than the main one none arrives."""
    if not _is_main_thread():
        yield
        return
    _INTERRUPTS.depth += 1
    try:
        yield
    finally:
        _INTERRUPTS.depth -= 1
        if _INTERRUPTS.is_free and _INTERRUPTS.waiting is not None:
            _INTERRUPTS.throw(_INTERRUPTS.waiting)


@contextmanager
def ending_soon(error: BaseException | None) -> Iterator[None]:
    """After a signal, what runs inside has so long as a signal may wait, and is ended by the same signal then.

    Code that closes a run with the error has seen the signal: it was not dropped.
    """
    kind = type(error)
    if kind not in _PATIENCE or not _is_main_thread():
        yield
        return
    _INTERRUPTS.keep(kind)
    try:
        yield
    finally:
        _INTERRUPTS.waiting = _INTERRUPTS.raised = None
        _set_alarm(0)


@contextmanager
def stopping_after_step() -> Iterator[None]:
    """Signals that arrive inside wait: the training looks at `is_interrupted` after each step. They are raised at its
    end, or earlier when a step takes too long."""
    if not _is_main_thread():
        yield
        return
    before, _INTERRUPTS.trains = _INTERRUPTS.trains, True
    try:
        yield
    finally:
        _INTERRUPTS.trains = before
        if _INTERRUPTS.is_free and _INTERRUPTS.waiting is not None:
            _INTERRUPTS.throw(_INTERRUPTS.waiting)
