"""The run's own record: complete in its folder, whatever the tracker does."""

import contextlib
import functools
import json
import logging
import math
from unittest.mock import ANY

import pytest

from embexp.errors import Terminated, TrackingError
from embexp.tracking.journal import Journal
from embexp.tracking.mlflow_tracker import MlflowTracker
from embexp.tracking.outbox import UNSENT, read_unsent
from embexp.tracking.run_parts import NullTracker


class FlakyTracker:
    """Keeps what it is sent, except while it is down."""

    def __init__(self) -> None:
        self.taken: list[tuple] = []
        self.is_down = False

    def rests(self) -> bool:
        return self.is_down

    def store(self) -> str:
        return "the store"

    def settings(self) -> dict:
        return {}

    def __getattr__(self, method: str):
        return functools.partial(self._take, method)

    def _take(self, *call):
        if self.is_down:
            raise TrackingError("The store is down.")
        self.taken.append(call)
        return "id-1"


def lines_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def result_of(folder) -> dict:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_metrics_are_lines_of_a_file_and_results_stand_in_result_json(tmp_path):
    with Journal(tmp_path / "run", NullTracker()).open("a run", None) as journal:
        journal.log_metrics({"train/loss": 0.5}, step=3)
        journal.log_results({"test/sts/spearman_cosine": 0.75})
        journal.log_tags({"verdict": "better"})
    lines = lines_of(tmp_path / "run")
    assert [(line["step"], line["metrics"]) for line in lines] == [
        (3, {"train/loss": 0.5}),
        (None, {"test/sts/spearman_cosine": 0.75}),
    ]
    assert result_of(tmp_path / "run") == {
        "run": {"name": "a run", "id": "", "status": "FINISHED"},
        "metrics": {"test/sts/spearman_cosine": 0.75},
        "tags": {"verdict": "better"},
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (ValueError("股票"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (Terminated(), "KILLED")],
)
def test_a_run_ends_with_the_status_of_its_error_in_the_folder_and_in_mlflow(store, tmp_path, error, status):
    tracker = MlflowTracker(store, "toy", log_model=False, checkpoint="none", telemetry=False)
    expected = pytest.raises(type(error)) if error else contextlib.nullcontext()
    with expected, Journal(tmp_path / "run", tracker).open("a run", None):
        if error:
            raise error
    result = result_of(tmp_path / "run")
    run = tracker.client.get_run(result["run"]["id"])
    assert result["run"]["status"] == run.info.status == status
    message = error and f"{type(error).__name__}: {error}"
    assert result.get("error") == run.data.tags.get("error") == message


def test_a_tracker_that_fails_loses_nothing(tmp_path, caplog):
    tracker = FlakyTracker()
    with caplog.at_level(logging.WARNING), Journal(tmp_path, tracker).open("a run", "parent") as journal:
        journal.log_params({"seed": 1})
        tracker.is_down = True
        journal.log_metrics({"loss": 3.0}, 1)
        assert len(read_unsent(tmp_path / UNSENT)) == 2
        journal.log_metrics({"loss": 2.0}, 2)  # waits: it must not overtake the first
        tracker.is_down = False
        (tmp_path / "model").mkdir()
        journal.log_model(tmp_path / "model", 4, {"test/sts/pearson": 0.5})
        assert not (tmp_path / UNSENT).exists()
    assert tracker.taken[1:] == [
        ("start", "a run", "parent", None),
        ("log_params", {"seed": 1}),
        ("log_metrics", {"loss": 3.0}, 1, ANY),
        ("log_metrics", {"loss": 2.0}, 2, ANY),
        ("log_model", tmp_path / "model", 4, {"test/sts/pearson": 0.5}, ANY),
        ("log_artifact", tmp_path / "result.json", None),
        ("log_artifact", tmp_path / "metrics.jsonl", None),
        ("finish", "FINISHED", ANY),
    ]
    assert [line["metrics"]["loss"] for line in lines_of(tmp_path)] == [3.0, 2.0]
    assert caplog.text.count("The store is down. The run continues") == 1


def test_a_tracker_that_stays_down_does_not_end_the_run(tmp_path, caplog):
    tracker = FlakyTracker()
    with caplog.at_level(logging.WARNING), Journal(tmp_path, tracker).open("a run", None) as journal:
        tracker.is_down = True
        journal.log_results({"loss": 3.0})
        journal.log_artifact(tmp_path / "plot.png", "plots")
    assert result_of(tmp_path)["run"]["status"] == "FINISHED"
    said = f"MLflow is behind: 5 records of this run could not be sent. All of it is in {tmp_path}. To send them: "
    assert said + f"python -m embexp.sync {tmp_path}" in caplog.text
    assert len(read_unsent(tmp_path / UNSENT)) == 6


def test_a_store_that_does_not_open_stops_the_run_before_it_begins(tmp_path):
    tracker = FlakyTracker()
    tracker.is_down = True
    with pytest.raises(TrackingError, match="The store is down"):
        Journal(tmp_path, tracker).open("a run", None)


def test_a_metric_that_is_not_a_number_is_in_the_file_and_left_to_the_tracker(tmp_path):
    tracker = FlakyTracker()
    with Journal(tmp_path, tracker).open("a run", None) as journal:
        journal.log_metrics({"loss": 1.0, "spearman": math.nan, "grad_norm": math.inf}, 1)
    assert [{*sent[1]} for sent in tracker.taken if sent[0] == "log_metrics"] == [{"loss", "spearman", "grad_norm"}]
    written = lines_of(tmp_path)[0]["metrics"]
    assert math.isnan(written["spearman"])
    assert written["grad_norm"] == math.inf


def test_a_killed_run_takes_up_its_lines_and_sends_what_the_tracker_lacks(store, tmp_path):
    tracker = MlflowTracker(store, "toy", log_model=False, checkpoint="none", telemetry=False)
    journal = Journal(tmp_path, tracker).open("a run", None, "key")
    journal.log_metrics({"train/loss": 3.0, "train/grad_norm": math.nan}, 1)
    with open(tmp_path / "metrics.jsonl", "a") as file:  # killed after the second line, in the middle of the third
        file.write('{"step": 2, "time": 0, "metrics": {"train/loss": 2.0}}\n{"step": 3, "ti')
    tracker = MlflowTracker(store, "toy", log_model=False, checkpoint="none", telemetry=False)
    with Journal(tmp_path, tracker).open("a run", None, "key") as again:
        assert again.run_id == journal.run_id
        for step, loss in [(1, 3.0), (2, 2.0), (3, 1.0)]:
            again.log_metrics({"train/loss": loss, "train/learning_rate": 0.1}, step)
    history = tracker.client.get_metric_history(journal.run_id, "train/loss")
    assert [(entry.step, entry.value) for entry in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert [(line["step"], list(line["metrics"])) for line in lines_of(tmp_path)] == [
        (1, ["train/loss", "train/grad_norm"]),
        (2, ["train/loss"]),
        (1, ["train/learning_rate"]),
        (2, ["train/learning_rate"]),
        (3, ["train/loss", "train/learning_rate"]),
    ]


def test_a_result_that_cannot_be_written_does_not_hide_why_the_run_ended(tmp_path, caplog):
    journal = Journal(tmp_path / "run", NullTracker()).open("a run", None)
    (tmp_path / "run" / "result.json.making").mkdir()
    with pytest.raises(ValueError, match="the reason"), journal:
        raise ValueError("the reason")
    assert "result.json cannot be written" in caplog.text
