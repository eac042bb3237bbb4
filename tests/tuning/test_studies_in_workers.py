"""Studies whose trials are run by workers: the table is that of a study without, whatever is killed."""

import os
import signal
import time

import pytest
from conftest import TINY
from studies import study
from typed_commands import typed

from embexp.config.compose import compose, resolve
from embexp.core.claims import holder
from embexp.errors import ConfigError
from embexp.sweep.slots import JOB
from embexp.tuning.workers import TrialRunner

# Values that are drawn at random depend on a trial's number alone, not on which trials had ended.
ARGUMENTS = (
    "trainer.learning_rate=tag(log, interval(1e-5, 1e-2))",
    "tune.sampler=random",
    "tune.pruner=none",
    "trials=4",
)
ARGUMENTS += ("tracking=none", "trainer.max_steps=40", "trainer.eval_steps=10", "trainer.save_steps=10")
PATIENCE = 300


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The table of a study without workers."""
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        study(folder, *ARGUMENTS)
    return (folder / "trials.csv").read_text()


def in_workers(folder):
    return typed(folder, "tune", *TINY, *ARGUMENTS, "sweep.workers=2", "hydra.run.dir=study")


def worker_of(folder, trial):
    """The process that trains a trial of which steps are logged, as soon as there is one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        place = folder / "study/trials" / str(trial)
        metrics = place / "metrics.jsonl"
        if (owner := holder(place, JOB)) and metrics.is_file() and "train/loss" in metrics.read_text():
            return owner.pid
        time.sleep(0.02)
    raise AssertionError("no worker has the trial")


@pytest.mark.slow
def test_command_and_workers_are_killed_and_the_table_is_that_of_a_study_without_workers(workplace, undisturbed):
    command = in_workers(workplace)
    worker_of(workplace, 1)
    os.killpg(command.process.pid, signal.SIGKILL)
    command.process.join()
    command = in_workers(workplace)
    assert command.wait(PATIENCE) == 0, command.text()
    assert (workplace / "study/trials.csv").read_text() == undisturbed
    assert not (workplace / "study/engine").exists()
    logs = [(workplace / "study/trials" / str(trial) / "output.txt").read_text() for trial in range(4)]
    assert all(logs), "a worker's output belongs to the trial"
    again = in_workers(workplace)
    assert again.wait(PATIENCE) == 0, again.text()
    assert "trial 3" not in again.text().partition("trials by")[0], "nothing is run twice"
    assert (workplace / "study/trials.csv").read_text() == undisturbed


@pytest.mark.matrix
def test_a_trial_that_takes_its_worker_along_has_failed_and_the_others_end(workplace, undisturbed):
    command = in_workers(workplace)
    os.kill(worker_of(workplace, 2), signal.SIGKILL)
    assert command.wait(PATIENCE) == 0, command.text()
    failed = "failed, TrainingError: The process of the job ended by SIGKILL (out of memory?)."
    assert f"{failed} | " in command.text()
    rows = {line.partition(",")[0]: line for line in (workplace / "study/trials.csv").read_text().splitlines()}
    expected = {line.partition(",")[0]: line for line in undisturbed.splitlines()}
    assert rows.pop("2").startswith("2,failed,,")
    assert rows == {number: line for number, line in expected.items() if number != "2"}


@pytest.mark.parametrize(
    ("typed_too", "said"),
    [
        ("sweep.workers=-1", "sweep.workers=-1"),
        ("sweep/engine=ray", "sweep.workers=0"),
        ("sweep.workers=two", "sweep.workers=two"),
        ("sweep.gpus=0", r"sweep.gpus=0 .*list"),
    ],
)
def test_workers_that_cannot_be_are_refused_before_the_study_begins(workplace, typed_too, said):
    with pytest.raises(ConfigError, match=said):
        study(workplace / "study", *ARGUMENTS, typed_too)
    assert not (workplace / "study").exists()


@pytest.mark.parametrize("storage", ["null", "sqlite:////shared/study.db"])
def test_a_database_in_a_file_is_refused_where_workers_may_be_elsewhere(workplace, storage):
    from embexp.sweep.shared import check_stores, store_problem

    config = compose(["tracking=none", "loss.scale=20", f"tune.storage={storage}"], "tune")
    runner = TrialRunner(config, "key", [], [], workplace / "study", "")
    stores = runner.stores()
    assert stores == {"tracking.uri": "", "tune.storage": stores["tune.storage"]}
    assert check_stores(stores, is_here=True) == []
    with pytest.raises(ConfigError, match=r"tune.storage=sqlite:.*is a file of one machine") as refusal:
        check_stores(stores, is_here=False)
    (fix,) = refusal.value.problems[0].fix
    reached = resolve(compose(["tracking=none", fix.replace("<user>", "me").replace("<database>", "db")], "tune"))
    assert store_problem(reached["tune"]["storage"], "tune.storage") is None
