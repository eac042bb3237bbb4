"""Ctrl-C and SIGTERM, raised at once or held back."""

import gc
import os
import signal
import sys
import threading
import time
import weakref
from contextlib import suppress

import pytest

from embexp.core import signals
from embexp.core.signals import (
    ending_soon,
    held_back,
    is_interrupted,
    listen,
    raise_interrupt,
    stopping_after_step,
    unmasked,
)
from embexp.errors import Terminated
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker


@pytest.fixture(autouse=True)
def listening():
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listen()
    yield
    signals._INTERRUPTS.begin()
    sys.unraisablehook = hook
    for each, handler in before.items():
        signal.signal(each, handler)


def signal_twice(number, reached):
    """The same signal two times inside of what holds it back."""
    with held_back():
        for _ in range(2):
            os.kill(os.getpid(), number)
        reached.append("end")


def signal_inside(number, reached):
    with held_back():
        with held_back():
            os.kill(os.getpid(), number)
            reached.append("inner")
        reached.append("outer")


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_is_raised_where_it_arrives_or_at_the_end_of_what_holds_it_back(number, error):
    with pytest.raises(error):
        os.kill(os.getpid(), number)
    reached = []
    with pytest.raises(error):
        signal_inside(number, reached)
    assert reached == ["inner", "outer"]
    with held_back():
        reached.append("nothing waits any more")


def test_a_second_sigterm_waits_as_the_first_does_and_a_second_ctrl_c_does_not():
    reached = []
    with pytest.raises(Terminated):
        signal_twice(signal.SIGTERM, reached)
    assert reached == ["end"]
    with pytest.raises(KeyboardInterrupt):
        signal_twice(signal.SIGINT, reached)
    assert reached == ["end"]


def test_other_threads_hold_nothing_back():
    inside, done = threading.Event(), threading.Event()

    def hold():
        with held_back():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    done.set()
    thread.join()


KINDS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]


class Something:
    """Has weak references, and may be in a cycle."""


def in_the_callback_of_a_weak_reference(number):
    thing = Something()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    assert reference() is None


def in_a_finalizer(number):
    class Dying(Something):
        def __del__(self):
            os.kill(os.getpid(), number)

    Dying()


def in_the_garbage_collector(number):
    def collected(phase, _):
        if phase == "start":
            gc.callbacks.remove(collected)
            os.kill(os.getpid(), number)

    gc.callbacks.append(collected)
    gc.collect()


def in_a_callback_from_c(number):
    import ctypes

    kind = ctypes.CFUNCTYPE(None)
    kind(lambda: os.kill(os.getpid(), number))()


DROPPING = [
    in_the_callback_of_a_weak_reference,
    in_a_finalizer,
    in_the_garbage_collector,
    in_a_callback_from_c,
]


def clean_up_that_fails(number):
    try:
        os.kill(os.getpid(), number)
    finally:
        None.close()


def caught_and_renamed(number):
    try:
        os.kill(os.getpid(), number)
    except BaseException as error:
        raise RuntimeError("the library failed") from error


def failing_after_it_was_swallowed(number):
    with suppress(BaseException):
        os.kill(os.getpid(), number)
    raise RuntimeError("half of the work is missing")


@pytest.mark.parametrize("mask", [clean_up_that_fails, caught_and_renamed, failing_after_it_was_swallowed])
@pytest.mark.parametrize(("number", "kind"), KINDS)
def test_a_signal_that_a_library_replaces_by_an_error_is_raised_and_closes_the_run_as_killed(
    tmp_path, mask, number, kind
):
    with pytest.raises(kind), unmasked():
        mask(number)
    with pytest.raises(kind), Journal(tmp_path, NullTracker()).open("a run", None) as journal:
        mask(number)
    assert journal.result["run"]["status"] == "KILLED"


def test_an_error_without_a_signal_stays_as_it_is():
    with pytest.raises(AttributeError), unmasked():
        None.close()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    listen()  # another command of this process
    with pytest.raises(AttributeError), unmasked():
        None.close()


def work_for(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.mark.parametrize("drop", DROPPING)
@pytest.mark.parametrize(("number", "kind"), KINDS)
def test_a_signal_that_python_drops_is_raised_a_moment_later(drop, number, kind, capsys):
    with pytest.raises(kind):  # noqa: PT012
        drop(number)
        work_for(5)
    assert "Exception ignored" not in capsys.readouterr().err


@pytest.mark.parametrize("drop", DROPPING)
def test_a_dropped_signal_waits_for_what_holds_it_back(drop):
    reached = []
    with pytest.raises(KeyboardInterrupt), held_back():  # noqa: PT012
        drop(signal.SIGINT)
        work_for(0.1)
        reached.append("end")
    assert reached == ["end"]


def test_other_exceptions_that_nothing_can_catch_are_reported_as_before(monkeypatch):
    reported = []
    monkeypatch.setattr(signals._INTERRUPTS, "report", reported.append)

    class Dying:
        def __del__(self):
            raise ValueError("of its own")

    Dying()
    assert [type(each.exc_value) for each in reported] == [ValueError]


def caught_by_a_library():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001
        return


def test_a_signal_that_a_library_has_caught_is_seen_by_the_next_step():
    caught_by_a_library()
    assert is_interrupted()
    with pytest.raises(KeyboardInterrupt):
        raise_interrupt()


@pytest.mark.parametrize(("number", "kind"), KINDS)
def test_in_a_training_a_signal_waits_for_whoever_looks_after_the_step(number, kind, capfd):
    seen = []

    def train():
        with stopping_after_step():
            os.kill(os.getpid(), number)
            with held_back():
                seen.append("tracked")
            seen.append(is_interrupted())
            raise_interrupt()
            seen.append("not reached")

    with pytest.raises(kind):
        train()
    assert seen == ["tracked", True]
    assert ("Stopping after this step" in capfd.readouterr().err) == (kind is KeyboardInterrupt)


def test_a_second_ctrl_c_ends_a_step_at_once():
    seen = []
    with pytest.raises(KeyboardInterrupt), stopping_after_step():  # noqa: PT012
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            seen.append("goes on")
    assert seen == ["goes on"]


@pytest.mark.parametrize("waits", [held_back, stopping_after_step, lambda: ending_soon(Terminated())])
def test_a_signal_does_not_wait_longer_than_schedulers_do(waits, monkeypatch):
    monkeypatch.setitem(signals._PATIENCE, Terminated, 0.1)
    with pytest.raises(Terminated), waits():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


def test_a_process_that_was_forked_leaves_ctrl_c_to_its_parent(monkeypatch):
    monkeypatch.setattr(signals._INTERRUPTS, "process", 1)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Terminated):
        os.kill(os.getpid(), signal.SIGTERM)
