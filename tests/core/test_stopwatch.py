"""Where the time goes: each second belongs to the innermost part, and none is lost."""

import time

import pytest

from embexp.core.run_context import IMPORTING, STARTING, RunContext, Timer, overhead, timed


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def test_a_second_belongs_to_the_innermost_part(clock):
    timer = Timer()
    clock(1)
    with timer.part("training"):
        clock(2)
        with timer.part("tracking"):
            clock(4)
        clock(8)
    assert timer.seconds() == {STARTING: 1, "training": 10, "tracking": 4}


def test_a_part_that_is_entered_again_adds_up_and_one_that_fails_is_closed(clock):
    context = RunContext()

    @timed("tracking")
    def send(fails):
        clock(1)
        if fails:
            raise KeyError

    with context.current():
        send(fails=False)
        with pytest.raises(KeyError):
            send(fails=True)
    clock(3)
    assert context.timer.seconds() == {STARTING: 3, "tracking": 2}


def test_what_is_read_in_the_middle_of_a_part_counts_until_then(clock):
    timer = Timer()
    with timer.part("training"):
        clock(1)
        assert timer.seconds()["training"] == 1
        clock(1)
    assert timer.seconds()["training"] == 2


def test_a_job_begins_where_the_one_before_has_ended(clock):
    before = time.perf_counter()
    clock(1)
    assert Timer(before).seconds() == {STARTING: 1}


def test_overhead_is_what_neither_computes_with_the_model_nor_imports_its_libraries():
    parts = {STARTING: 0.5, IMPORTING: 4.0, "scoring the untouched model": 2.0, "training": 9.0, "tracking": 1.0}
    assert overhead(parts) == 1.5
