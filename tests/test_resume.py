"""Runs that were killed at any moment and resumed; and runs that cannot be."""

import json
import random
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from conftest import TINY, copied
from killed_runs import (
    SERVER,
    _run_arranged,
    assert_same_end,
    at_step,
    at_touch,
    before,
    killed,
    resume,
    run,
    while_writing,
)
from omegaconf import OmegaConf
from typed_commands import done_in, typed

from embexp.config.compose import compose, instantiate
from embexp.core import redaction
from embexp.core.claims import held
from embexp.core.run_folder import read_record, run_folder, status_of, write_text
from embexp.errors import ConfigError, TrainingError
from embexp.experiment.resume import resumed
from embexp.training.checkpoints import folders, last_checkpoint

# Two stages, each with weights of its loss; a checkpoint after every second of four steps.
FIRST = "{_target_:embexp.losses.tension.ContrastiveTension,_accepts_:[twin_text]}"
CHAINED = (*TINY, "loss=softmax", f"+adapt.first={{loss:{FIRST}}}", "tracking=none", "keep=full")
PLACES = {
    "before anything was scored": ("_load_base_model", "embexp.experiment.execute"),
    "before the first stage": ("train", "embexp.experiment.stages"),
    "when a checkpoint was written but not marked": ("complete", "embexp.training.callbacks"),
    "when the second checkpoint was not marked": ("complete", "embexp.training.callbacks", 2),
    "before old checkpoints were removed": ("rotate", "embexp.training.callbacks", 2),
    "before the best weights were loaded": ("load_weights", "embexp.training.embedding_training"),
    "before the first stage was judged": ("_record_stage", "embexp.experiment.stages"),
    "before the first stage's child was closed": ("finish", "embexp.tracking.run_parts.NullTracker", 1),
    "between the stages": ("train_main", "embexp.experiment.execute"),
    "in the second stage": ("complete", "embexp.training.callbacks", 4),
    "before the trained model was scored": ("record_results", "embexp.experiment.execute"),
    "before anything was stored": ("store", "embexp.experiment.execute"),
    "before the checkpoints were tidied": ("tidy", "embexp.experiment.execute"),
    "after the result was written": ("write_json", "embexp.tracking.journal", 2),
    "before the tracker was closed": ("finish", "embexp.tracking.run_parts.NullTracker", 2),
    "before the run was marked as closed": ("write_json", "embexp.experiment.execute", 2),
}


# A place in a stage and one between two; the others are of the matrix lane.
IN_OTHER_LANES = {"when the second checkpoint was not marked": pytest.mark.slow, "between the stages": ()}
MOMENTS = [pytest.param(name, marks=IN_OTHER_LANES.get(name, pytest.mark.matrix)) for name in PLACES]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A chained run that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder, *CHAINED)
    return folder


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_at_a_moment_ends_like_one_that_was_not(moment, undisturbed, workplace):
    killed(before, PLACES[moment], workplace / "run", *CHAINED)
    result = resume(workplace / "run")
    assert result["run"]["status"] == "FINISHED"
    assert_same_end(undisturbed, workplace / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["loss.pt", *(pytest.param(name, marks=pytest.mark.matrix) for name in ("optimizer.pt", "rng_state.pth"))]
)
def test_a_torn_checkpoint_is_left_out_for_the_one_before_it(file, undisturbed, workplace, caplog):
    caplog.set_level("INFO", "embexp")
    killed(while_writing, (file,), workplace / "run", *CHAINED)
    torn = folders(workplace / "run/stages/first/checkpoints")[-1]
    assert torn.name == "checkpoint-4"
    resume(workplace / "run")
    assert "checkpoint-4 is not whole: it was being written when the run ended. It is left out." in caplog.text
    assert "Resuming from checkpoint-2: step 2 of 4." in caplog.text
    assert_same_end(undisturbed, workplace / "run")


@pytest.mark.slow
def test_a_run_killed_again_and_again_at_random_ends_like_one_that_was_not(undisturbed, workplace):
    folder, draw, kills = workplace / "run", random.Random(1), 0
    for _ in range(40):
        child = SERVER.Process(
            target=_run_arranged, args=(at_touch, (str(folder), draw.randint(20, 300)), folder, CHAINED)
        )
        child.start()
        child.join(timeout=120)
        assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
        kills += child.exitcode != 0
        if folder.exists() and not (folder / "run.json").exists():
            shutil.rmtree(folder)  # it never began
        if status_of(folder) == "FINISHED":
            break
    assert kills >= 2
    assert_same_end(undisturbed, folder)


@pytest.mark.slow
def test_the_command_resumes_a_killed_run_by_folder_or_by_id_in_the_same_mlflow_run(workplace, store):
    import mlflow

    long = ["trainer.max_steps=3000", "trainer.save_steps=2", "trainer.eval_steps=1500"]
    command = typed(workplace, *TINY, "loss=softmax", *long)
    assert command.kill_when(lambda _: list(workplace.glob("runs/*/*/stages/main/checkpoints/*/complete.json")))
    (folder,) = workplace.glob("runs/*/*")
    begin = last_checkpoint(folder / "stages/main/checkpoints").step
    run_id = json.loads((folder / "run.json").read_text())["id"]
    for name in (str(folder), run_id):
        command = typed(workplace, f"resume={name}")
        assert command.kill_when(lambda _, goal=begin + 20: last_step(folder) > goal), command.text()
        assert last_checkpoint(folder / "stages/main/checkpoints").step > begin
        begin = last_step(folder)
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    assert (run.info.run_id, run.info.status) == (run_id, "RUNNING")
    steps = [entry.step for entry in client.get_metric_history(run_id, "train/loss")]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > 20
    assert (folder / ".hydra/overrides.yaml").read_text().count("softmax") == 1


def last_step(folder: Path) -> int:
    lines = (folder / "metrics.jsonl").read_text().splitlines()[:-1]
    return max((json.loads(line)["step"] or 0 for line in lines), default=0)


@pytest.mark.slow
def test_a_full_disk_is_one_clear_error_and_earlier_checkpoints_stay(workplace, monkeypatch):
    usage, calls = shutil.disk_usage, []

    def nearly_full(path):
        calls.append(path)
        return usage(path) if len(calls) == 1 else usage(path)._replace(free=1000)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    with pytest.raises(
        TrainingError, match=r"The disk is full: a checkpoint of about \d+ MB does not fit (.|\n)*hint: type resume="
    ):
        run(workplace / "run", *TINY, "keep=full", "tracking=none")
    assert status_of(workplace / "run") == "FAILED"
    (whole,) = folders(workplace / "run/stages/main/checkpoints")
    assert last_checkpoint(whole.parent).step == 2
    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert resume(workplace / "run")["run"]["status"] == "FINISHED"


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "run"
    killed(at_step, (3,), folder, *TINY, "tracking=none")
    return folder


@pytest.fixture
def begun(killed_once, workplace) -> Path:
    """A run that was killed: a copy, recorded as begun where it is."""
    return copied(killed_once, workplace)


def test_a_run_that_is_resumed_takes_no_other_values(begun):
    with pytest.raises(
        ConfigError, match=r"seed=1 trainer\.max_steps=9 was typed with resume\.[^\n]*\nhint: type resume=run$"
    ):
        resumed(begun, ["resume=run", "seed=1", "trainer.max_steps=9"])


def test_a_finished_run_is_not_resumed(begun):
    resume(begun)
    with pytest.raises(ConfigError, match=r"has finished: its result is in .*result\.json"):
        resumed(begun, ["resume=run"])


def test_a_folder_with_a_run_takes_no_other_run(begun):
    with pytest.raises(ConfigError, match=r"run holds a run already \(RUNNING\)\.[^\n]*\nhint: type resume="):
        run(begun, *TINY, "tracking=none")


def test_a_run_that_another_process_holds_is_left_to_it(begun):
    with held(begun), pytest.raises(ConfigError, match="still running in another process"):
        resume(begun)


def test_a_run_is_resumed_where_it_began(begun, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"hint: type cd .* && python -m embexp resume=.*/run$"):
        resumed(begun, ["resume=run"])


@pytest.mark.slow
def test_a_run_that_its_tracker_has_not_closed_is_resumed(workplace, store):
    import mlflow

    killed(before, ("finish", "embexp.tracking.mlflow_tracker.MlflowTracker"), workplace / "run", *TINY)
    assert status_of(workplace / "run") == "FINISHED"
    resume(workplace / "run")
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    assert run.info.status == "FINISHED"
    assert len(client.search_logged_models([run.info.experiment_id])) == 1


@pytest.mark.parametrize("mark", ["", pytest.param('{"files": {"optim', marks=pytest.mark.matrix)])
def test_a_mark_that_cannot_be_read_does_not_count(mark, begun, caplog):
    (checkpoint,) = folders(begun / "stages/main/checkpoints")
    (checkpoint / "complete.json").write_text(mark)
    assert last_checkpoint(checkpoint.parent) is None
    assert f"{checkpoint.name} is not whole" in caplog.text


def test_what_may_stay_of_checkpoints_is_checked_first():
    with pytest.raises(ConfigError, match=r"keep=ful was given\. Expected one of: none, weights, full\. Did you"):
        run(Path("never"), *TINY, "keep=ful")


@pytest.mark.slow
def test_the_command_says_what_was_typed_wrongly_in_one_message(begun):
    for words, message in {
        (
            "resume=nosuch",
        ): "Error: resume=nosuch is neither a folder nor the id of a run in runs or sweeps or tunings or races",
        (
            "resume=run",
            "hydra.run.dir=x",
        ): "Error: tracking=none hydra.run.dir=x was typed with resume. Expected resume alone",
        ("resume=",): "Error: resume= names no run. Expected the folder of a run",
    }.items():
        done = done_in(begun.parent, "tracking=none", *words)
        assert (done.returncode, done.stderr.startswith(message)) == (1, True), done.stderr


def test_a_run_whose_data_have_changed_is_not_resumed(workplace):
    judged = "dataset=pairs.jsonl", "evaluator=[stsb]", "evaluator.stsb.dataset=${dataset}"
    pairs = [f'{{"sentence1": "a text {n}", "sentence2": "another {n}", "score": {n / 40}}}' for n in range(40)]
    Path("pairs.jsonl").write_text("\n".join(pairs))
    overrides = (*TINY[:3], *judged, "evaluator.stsb.resamples=40", "loss=cosent", "tracking=none")
    killed(at_step, (3,), workplace / "run", *overrides)
    Path("pairs.jsonl").write_text("\n".join(pairs[1:]))
    with pytest.raises(ConfigError, match=r"what the run began with has changed: main/\w+ .* is now .*put them back"):
        resume(workplace / "run")


def test_a_run_goes_on_in_the_store_it_began_in_or_in_one_that_is_typed(store, workplace, monkeypatch):
    folder = workplace / "run"
    killed(at_step, (3,), folder, *TINY[:-1], "loss=mnrl", "tracking=mlflow_metrics")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace}/other.db")
    with pytest.raises(
        ConfigError, match=r"was sent to sqlite:.*mlflow\.db, and would be sent to .*other\.db"
    ) as found:
        resume(folder)
    assert not (workplace / "other.db").exists()
    typed = shlex.split(str(found.value).partition("hint: type ")[2])
    assert resume(folder, typed)["run"]["status"] == "FINISHED"
    assert read_record(folder)["store"] == store


def test_resume_names_what_it_looked_for(workplace):
    with pytest.raises(ConfigError, match="resume=abc is neither a folder nor the id of a run in runs or sweeps"):
        run_folder("abc", "fresh", "runs", "sweeps")
    (workplace / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"resume=empty is no run that began: empty has no run\.json"):
        run_folder("empty", "fresh", "runs", "sweeps")
    assert run_folder(None, "fresh", "runs") == "fresh"


@pytest.mark.parametrize(
    ("keep", "left"), [("weights", {"model.safetensors"}), pytest.param("none", set(), marks=pytest.mark.matrix)]
)
def test_a_finished_run_keeps_of_its_checkpoints_what_was_requested(keep, left, workplace):
    run(workplace / "run", *TINY, "tracking=none", f"keep={keep}")
    files = {file.name for file in (workplace / "run/stages/main/checkpoints").rglob("*") if file.is_file()}
    assert files & {"model.safetensors", "optimizer.pt", "rng_state.pth", "complete.json"} == left


def test_the_password_of_a_store_comes_from_the_environment_or_is_typed_again(begun, monkeypatch):
    text = (begun / "config.yaml").read_text()
    config = yaml.safe_load(text)
    config["tracking"] = compose(["tracking.uri=http://me:not-recorded@127.0.0.1:9"])["tracking"]
    write_text(begun / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    monkeypatch.setattr(redaction, "_known", set())  # another process
    assert "me:***@" in (begun / "config.yaml").read_text()

    def store(*typed):
        return instantiate(resumed(begun, ["resume=x", *typed])[0]["tracking"]).uri

    with pytest.raises(
        ConfigError, match=r"tracking\.uri=http://me:\*\*\*@127\.0\.0\.1:9 has no password, which is recorded"
    ):
        store()
    assert store("tracking.uri=http://me:pw@host") == "http://me:pw@host"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:other@another")
    with pytest.raises(ConfigError, match="the same address and its password"):
        store()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:not-recorded@127.0.0.1:9")
    assert store() == "http://me:not-recorded@127.0.0.1:9"


def test_another_secret_is_typed_again_to_resume(begun):
    config = OmegaConf.load(begun / "config.yaml")
    OmegaConf.update(config, "model.token", "***", force_add=True)
    OmegaConf.save(config, begun / "config.yaml")
    with pytest.raises(ConfigError, match=r"model\.token of the run in .* is recorded nowhere") as found:
        resumed(begun, ["resume=x"])
    typed = str(found.value).partition("hint: type ")[2].replace("<value>", "again").split()
    assert resumed(begun, typed)[0].model.token == "again"
