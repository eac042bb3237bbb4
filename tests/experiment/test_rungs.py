"""Runs that are trained to a share of their training, and then go on, are finished or are dropped."""

import json
import pickle
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from conftest import TINY
from killed_runs import SERVER, assert_same_end, at_step, before, killed, measured, model_of
from killed_runs import run as whole_run
from test_run import plan_of

from embexp.core.run_context import RunContext
from embexp.core.run_folder import read_json, read_record, status_of
from embexp.errors import ConfigError, DataError, Paused
from embexp.evaluation.scores import read_examples
from embexp.experiment.execute import execute
from embexp.experiment.rungs import DROPPED_TAG, drop, finish, train_to
from embexp.training.checkpoints import folders

# Four steps, each with an evaluation and a checkpoint.
STEPS = ("trainer.eval_steps=1", "trainer.save_steps=1", "keep=full")
QUIET = (*STEPS, "tracking=none")
FIRST = "+adapt.first={loss:{_target_:embexp.losses.tension.ContrastiveTension,_accepts_:[twin_text]}}"
RISING = ("loss=cosent",)  # each step is better on dev than the one before
KEY = "spearman_cosine"


def to(plan, share):
    return train_to(plan, share, context=RunContext())


def finished(plan):
    return finish(plan, context=RunContext()).content


def dev_curve(folder):
    """The primary metric on dev by step, 0 for the untouched model."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    key = f"train/dev/sts/{KEY}"
    return {line["step"]: line["metrics"][key] for line in lines if key in line["metrics"]}


def assert_rung(rung, curve, step, counts):
    """A rung after a step, whose scores are those of another one."""
    assert (rung.step, rung.share, rung.best_step, rung.value) == (step, step / 4, counts, curve[counts])
    kept = read_examples(rung.examples)
    assert (kept.base.metrics[KEY], kept.trained.metrics[KEY]) == (curve[0], curve[counts])


def test_a_paused_run_ends_like_one_that_never_was_and_sees_test_at_its_end_alone(workplace, scored):
    overrides = (*QUIET, "seed=1")  # the best step is the first one, and at the end the last
    whole_run(workplace / "whole", *TINY, *overrides)
    del scored[:]
    plan, curve = plan_of(workplace / "paused", *overrides), dev_curve(workplace / "whole")
    rungs = {share: to(plan, share) for share in (0.25, 0.5, 1)}
    assert {*scored} == {"dev"}
    assert status_of(plan.folder) == "RUNNING"
    for share, rung in rungs.items():
        step = round(4 * share)
        assert_rung(rung, curve, step, max(range(1, step + 1), key=curve.get))
    assert [rung.best_step for rung in rungs.values()] == [1, 1, 4]
    result = finished(plan)
    assert (result["run"]["status"], result["primary_value"]) == ("FINISHED", rungs[1].value)
    assert_same_end(workplace / "whole", workplace / "paused")


def files_of(plan, name=""):
    stage = plan.stages[-1].folder
    return sorted(path.relative_to(stage).as_posix() for path in stage.rglob(f"*{name}") if path.is_file())


@pytest.mark.slow
def test_a_run_that_waits_holds_what_it_will_load_and_one_that_is_dropped_for_good_nothing(workplace):
    overrides = (*QUIET, "seed=1", "keep=none")  # the best step is the first one, and at the end the last
    whole_run(workplace / "whole", *TINY, *overrides)
    plan = plan_of(workplace / "paused", *overrides)
    to(plan, 0.5)
    assert files_of(plan, "optimizer.pt") == ["checkpoints/checkpoint-2/optimizer.pt"]
    assert files_of(plan, ".safetensors") == [f"checkpoints/checkpoint-{step}/model.safetensors" for step in (1, 2)]
    killed(at_step, (4,), plan.folder)
    last = to(plan, 1)
    assert files_of(plan, ".safetensors") == ["model/model.safetensors"]
    assert not plan.stages[-1].checkpoints.exists()
    shutil.copytree(plan.folder, workplace / "dropped")
    finished(plan)
    assert_same_end(workplace / "whole", workplace / "paused")
    dropped = plan_of(workplace / "dropped", *overrides)
    drop(dropped.folder, dropped.tracker, "others do better", keep_weights=False)
    assert files_of(dropped) == []
    (dropped.folder / "rungs/1.json").unlink()
    assert to(dropped, 1).value == last.value  # it is trained again


VARIANTS = {
    "static vectors": ("model=static",),
    "a loss with weights": ("loss=softmax", "trainer.max_steps=7", "trainer.eval_steps=2", "trainer.logging_steps=3"),
    "by epochs": (
        "trainer.max_steps=12",
        "trainer.per_device_train_batch_size=100",
        "trainer.eval_strategy=epoch",
        "trainer.save_strategy=epoch",
    ),
    "checkpoints of evaluations alone": ("trainer.max_steps=5", "trainer.eval_steps=2", "trainer.save_strategy=no"),
}


IN_SLOW_LANE = "a loss with weights"


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [pytest.param(name, marks=() if name == IN_SLOW_LANE else pytest.mark.matrix) for name in VARIANTS],
)
def test_pauses_change_nothing_of_other_runs(variant, workplace):
    overrides = (*QUIET, *VARIANTS[variant])
    whole_run(workplace / "whole", *TINY, *overrides)
    rungs = [to(plan_of(workplace / "paused", *overrides), share) for share in (0.25, 0.5, 1)]
    assert all(rung.share >= share for rung, share in zip(rungs, (0.25, 0.5, 1), strict=True))
    assert sorted(rung.seconds for rung in rungs) == [rung.seconds for rung in rungs]
    finished(plan_of(workplace / "paused", *overrides))
    assert_same_end(workplace / "whole", workplace / "paused")


def test_a_rung_on_the_disk_is_taken_and_a_smaller_share_needs_no_training(workplace, scored):
    plan = plan_of(workplace / "run", *QUIET)
    first = to(plan, 0.5)
    del scored[:]
    assert to(plan, 0.5) == first
    assert scored == []
    smaller = to(plan, 0.25)
    assert (smaller.step, smaller.share, smaller.value) == (2, 0.5, first.value)
    assert scored == ["dev"]  # the untouched model
    assert len(folders(plan.stages[-1].checkpoints)) == 2


@pytest.mark.slow
def test_scores_of_a_checkpoint_that_was_lost_are_those_of_no_rung(workplace):
    folder = workplace / "run"
    child = SERVER.Process(target=_killed_before, args=(folder, 1.0, ("complete", "embexp.training.callbacks", 2)))
    child.start()
    child.join(timeout=120)
    assert child.exitcode == -signal.SIGKILL
    curve, plan = dev_curve(folder), plan_of(folder, *QUIET, *RISING)
    assert read_json(folder / "rungs/best.json")["step"] == 2  # of which there is no whole checkpoint
    assert_rung(to(plan, 0.25), curve, 1, 1)
    assert_rung(to(plan, 0.5), curve, 2, 2)


def _killed_before(folder, share, moment):
    import os

    os.chdir(folder.parent)
    before(*moment)
    to(plan_of(folder, *QUIET, *RISING), share)


@pytest.mark.slow
def test_a_run_that_began_without_pauses_is_taken_up(workplace):
    killed(at_step, (4,), workplace / "run", *TINY, *QUIET)
    plan = plan_of(workplace / "run", *QUIET)
    rung, curve = to(plan, 0.5), dev_curve(plan.folder)
    assert_rung(rung, curve, 3, max(range(1, 4), key=curve.get))


@pytest.mark.slow
def test_a_finished_run_is_taken_as_it_is(workplace, scored):
    plan = plan_of(workplace / "run", *QUIET)
    result = execute(plan).content
    del scored[:]
    rung = to(plan, 0.25)
    assert (rung.share, rung.step, rung.value) == (1.0, 4, result["primary_value"])
    assert read_examples(rung.examples).trained.metrics[KEY] == rung.value
    assert finished(plan)["metrics"] == result["metrics"]
    drop(plan.folder, plan.tracker, "it lost")
    assert (status_of(plan.folder), scored) == ("FINISHED", [])
    rung.examples.unlink()
    with pytest.raises(DataError, match=r"sts_dev\.parquet: The finished run in .* has no scores on dev by example"):
        to(plan, 0.25)


@pytest.mark.slow
def test_the_tracker_shows_what_becomes_of_a_run_and_of_its_stages(workplace, store, scored):
    whole_run(workplace / "whole", *TINY, *QUIET, FIRST)
    del scored[:]
    overrides = (*STEPS, FIRST, "tracking.log_model=false")
    plan = plan_of(workplace / "paused", *overrides)
    to(plan, 0.25)
    assert runs_in(store) == {plan.name: ("RUNNING", None), f"{plan.name}/first": ("RUNNING", None)}
    to(plan, 0.5)
    drop(plan.folder, plan.tracker, "others do better")
    assert {*scored} == {"dev"}
    assert runs_in(store) == {plan.name: ("KILLED", "others do better"), f"{plan.name}/first": ("KILLED", None)}
    result = read_json(plan.folder / "result.json")
    assert (result["run"]["status"], result["dropped"]) == ("KILLED", "others do better")
    assert result["run"]["id"] == read_record(plan.folder)["id"]
    to(plan, 1)
    assert runs_in(store) == {plan.name: ("RUNNING", ""), f"{plan.name}/first": ("RUNNING", None)}
    assert status_of(plan.folder) == "RUNNING"
    finished(plan)
    assert runs_in(store) == {plan.name: ("FINISHED", ""), f"{plan.name}/first": ("FINISHED", None)}
    expected, found = model_of(workplace / "whole"), model_of(plan.folder)
    assert [name for name in expected if not expected[name].equal(found[name])] == []
    assert measured(workplace / "whole") == measured(plan.folder)
    stages = [read_json(workplace / name / "result.json")["stages"][0]["metrics"] for name in ("whole", "paused")]
    assert stages[0] == stages[1]


def runs_in(store):
    """Status and reason of each run by its name."""
    import mlflow

    client = mlflow.MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    return {run.info.run_name: (run.info.status, run.data.tags.get(DROPPED_TAG)) for run in runs}


@pytest.mark.slow
def test_a_dropped_run_may_leave_its_checkpoints(workplace):
    plan = plan_of(workplace / "run", *QUIET)
    first = to(plan, 0.25)
    drop(plan.folder, plan.tracker, "others do better", keep_weights=False)
    assert folders(plan.stages[-1].checkpoints) == []
    assert to(plan, 0.25) == first
    assert status_of(plan.folder) == "KILLED"  # nothing was asked of it
    assert_rung(to(plan, 0.5), dev_curve(plan.folder), 2, 1)
    assert status_of(plan.folder) == "RUNNING"


def write_pairs(*splits):
    Path("rows").mkdir()
    for split in splits:
        rows = [{"sentence1": f"{split} {n}", "sentence2": f"a {n}", "score": n % 9 / 8} for n in range(40)]
        Path(f"rows/{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return "dataset=./rows", "loss=cosent", "evaluator=[sts]"


def test_where_dev_gives_the_verdict_a_rung_has_the_last_steps_scores(workplace):
    plan = plan_of(workplace / "run", *QUIET, *write_pairs("train", "dev"), "~dataset.steps.split")
    for share in (0.5, 1):
        step = round(4 * share)
        assert_rung(to(plan, share), dev_curve(plan.folder), step, step)
    assert not (plan.folder / "rungs/best.parquet").exists()


def test_without_scores_on_dev_no_run_pauses_and_what_is_typed_helps(workplace):
    undivided, pairs = "dataset.steps.split.ratios=[1,0,1]", write_pairs("train", "test")
    typed = [*QUIET, *pairs, undivided, "trainer.eval_strategy=no"]
    with pytest.raises(ConfigError, match=r"^sts has no dev split, only test\. Expected one to choose by") as found:
        to(plan_of(workplace / "run", *typed), 0.5)
    assert not (workplace / "run").exists()
    fix = shlex.split(str(found.value).partition("hint: type ")[2])
    typed = [*(each for each in typed if each != undivided), *fix]
    with pytest.raises(ConfigError, match=r"^trainer\.eval_strategy=no gives no scores on dev") as found:
        to(plan_of(workplace / "run", *typed), 0.5)
    fix = shlex.split(str(found.value).partition("hint: type ")[2])
    assert to(plan_of(workplace / "run", *typed, *fix), 0.5).step == 2


def test_a_pause_comes_whole_from_another_process():
    paused = pickle.loads(pickle.dumps(Paused(3, 0.75, 2, 1.5)))
    assert (paused.step, paused.share, paused.best_step, paused.seconds) == (3, 0.75, 2, 1.5)
    assert str(paused) == "The training is paused at step 3: 75% of it is done."
