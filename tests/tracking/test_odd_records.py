"""What goes over MLflow's limits, at their edges, on a SQLite file, on PostgreSQL and through MLflow's server."""

import json
import tracemalloc
from pathlib import Path

import pytest
from servers import mlflow_server, postgres
from test_run_records import ODD_FILES, ODD_NAMES, PLAIN_FILES

from embexp.errors import ConfigError, TrackingError
from embexp.tracking.mlflow_runs import MlflowRuns, as_recorded_metrics, as_recorded_params
from embexp.tracking.mlflow_tracker import MlflowTracker
from embexp.tracking.run_records import NOTE_FILE, NOTE_TAG
from embexp.tracking.store_limits import allowed_path, allowed_text

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.matrix), "server"])
def uri(request, tmp_path_factory, empty_store):
    """The URI of a store; the server keeps its runs in PostgreSQL, as those of teams do."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        path = folder / "mlflow.db"
        path.write_bytes(empty_store.read_bytes())
        yield f"sqlite:///{path}"
        return
    with postgres() as database:
        if request.param == "postgresql":
            yield database
            return
        with mlflow_server(folder, database) as address:
            yield address


@pytest.fixture
def tracker(uri, workplace) -> MlflowTracker:
    """A tracker whose run was started; files go to the working directory unless a server keeps them."""
    tracker = MlflowTracker(uri, f"records of {workplace.name}", log_model=False, checkpoint="none", telemetry=False)
    tracker.prepare()
    tracker.start("a run")
    return tracker


def stored(tracker: MlflowTracker):
    return tracker.client.get_run(tracker.run_id)


def notes(tracker: MlflowTracker) -> dict[str, str]:
    return json.loads(Path(tracker.client.download_artifacts(tracker.run_id, NOTE_FILE)).read_text(encoding="utf-8"))


NAMES = {
    "as long as may be": "n" * 250,
    "one character longer": "n" * 251,
    "of a command": "loss=mnrl,cosent " * 5000,
    "emoji": "🙂" * 300,
    "from right to left": "\u202eניסוי תשע",
    "control characters": "a\0b\x1b[31m\n\t",
    "no Unicode": "a\udc80b",
    "quotes": 'it\'s a "run" `x` \\ %',
}


def test_a_run_of_any_name_and_key_is_made_and_found_again(tracker):
    for name in NAMES.values():
        run_id = tracker.start(name, key=f"key/{name}")
        assert stored(tracker).info.run_name == allowed_text(name, 250)
        tracker.finish("FINISHED")
        assert (NOTE_TAG in stored(tracker).data.tags) == (allowed_text(name, 250) != name)
        assert tracker.start(name, key=f"key/{name}") == run_id


def test_metrics_of_any_name_are_stored_apart_and_read_back(tracker, tmp_path):
    values = {name: number / 7 for number, name in enumerate(ODD_NAMES)}
    values |= {"many/" + str(number): float(number) for number in range(1200)}
    tracker.log_metrics(values | {"nan": float("nan"), "inf": float("inf"), "largest": 1.7e308, "least": 5e-324}, 3)
    assert tracker.latest(values) == values
    assert tracker.logged([*ODD_NAMES]) == {(name, 3) for name in ODD_NAMES}
    (run,) = MlflowRuns(tracker, tmp_path).matching("")
    assert {*run.metrics} == {*as_recorded_metrics(values), "largest", "least"}
    assert (run.metrics["largest"], run.metrics["least"]) == (1.7e308, 5e-324)
    assert "is nan at step 3" in notes(tracker)["values of metric nan"]


def test_parameters_and_tags_of_any_name_and_length_are_stored(tracker, tmp_path):
    texts = {
        "exact": "x" * 6000,
        "over": "x" * 6001,
        "over too": "x" * 6000 + "y",
        "wide": "好" * 6000,
        "long": "🙂" * 70_000,
        "empty": "",
        "nul": "a\0b",
        "half a letter": "\udc80",
        "lines": "a\r\n\tb",
    }
    params = texts | {name: str(number) for number, name in enumerate(ODD_NAMES)}
    params |= {f"many.{number}": "好" * 6000 for number in range(120)}
    tracker.log_params(params)
    tracker.log_params(params)  # by a run that is resumed
    assert stored(tracker).data.params == as_recorded_params(params)
    assert stored(tracker).data.params["exact"] == texts["exact"]
    tags = {"edge": "好" * 8000, "past": "x" * 8001, **{f"tag.{number}": "x" for number in range(130)}, **texts}
    tracker.log_tags(tags)
    found = stored(tracker).data.tags
    assert {key: found[key] for key in tags} == {key: allowed_text(value, 8000) for key, value in tags.items()}
    assert notes(tracker)["value of parameter over"] == "is cut: it has 6001 characters"
    (run,) = MlflowRuns(tracker, tmp_path).matching("")
    assert run.params == as_recorded_params(params)


def test_a_parameter_that_is_another_one_now_keeps_its_value_and_the_rest_is_sent(tracker):
    tracker.log_params({"seed": 1})
    tracker.start("again", key="later")
    tracker.log_params({"seed": 1})
    tracker.log_params({"seed": 2, "loss": "mnrl"})
    assert stored(tracker).data.params == {"seed": "1", "loss": "mnrl"}
    assert "is refused" in notes(tracker)["param seed"]
    tracker.start("again", key="later")  # by another process, which adds to the notes
    tracker.log_params({"a+b": 1})
    assert [*notes(tracker)] == ["parameter a+b", "param seed"]


def test_rows_descriptions_and_experiments_of_any_name_are_stored(tracker, uri):
    columns = {f"列 {number}": "string" for number in range(30_000)}  # their types are more than a megabyte
    tracker.log_data("数据\0" * 400, "train", "0" * 60, "/data/" + "目录/" * 30_000, 7, columns)
    (inputs,) = stored(tracker).inputs.dataset_inputs
    assert (len(inputs.dataset.name), inputs.dataset.digest, inputs.dataset.schema) == (500, "0" * 36, None)
    tracker.describe("说明\0" * 9000)
    assert len(stored(tracker).data.tags["mlflow.note.content"]) == 8000
    name = f"{'é' * 200}{tracker.run_id}".ljust(256, "x")
    MlflowTracker(uri, name, False, "none", telemetry=False).prepare()
    for wrong in (name + "x", "a\0b"):
        with pytest.raises(ConfigError, match=r"tracking\.experiment=.*at most 256 characters"):
            MlflowTracker(uri, wrong, False, "none", telemetry=False).prepare()


def test_files_of_any_name_are_stored_and_come_back(tracker, workplace):
    folder = workplace / "files"
    (folder / "好 #1" / "a?b").mkdir(parents=True)
    names = [*ODD_FILES, *PLAIN_FILES, "x" * 250 + ".json", "empty", "好 #1/a?b/c.txt"]
    for name in names:
        (folder / name).write_text("" if name == "empty" else name, errors="surrogateescape")
    tracker.log_artifact(folder, "sub")
    tracker.log_artifact(folder / "a#b.txt")
    tracker.log_artifact(workplace / "vanished")
    for name in names:
        file = tracker.client.download_artifacts(tracker.run_id, allowed_path(f"sub/{name}"), str(workplace))
        assert Path(file).read_bytes() == (folder / name).read_bytes()
    assert {file.path for file in tracker.client.list_artifacts(tracker.run_id)} == {
        NOTE_FILE,
        "sub",
        allowed_path("a#b.txt"),
    }
    assert "is missing" in notes(tracker)["artifact vanished"]


def test_a_large_file_is_not_read_into_memory(tracker, workplace, uri):
    size = 2**28 if uri.startswith("http") else 2**26  # the other two copy it as any other file
    with open(workplace / "model.bin", "wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        tracker.log_artifact(workplace / "model.bin", "model")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**25
    (found,) = tracker.client.list_artifacts(tracker.run_id, "model")
    assert found.file_size == size


def test_a_working_directory_of_any_length_keeps_files_or_is_refused_at_the_start(uri, workplace, monkeypatch):
    for length in (140, 141):
        folder = workplace
        while (missing := length - len(str(folder))) > 1:
            folder = folder / ("x" * min(missing - 1, 60 if missing != 62 else 59))
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        (folder / "a.txt").write_text("a")
        tracker = MlflowTracker(uri, f"{length} of {workplace.name}", False, "none", telemetry=False)
        if length > 140 and uri.startswith("postgresql"):
            with pytest.raises(TrackingError, match=r"has 141 characters\. Expected at most 140"):
                tracker.prepare()
            continue
        tracker.prepare()
        tracker.start("a run")
        tracker.log_artifact(folder / "a.txt")
        assert [file.path for file in tracker.client.list_artifacts(tracker.run_id)] == ["a.txt"]
