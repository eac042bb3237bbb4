"""MLflow as a tracker, on a real SQLite store."""

import json
import os
import subprocess
from pathlib import Path

import numpy
import pytest

from embexp.core import file_contents
from embexp.errors import ConfigError, TrackingError
from embexp.tracking import mlflow_store
from embexp.tracking.mlflow_store import folder_of
from embexp.tracking.mlflow_tracker import PARENT_TAG, MlflowTracker
from embexp.tracking.run_records import NOTE_FILE, NOTE_TAG
from embexp.tracking.store_limits import allowed_name

CHECKPOINT_FILES = ("model.safetensors", "optimizer.pt", "rng_state.pth", "1_Pooling/config.json")


def tracker_of(store: str, checkpoint: str = "weights", log_model: bool = True, name: str = "a run") -> MlflowTracker:
    """A tracker whose run was started."""
    tracker = MlflowTracker(store, "toy", log_model, checkpoint, telemetry=False)
    tracker.prepare()
    tracker.start(name)
    return tracker


def artifacts(tracker: MlflowTracker, folder: str | None = None) -> set[str]:
    """Paths of all files of the run."""
    found = set()
    for entry in tracker.client.list_artifacts(tracker.run_id, folder):
        found |= artifacts(tracker, entry.path) if entry.is_dir else {entry.path}
    return found


def test_more_parameters_than_mlflow_takes_at_once_are_all_stored_and_long_ones_are_cut(store):
    tracker = tracker_of(store)
    tracker.log_params({f"key.{number}": number for number in range(250)} | {"long": "x" * 7000, "none": None})
    stored = tracker.client.get_run(tracker.run_id).data.params
    assert len(stored) == 252
    assert (stored["key.249"], stored["none"]) == ("249", "None")
    assert (len(stored["long"]), "x... (7000 characters, sha256 " in stored["long"]) == (6000, True)


def test_metrics_are_stored_with_their_step_and_a_name_that_mlflow_takes(store):
    tracker = tracker_of(store)
    tracker.log_metrics({"test/nfcorpus/ndcg@10": 0.25}, 5)
    tracker.log_metrics({"test/nfcorpus/ndcg@10": 0.5, "test/nfcorpus/ndcg_at_10": 0.6}, 10)
    history = tracker.client.get_metric_history(tracker.run_id, allowed_name("test/nfcorpus/ndcg@10"))
    assert allowed_name("test/nfcorpus/ndcg@10").startswith("test/nfcorpus/ndcg_at_10--")
    assert tracker.latest(["test/nfcorpus/ndcg_at_10"]) == {"test/nfcorpus/ndcg_at_10": 0.6}
    assert [(metric.step, metric.value) for metric in history] == [(5, 0.25), (10, 0.5)]


def test_geometry_and_other_similarities_stand_in_charts_that_sort_last_and_are_read_back_by_their_own_names(store):
    from embexp.tracking.mlflow_runs import MlflowRuns

    tracker = tracker_of(store)
    values = {
        "score": 0.5,
        "test/sts/spearman_cosine": 0.5,
        "test/sts/spearman_dot": 0.4,
        "train/dev/geometry/rank": 3.0,
    }
    tracker.log_metrics(values)
    stored = tracker.client.get_run(tracker.run_id).data.metrics
    assert sorted(stored)[-2:] == ["z_more/test/sts/spearman_dot", "z_more/train/dev/geometry/rank"]
    assert tracker.latest(values) == values
    assert tracker.logged(values) == {(key, 0) for key in values}
    (run,) = MlflowRuns(tracker, None).matching("")
    assert run.metrics == values


def test_names_with_characters_that_mlflow_refuses_are_stored_with_others(store):
    tracker = tracker_of(store)
    tracker.log_params({"conversion.label_scores.蕴含 (是)": 1.0, "~dataset.steps.split": ""})
    tracker.log_tags({"data.mine+yours": "x"})
    tracker.log_params({"conversion.label_scores.蕴含 [是]": 2.0})
    data = tracker.client.get_run(tracker.run_id).data
    assert [key[-10:-8] for key in sorted(data.params)] == ["--"] * 3
    assert {key[:-10]: value for key, value in data.params.items()}.keys() == {
        "conversion.label_scores.蕴含 _是_",
        "_dataset.steps.split",
    }
    assert sorted(value for key, value in data.params.items() if "蕴含" in key) == ["1.0", "2.0"]
    assert data.tags[allowed_name("data.mine+yours")] == "x"
    note = json.loads(Path(tracker.client.download_artifacts(tracker.run_id, NOTE_FILE)).read_text())
    assert note["parameter ~dataset.steps.split"] == f"is called {allowed_name('~dataset.steps.split')}"
    assert len(note) == 4
    assert data.tags[NOTE_TAG].startswith("4 records are not here as they were given.")


def test_tags_and_status_and_name_are_stored(store):
    tracker = tracker_of(store)
    tracker.log_tags({"verdict": "better", "long": "x" * 9000})
    tracker.finish("KILLED")
    run = tracker.client.get_run(tracker.run_id)
    assert (run.info.run_name, run.info.status, run.data.tags["verdict"]) == ("a run", "KILLED", "better")
    assert (len(run.data.tags["long"]), run.data.tags["long"][7000:7004]) == (8000, "xxxx")
    assert tracker.where() == f"run {tracker.run_id} in experiment 'toy', {store}"


def test_a_run_carries_its_user_its_source_and_the_commit_of_the_working_directory(store, workplace):
    def tags():
        tracker = tracker_of(store)
        return tracker.client.get_run(tracker.run_id).data.tags

    assert tags()["mlflow.user"]
    assert tags()["mlflow.source.name"] == "embexp"
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "a"],
    ):
        subprocess.run(["git", *command], cwd=workplace, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=workplace, check=True, capture_output=True, text=True)
    assert tags()["mlflow.source.git.commit"] == head.stdout.strip()


def test_pages_are_those_of_the_run_and_of_a_view_of_the_sweep_that_the_experiment_holds(store):
    tracker = tracker_of(store)
    experiment = tracker.client.get_experiment_by_name("toy")
    runs = f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs"
    after = f" (after: mlflow ui --backend-store-uri {store})"
    assert tracker.page() == f"{runs}/{tracker.run_id}{after}"
    assert tracker.page_of_sweep("ab12") == f"{runs}?viewStateShareKey=embexp-ab12{after}"
    tags = tracker.client.get_experiment(experiment.experiment_id).tags
    view = json.loads(tags["mlflow.sharedViewState.embexp-ab12"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`score`", False)
    assert view["searchFilter"] == "tags.`embexp.sweep` LIKE '%ab12%'"
    assert "`score`" in tags["mlflow.note.content"]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql+psycopg://me:se/cr:et@host:5432/mlflow", "postgresql+psycopg://me:***@host:5432/mlflow"),
        ("https://me:secret@mlflow.team", "https://me:***@mlflow.team"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_a_password_in_the_address_of_a_store_is_not_shown(uri, shown):
    tracker = MlflowTracker(uri, "toy", False, "none", telemetry=False)
    assert tracker.where() == f"not yet in {shown}"
    assert "secret" not in tracker.page()


def test_a_text_stands_on_the_page_of_the_run_and_the_last_one_counts(store):
    tracker = tracker_of(store)
    tracker.describe("# first")
    tracker.describe("**better** on test")
    assert tracker.client.get_run(tracker.run_id).data.tags["mlflow.note.content"] == "**better** on test"


def test_the_rows_that_were_read_are_among_the_datasets_of_the_run_once(store):
    tracker = tracker_of(store)
    for _ in range(2):  # a resumed run logs it again
        tracker.log_data(
            "金融", "train", "0123456789abcdef", "/data/x.csv", 7, {"text": "string", "negatives": "array"}
        )
    tracker.log_data("金融", "test", "fedcba9876543210", "/data/x.csv", 3)
    inputs = tracker.client.get_run(tracker.run_id).inputs.dataset_inputs
    (schema,) = (json.loads(each.dataset.schema) for each in inputs if each.dataset.schema)
    assert [column["name"] for column in schema["mlflow_colspec"]] == ["text", "negatives"]
    assert {each.dataset.source for each in inputs} == {'{"uri": "/data/x.csv"}'}
    told = {(each.tags[0].value, each.dataset.name, each.dataset.digest, each.dataset.profile) for each in inputs}
    assert told == {
        ("train", "金融", "0123456789abcdef", '{"num_rows": 7}'),
        ("test", "金融", "fedcba9876543210", '{"num_rows": 3}'),
    }
    assert len(inputs) == 2


def test_a_model_becomes_a_version_of_the_name_it_is_registered_under(store, tmp_path):
    from embexp.models.scratch import ScratchModel

    model = ScratchModel(1, 8, 2, vocabulary_size=50, max_seq_length=8).load(lambda: ["a text"], tmp_path)
    model.save_pretrained(str(tmp_path / "model"))
    for number in (1, 2):
        tracker = MlflowTracker(store, "toy", True, "none", telemetry=False, register="stocks-模型")
        tracker.prepare()
        tracker.start(f"run {number}")
        tracker.log_model(tmp_path / "model", 4, {"test/retrieval/ndcg@10": 0.5})
    versions = tracker.client.search_model_versions("name='stocks-模型'")
    assert sorted(int(version.version) for version in versions) == [1, 2]
    assert {version.run_id for version in versions} >= {tracker.run_id}


@pytest.mark.parametrize(("register", "log_model"), [("a/b", True), ("a:1", True), (" ", True), ("a", False)])
def test_what_cannot_be_registered_is_refused(store, register, log_model):
    expected = r"Expected a name without / and :.*\nhint: type tracking\.register=my-model tracking\.log_model=true"
    with pytest.raises(
        ConfigError, match=rf"^tracking\.register=.* (cannot be registered|needs the model).* {expected}"
    ):
        MlflowTracker(store, "toy", log_model, "none", telemetry=False, register=register)


def test_a_job_stands_below_the_run_of_its_sweep_in_the_same_experiment(store):
    parent = tracker_of(store)
    job = MlflowTracker(store, "toy", log_model=False, checkpoint="none", telemetry=False)
    run = job.client.get_run(job.start("a job", parent.run_id))
    assert run.data.tags[PARENT_TAG] == parent.run_id
    assert run.info.experiment_id == parent.client.get_run(parent.run_id).info.experiment_id


def test_to_a_closed_run_is_added_without_opening_it(store):
    first = MlflowTracker(store, "toy", log_model=False, checkpoint="none", telemetry=False)
    run_id = first.start("a run", key="the key")
    first.log_metrics({"ndcg@10": 0.5})
    first.finish("FINISHED")
    ended = first.client.get_run(run_id).info.end_time
    later = MlflowTracker(store, "toy", log_model=False, checkpoint="none", telemetry=False)
    later.attach("the key")
    later.log_metrics({"more": 1.0})
    run = later.client.get_run(run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", ended)
    assert later.latest({"ndcg@10", "more", "absent"}) == {"ndcg@10": 0.5, "more": 1.0}
    with pytest.raises(TrackingError, match=r"has no run with embexp\.run=another"):
        later.attach("another")


def test_files_and_folders_are_stored(store, tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "scores.png").write_bytes(b"png")
    (tmp_path / "config.yaml").write_text("seed: 1")
    tracker = tracker_of(store)
    tracker.log_artifact(tmp_path / "config.yaml")
    tracker.log_artifact(tmp_path / "plots", "pictures")
    assert artifacts(tracker) == {"config.yaml", "pictures/scores.png"}


@pytest.mark.parametrize(
    ("setting", "left_out"),
    [
        ("none", set(CHECKPOINT_FILES)),
        ("weights", {"optimizer.pt", "rng_state.pth"}),
        ("full", set()),
    ],
)
def test_of_a_checkpoint_that_much_is_stored_as_the_setting_says(store, tmp_path, setting, left_out):
    for name in CHECKPOINT_FILES:
        file = tmp_path / "checkpoint-4" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    tracker = tracker_of(store, setting)
    tracker.log_checkpoint(tmp_path / "checkpoint-4")
    assert artifacts(tracker) == {
        f"checkpoint/checkpoint-4/{name}" for name in CHECKPOINT_FILES if name not in left_out
    }


def test_a_checkpoint_and_its_copy_on_the_same_disk_are_one_file(store, tmp_path):
    weights = tmp_path / "checkpoint-4" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"x" * 2**20)
    tracker = tracker_of(store)
    tracker.log_checkpoint(weights.parent)
    place = folder_of(tracker.client.get_run(tracker.run_id).info.artifact_uri)
    assert (place / "checkpoint/checkpoint-4" / weights.name).samefile(weights)


@pytest.mark.parametrize("address", ["mlflow-artifacts:/1/a/artifacts", "s3://bucket/1/a", "dbfs:/databricks/mlflow"])
def test_artifacts_of_a_server_are_in_no_folder_here(address):
    assert folder_of(address) is None


def saved_model(folder):
    """An untrained model, saved below the folder."""
    from embexp.models.scratch import ScratchModel

    model = ScratchModel(1, 8, 2, vocabulary_size=50, max_seq_length=8).load(lambda: ["the market rose"], folder)
    model.save_pretrained(str(folder / "model"))
    return model


def test_the_model_loads_back_by_mlflows_own_function(store, tmp_path):
    import mlflow

    model = saved_model(tmp_path)
    tracker = tracker_of(store, name="mnrl · tiny/of 1.2")
    tracker.log_model(tmp_path / "model", 4, {"test/retrieval/ndcg@10": 0.5})
    experiment = tracker.client.get_run(tracker.run_id).info.experiment_id
    (logged,) = tracker.client.search_logged_models(experiment_ids=[experiment])
    assert logged.source_run_id == tracker.run_id
    (reached,) = logged.metrics
    assert (reached.key, reached.value, reached.step) == (allowed_name("test/retrieval/ndcg@10"), 0.5, 4)
    loaded = mlflow.sentence_transformers.load_model(logged.model_uri)
    assert numpy.array_equal(loaded.encode("the market"), model.encode("the market"))
    assert logged.name == "mnrl · tiny-of 1-2"
    served = mlflow.pyfunc.load_model(logged.model_uri)
    (output,) = served.metadata.signature.outputs.inputs
    found = served.predict(served.input_example)
    assert (found.dtype, found.shape) == (output.type, (2, *output.shape[1:]))
    with open(mlflow.pyfunc.get_model_dependencies(logged.model_uri)) as file:
        needs = file.read().split()
    assert {need.partition("==")[0] for need in needs} >= {"sentence-transformers", "transformers", "torch", "mlflow"}
    assert not any("+" in need for need in needs)  # an index has no torch==2.13.0+cpu


@pytest.mark.parametrize("root", ["artifacts", "成果 50%"])
def test_store_and_run_share_the_weights_on_one_disk(store, tmp_path, monkeypatch, root):
    monkeypatch.setattr(file_contents, "WORTH_LINKING", 1)
    saved_model(tmp_path)
    tracker = tracker_of(store)
    place = (tmp_path / root).as_uri() if root != "artifacts" else str(tmp_path / root)
    monkeypatch.setattr(tracker, "experiment", "elsewhere")
    tracker.client.create_experiment("elsewhere", artifact_location=place)
    tracker.start("a run")
    tracker.log_model(tmp_path / "model", 4, {})
    (copied,) = (tmp_path / root).rglob("model.safetensors")
    assert copied.samefile(tmp_path / "model" / "model.safetensors")


def test_no_model_is_stored_when_that_is_switched_off(store, tmp_path):
    tracker = tracker_of(store, log_model=False)
    tracker.log_model(tmp_path, 4, {})
    experiment = tracker.client.get_run(tracker.run_id).info.experiment_id
    assert tracker.client.search_logged_models(experiment_ids=[experiment]) == []


def test_without_a_uri_the_store_lies_in_the_working_directory(workplace):
    assert MlflowTracker(None, "toy", True, "none", False).uri == f"sqlite:///{workplace / 'mlflow.db'}"


STORES = {  # what was typed, MLFLOW_TRACKING_URI, and the store that is used
    "a setting wins": ("sqlite:///typed.db", "sqlite:///named.db", "sqlite:///typed.db"),
    "the environment": (None, "http://127.0.0.1:5000", "http://127.0.0.1:5000 (MLFLOW_TRACKING_URI)"),
    "a password in it": (None, "http://me:pw@127.0.0.1:5000/", "http://me:***@127.0.0.1:5000 (MLFLOW_TRACKING_URI)"),
    "an empty variable": (None, "", "sqlite:///{}/mlflow.db"),
}


@pytest.mark.parametrize(("uri", "named", "used"), STORES.values(), ids=STORES)
def test_the_environment_names_the_store_where_no_setting_does(workplace, monkeypatch, uri, named, used):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    where = MlflowTracker(uri, "toy", True, "none", telemetry=False).where()
    assert where == f"not yet in {used.format(workplace)}"


def test_the_environment_names_the_experiment_by_name_or_by_id(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    number = MlflowTracker(None, None, True, "none", telemetry=False).client.create_experiment("研究 1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", number)
    found = [MlflowTracker(None, typed, True, "none", telemetry=False).experiment for typed in (None, "typed")]
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "named")
    found.append(MlflowTracker(None, None, True, "none", telemetry=False).experiment)
    assert found == ["研究 1", "typed", "named"]
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    with pytest.raises(TrackingError, match="failed in prepare: No Experiment with id=77"):
        MlflowTracker(None, None, True, "none", telemetry=False).prepare()


@pytest.mark.parametrize("named", [None, "http://127.0.0.1:5000"])
def test_a_run_leaves_the_environment_as_it_was_so_that_the_next_one_finds_its_own_store(store, monkeypatch, named):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    tracker_of(store)
    assert os.environ.get("MLFLOW_TRACKING_URI") == named


@pytest.mark.usefixtures("workplace")
def test_a_store_of_the_environment_that_fails_is_named_with_its_variable(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")  # a file store, which MLflow does not keep any more
    with pytest.raises(TrackingError, match=r"maintenance mode.*check MLFLOW_TRACKING_URI"):
        MlflowTracker(None, None, True, "none", telemetry=False).prepare()


@pytest.mark.usefixtures("workplace")
def test_a_server_that_does_not_answer_gives_a_message_that_says_what_to_do(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = MlflowTracker("http://127.0.0.1:9", "toy", True, "weights", telemetry=False)
    with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 failed in prepare.*\nhint: .*=none"):
        tracker.prepare()


@pytest.mark.parametrize(
    "said",
    [
        'FATAL:  password authentication failed for user "me"',
        "fe_sendauth: no password supplied",
        'FATAL:  role "nobody" does not exist',
        'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "me", database "mlflow", no encryption',
        "(1045, \"Access denied for user 'me'@'10.0.0.7' (using password: YES)\")",
    ],
)
def test_a_database_that_lets_nobody_in_wants_a_login(said):
    expected, _ = mlflow_store._remedy(OSError(f"connection failed: {said}"), "postgresql://me@db", "tracking.uri")
    assert expected == (
        "a login that the store accepts (the user and the password in tracking.uri), or a run without a store"
    )


def test_an_unknown_checkpoint_setting_is_refused():
    with pytest.raises(ConfigError, match=r"checkpoint=all was given\. Expected one of: none, weights, full\."):
        MlflowTracker(None, "toy", True, "all", telemetry=False)


def test_a_run_is_found_again_by_its_key_and_runs_again(store):
    first = tracker_of(store)
    run_id = first.start("a run", key="the key")
    first.log_metrics({"train/loss": 2.0, "test/nfcorpus/ndcg@10": 0.5}, 4)
    first.finish("FAILED")
    again = tracker_of(store)
    assert again.start("a run", key="the key") == run_id
    assert again.client.get_run(run_id).info.status == "RUNNING"
    assert again.logged({"train/loss", "test/nfcorpus/ndcg@10", "never"}) == {
        ("train/loss", 4),
        ("test/nfcorpus/ndcg@10", 4),
    }
    assert again.start("a run", key="another") != run_id


def test_a_model_that_was_stored_before_the_kill_is_not_stored_twice_and_half_a_one_goes(store, tmp_path):
    saved_model(tmp_path)
    tracker = tracker_of(store)
    experiment = tracker.client.get_run(tracker.run_id).info.experiment_id
    half = tracker.client.create_logged_model(experiment, name="model", source_run_id=tracker.run_id)
    for _ in range(2):
        tracker.log_model(tmp_path / "model", 4, {"test/retrieval/ndcg@10": 0.5})
    (whole,) = tracker.client.search_logged_models([experiment])
    assert whole.status == "READY"
    assert whole.model_id != half.model_id
