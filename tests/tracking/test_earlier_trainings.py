"""Trainings that steps took, sent as parts of the run whose data they made."""

import json
import shutil

import pytest

from embexp.core.run_folder import read_json
from embexp.data.dataset import StepReport
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker, is_closed_part, send_trainings, sent_trainings


class KeepingTracker(NullTracker):
    """Keeps which runs were opened and which metrics came."""

    def __init__(self):
        self.opened, self.metrics = [], []

    def start(self, name, parent=None, key=None, at=None):
        self.opened.append((name, parent, key))
        return f"id {len(self.opened)}"

    def log_metrics(self, metrics, step=None, at=None):
        self.metrics.append((metrics, step))


def training_in(folder):
    """The folder of a finished training of three steps."""
    with Journal(folder, NullTracker(), is_part=True).open("cross-encoder/tiny/42", None) as journal:
        journal.log_params({"seed": 42})
        journal.log_metrics({"train/loss": 0.5}, 3)
        journal.log_results({"dev/cross_encoder/spearman": 0.75})
    return StepReport("silver", 1, 2, trainings=(str(folder),))


def sent(tmp_path, *reports):
    tracker = KeepingTracker()
    with Journal(tmp_path / "run", tracker).open("a run", None, "abc") as journal:
        send_trainings(journal, reports)
    return tracker


@pytest.fixture
def report(tmp_path):
    return training_in(tmp_path / "cache" / "key" / "seed-42")


def test_a_training_becomes_a_child_of_the_run_with_its_record(tmp_path, report):
    tracker = sent(tmp_path, StepReport("split", 1, 1), report, report)
    assert tracker.opened[1:] == [("a run/cross-encoder/tiny/42", "id 1", "abc/cross-encoder/tiny/42")]
    assert ({"train/loss": 0.5}, 3) in tracker.metrics
    (folder,) = sent_trainings(tmp_path / "run")
    assert read_json(folder / "result.json")["params"] == {"seed": 42}
    assert read_json(folder / "result.json")["metrics"] == {"dev/cross_encoder/spearman": 0.75}
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["step"] == 3


def test_one_that_was_sent_is_not_sent_again(tmp_path, report):
    sent(tmp_path, report)
    assert is_closed_part(sent_trainings(tmp_path / "run")[0])
    assert [name for name, *_ in sent(tmp_path, report).opened] == ["a run"]


def test_two_that_call_themselves_alike_are_distinguished_by_their_keys(tmp_path, report):
    other = training_in(tmp_path / "cache" / "other" / "seed-42")
    names = [name for name, *_ in sent(tmp_path, report, other).opened[1:]]
    assert names == ["a run/cross-encoder/tiny/42", "a run/cross-encoder/tiny/42/other"]


def test_one_that_is_gone_from_the_cache_is_reported_and_the_run_continues(tmp_path, report, caplog):
    shutil.rmtree(tmp_path / "cache")
    assert len(sent(tmp_path, report).opened) == 1
    assert "is not shown with this run: its record is gone from the cache" in caplog.text
