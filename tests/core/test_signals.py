"""Ctrl-C and SIGTERM, raised at once or held back."""

import os
import signal
import threading

import pytest

from embexp.core.signals import held_back, listen
from embexp.errors import Terminated


@pytest.fixture(autouse=True)
def listening():
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listen()
    yield
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
