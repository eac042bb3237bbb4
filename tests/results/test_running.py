"""Several sweeps at once: stopped at any moment they stop at once, and what was said before stays on record."""

import logging
import os
import signal
import sys
import time

import pytest
from killed_runs import SERVER

from embexp.core import claims
from embexp.core.run_folder import write_json
from embexp.core.signals import listen
from results.recipes import OUTPUT, Recipe, failures_of, run_recipes


def recipe_in(folder, ended=None):
    """A recipe whose sweep has not begun, or has begun and perhaps ended."""
    folder.mkdir(exist_ok=True)
    if ended is not None:
        write_json(folder / "sweep.json", {"ended": ended})
    return Recipe(folder.name, ("loss=mnrl", "name=a b"), "none", folder)


def run_until_stopped(recipes, first_ended):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listen()
    try:
        for _ in run_recipes(recipes, 2):
            first_ended.set()
    except KeyboardInterrupt:
        sys.exit(130)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_sweep_that_waits_for_an_earlier_call_is_stopped_at_once_and_not_begun(tmp_path, number, code):
    held, finished = recipe_in(tmp_path / "held"), recipe_in(tmp_path / "finished", ended=True)
    first_ended = SERVER.Event()
    with claims.held(held.folder, "sweep"):
        process = SERVER.Process(target=run_until_stopped, args=([held, finished], first_ended))
        process.start()
        assert first_ended.wait(60)
        os.kill(process.pid, number)
        process.join(10)
        stopped = process.exitcode
        process.kill()
    assert stopped == code
    assert not (held.folder / OUTPUT).exists()


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Sets what is run in place of Python."""

    def set_command(script):
        path = tmp_path / "command"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return set_command


def test_stopping_ends_the_sweeps_that_run(tmp_path, command):
    slow, finished = recipe_in(tmp_path / "slow"), recipe_in(tmp_path / "finished", ended=True)
    command(f"echo $$ > {tmp_path}/pid.making; mv {tmp_path}/pid.making {tmp_path}/pid; exec sleep 60")
    running = run_recipes([slow, finished], 2)
    assert next(running) == (finished, 0)
    end = time.monotonic() + 20
    while not (tmp_path / "pid").exists() and time.monotonic() < end:
        time.sleep(0.01)
    running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_output_of_every_start_stays_and_the_last_one_gives_the_error(tmp_path, command):
    recipe = recipe_in(tmp_path / "recipe")
    command("echo Error: there is no such file; exit 1")
    assert [*run_recipes([recipe], 1)] == [(recipe, 1)]
    command("echo out of memory; exit 2")
    assert [*run_recipes([recipe], 1)] == [(recipe, 2)]
    start = "$ python -m embexp -m loss=mnrl 'name=a b'"
    expected = [start, "Error: there is no such file", start, "out of memory"]
    assert (recipe.folder / OUTPUT).read_text().splitlines() == expected
    assert [*failures_of(recipe, 2)] == [f"recipe: out of memory ({recipe.folder})"]


def test_a_finished_sweep_says_that_it_is_not_run_again(tmp_path, caplog):
    recipe = recipe_in(tmp_path / "recipe", ended=True)
    with caplog.at_level(logging.INFO, "results.reproduce"):
        assert [*run_recipes([recipe], 1)] == [(recipe, 0)]
    assert "[1/1] recipe: finished before, not run again whatever has changed since" in caplog.text
    assert f"delete {recipe.folder}" in caplog.text


def test_a_killed_job_is_listed_with_those_that_failed(tmp_path):
    recipe = recipe_in(tmp_path / "recipe", ended=True)
    results = {0: {"run": {"status": "FINISHED"}}, 1: {"run": {"status": "FAILED"}, "error": "ConfigError: no\nmore"}}
    for job in range(3):
        (recipe.folder / str(job)).mkdir()
        if job in results:
            write_json(recipe.folder / str(job) / "result.json", results[job])
    failed, killed = failures_of(recipe, 1)
    assert failed == f"recipe: ConfigError: no ({recipe.folder / '1'})"
    assert killed == f"recipe: job 2 was killed before it recorded an error ({recipe.folder / '2'})"
