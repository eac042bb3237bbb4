"""The command: what it takes, what it refuses in a second, and that it finds its study again."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY
from typed_commands import done_in

from embexp.core.environment import install_command


def tune(*arguments):
    return done_in(Path.cwd(), "tune", *arguments)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_the_same_command_finds_its_study_again():
    command = [*TINY, "tracking=none", "trainer.max_steps=1", "loss.scale=interval(10,20)", "seed=1,2"]
    first, again = tune(*command, "trials=1"), tune(*reversed(command), "trials=1")
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert "trial 0 loss.scale=" in first.stdout
    assert "trial 0 loss.scale=" not in again.stdout
    found = [done.stdout.partition("trials by")[2].partition("again ")[0] for done in (first, again)]
    assert found[0] == found[1]
    assert "the best of 1 trials was picked on dev" in found[0]


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loss=mnrl"], "Nothing is searched."),
        (["loss.scale=10,twenty"], "loss.scale=twenty is a text. Expected a number."),
        (["loss=mnrl,mnlr"], "Did you mean 'mnrl'?"),
        (["loss.scal=1,2"], "loss.scal is not a key."),
        (["loss.scale=1,2", "trials=0"], "trials=0 was given. Expected a whole number of at least 1."),
        (["loss.scale=1,2", "-m"], "-m was typed."),
        (["loss.scale=1,2", "resume=runs/x"], "resume resumes a run, not a study."),
        (["loss.scale=1,2", "tune.sampler=tpa"], "tune/sampler=tpa is not known. Expected one of: random, tpe"),
        (
            ["loss.scale=1,2", "loss=mnrl,cosent", "trials=3", "tune.seed=7", "name=study"],
            "race name=study loss.scale=1,2 loss=mnrl,cosent race.max_candidates=3",
        ),
        (["trainer.per_device_train_batch_size=range(16,65,16)"], "train_batch_size=16,32,48,64 race.max_candidates=4"),
        (["loss.scale=1,2", "tune.sampler.n_start=1"], "tune.sampler.n_start is not a key."),
    ],
)
def test_a_mistake_is_one_message_within_seconds(arguments, message):
    start = time.perf_counter()
    done = tune(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert time.perf_counter() - start < 10


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_the_race_that_stands_in_place_of_a_study_of_lists_is_run():
    done = tune(*TINY, "tracking=none", "trainer.max_steps=2", "loss.scale=10,20", "trials=5")
    (command,) = [line for line in done.stderr.splitlines() if "embexp.race" in line]
    _, _, arguments = command.partition("embexp.race ")
    raced = done_in(Path.cwd(), "race", *shlex.split(arguments), "race.seeds=1", "race.rungs=[1]")
    assert raced.returncode == 0, raced.stderr
    assert "2 candidates" in raced.stdout


def test_help_shows_the_groups_and_the_values_of_the_search():
    done = tune("--help")
    assert done.returncode == 0, done.stderr
    for part in (
        "tune/sampler   [tpe] random",
        "tune/pruner    [median] none",
        "trials=20",
        "embexp tune 'trainer.learning_rate=tag(log, interval(1e-5, 1e-3))' loss.scale=10,20",
    ):
        assert part in done.stdout


def test_without_optuna_one_message_says_what_to_install(workplace):
    (workplace / "optuna_less.py").write_text(
        "import importlib, runpy\n"
        "module = importlib.import_module('embexp.core.environment')\n"
        "find = module._is_absent\n"
        "module._is_absent = lambda name: name == 'optuna' or find(name)\n"
        "module._installed_version = lambda name: None\n"
        "runpy.run_module('embexp.tune', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run([sys.executable, "optuna_less.py", "loss.scale=1,2"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"Error: embexp.tune needs optuna, which is not installed.\nhint: type {install_command('tune')}"
    )
