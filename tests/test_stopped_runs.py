"""Runs that Ctrl-C or SIGTERM stops in a training: what was trained is saved, and they end as if nobody had."""

import json
import logging
import os
import random
import shutil
import signal
import sys
import time
from contextlib import suppress

import pytest
from conftest import TINY
from killed_runs import assert_same_end, resume, run
from typed_commands import typed

from embexp.core import signals
from embexp.core.run_folder import UNLOGGED, status_of
from embexp.errors import Terminated
from embexp.training.callbacks import CheckpointCallback
from embexp.training.checkpoints import folders, step_of

# 12 steps in two epochs; what is logged, evaluated and saved when.
STEPS = (*TINY, "tracking=none", "keep=full", "trainer.max_steps=12", "trainer.per_device_train_batch_size=24")
SCHEDULES = {
    "a log line at every fifth step": ("trainer.logging_steps=5", "trainer.eval_steps=6", "trainer.save_steps=6"),
    "several losses, none saved": (
        "loss=mnrl",
        "modifier=matryoshka",
        "trainer.save_strategy=no",
        "trainer.eval_strategy=no",
    ),
    "by epochs": ("trainer.eval_strategy=epoch", "trainer.save_strategy=epoch", "+trainer.logging_strategy=epoch"),
    "accumulated": ("trainer.gradient_accumulation_steps=2", "trainer.logging_steps=4", "trainer.eval_steps=6"),
    "the last two are kept": ("trainer.save_total_limit=2", "trainer.eval_steps=2", "trainer.logging_steps=3"),
}
IN_DEFAULT_LANE = "a log line at every fifth step"


@pytest.fixture(autouse=True)
def listening():
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signals.listen()
    yield
    signals._INTERRUPTS.begin()
    sys.unraisablehook = hook
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.fixture
def stop_at(monkeypatch):
    """Arranges for a signal in the middle of a step, once."""

    def arrange(step, number=signal.SIGINT):
        left = [step]

        def begin(_self, _args, state, _control, **_):
            if left == [state.global_step + 1]:
                left.clear()
                os.kill(os.getpid(), number)

        monkeypatch.setattr(CheckpointCallback, "on_step_begin", begin)

    return arrange


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule", [pytest.param(name, marks=() if name == IN_DEFAULT_LANE else pytest.mark.matrix) for name in SCHEDULES]
)
def test_a_stopped_run_saves_its_steps_and_ends_like_one_that_was_not(schedule, workplace, stop_at, caplog):
    overrides = (*STEPS, *SCHEDULES[schedule])
    whole, stopped = workplace / "whole", workplace / "stopped"
    run(whole, *overrides)
    kept = [path.name for path in folders(whole / "stages/main/checkpoints")]
    stop_at(4)
    with pytest.raises(KeyboardInterrupt), caplog.at_level(logging.WARNING):
        run(stopped, *overrides)
    last = folders(stopped / "stages/main/checkpoints")[-1]
    assert step_of(last) == 4
    assert "was stopped. checkpoint-4 is saved: step 4 of 12. To resume it: " in caplog.text
    for number in (9,) if schedule == IN_DEFAULT_LANE else (9, 10):  # stopped again, and once more one step later
        stop_at(number, signal.SIGTERM)
        with pytest.raises(Terminated):
            resume(stopped)
        assert status_of(stopped) == "KILLED"
    stop_at(0)
    assert resume(stopped)["run"]["status"] == "FINISHED"
    assert_same_end(whole, stopped)
    left = folders(stopped / "stages/main/checkpoints")
    assert [path.name for path in left] == kept
    assert not [path for path in left if (path / UNLOGGED).exists()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nobody stops."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder, *STEPS, *SCHEDULES["by epochs"])
    return folder


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=pytest.mark.slow if step in (1, 7) else pytest.mark.matrix) for step in range(1, 13)],
)
def test_a_run_may_be_stopped_at_every_step(step, undisturbed, workplace, stop_at):
    overrides = (*STEPS, *SCHEDULES["by epochs"])
    stop_at(step)
    with pytest.raises(KeyboardInterrupt):
        run(workplace / "stopped", *overrides)
    stop_at(0)
    resume(workplace / "stopped")
    assert_same_end(undisturbed, workplace / "stopped")


def test_a_full_disk_leaves_the_checkpoints_before_it(workplace, stop_at, caplog, monkeypatch):
    stop_at(4)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 10))
    with pytest.raises(KeyboardInterrupt), caplog.at_level(logging.WARNING):
        run(workplace / "run", *STEPS, "trainer.eval_strategy=no", "trainer.save_strategy=no")
    assert "The disk is full" in caplog.text
    assert "was stopped. No step is saved yet: the training begins anew. To resume it: " in caplog.text


COMMANDS = {
    "a run": (*TINY, "loss=mnrl", "trainer.max_steps=12", "trainer.save_steps=2"),
    "a sweep": ("-m", *TINY, "loss=mnrl,cosent", "trainer.max_steps=6"),
}


SAMPLE = [("a run", signal.SIGINT), ("a sweep", signal.SIGTERM)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(name, number, marks=() if (name, number) in SAMPLE else pytest.mark.matrix)
        for name in COMMANDS
        for number in (signal.SIGINT, signal.SIGTERM)
    ],
)
def test_a_command_ends_by_the_signal_at_whatever_moment_it_comes(name, number, workplace):
    """60 signals at random moments of runs, sweeps and studies were all heard; this is a sample of them."""
    moment = random.Random().uniform(0.5, 15)
    command = typed(workplace, *COMMANDS[name])
    time.sleep(moment)
    with suppress(ProcessLookupError):  # it may have ended
        os.kill(command.process.pid, number)
    found = command.wait(timeout=90)
    assert found in (128 + number, -number, 0), f"after {moment:.1f} s: {command.text()}"  # -number: before it listens
    assert "Traceback" not in command.text()
    assert "Exception ignored" not in command.text()
    statuses = [json.loads(path.read_text())["run"]["status"] for path in workplace.glob("*/*/*/**/result.json")]
    assert found != 0 or "KILLED" not in statuses
    assert "RUNNING" not in statuses
