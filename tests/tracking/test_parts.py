"""Parts of a run: children that are found again, closed as a run is, and recorded without a tracker too."""

import json

import pytest

from embexp.errors import TrackingError
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import PART_TAG, NullTracker, is_closed_part, open_part


class KeepingTracker(NullTracker):
    """Keeps how runs were opened and tagged; refuses to open parts while it is down."""

    def __init__(self) -> None:
        self.opened, self.tags, self.is_down = [], [], False

    def start(self, name, parent=None, key=None, at=None):
        if parent and self.is_down:
            raise TrackingError("The store is down.")
        self.opened.append((name, parent, key))
        return f"id {len(self.opened)}"

    def log_tags(self, tags):
        self.tags.append(dict(tags))


@pytest.fixture
def tracker():
    return KeepingTracker()


def open_run(folder, tracker):
    return Journal(folder, tracker).open("a run", None, "abc")


def test_a_part_is_a_child_with_a_key_of_the_runs_key_and_is_marked(tmp_path, tracker):
    with open_run(tmp_path, tracker) as journal:
        with open_part(journal, tmp_path / "part", "tsdae", "stage") as part:
            part.log_metrics({"train/loss": 0.5}, step=1)
            assert not is_closed_part(tmp_path / "part")
        assert is_closed_part(tmp_path / "part")
    assert tracker.opened == [("a run", None, "abc"), ("a run/tsdae", "id 1", "abc/tsdae")]
    assert {PART_TAG: "stage"} in tracker.tags
    assert '"train/loss": 0.5' in (tmp_path / "part/metrics.jsonl").read_text()
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_part_continues_without_a_tracker_that_does_not_answer_and_stays_open(tmp_path, tracker, caplog):
    tracker.is_down = True
    with open_run(tmp_path, tracker) as journal, open_part(journal, tmp_path / "part", "tsdae", "stage") as part:
        part.log_results({"test/sts/spearman_cosine": 0.5})
    assert f"The store is down. The run continues; it is recorded in {tmp_path / 'part'} alone for now." in caplog.text
    content = json.loads((tmp_path / "part/result.json").read_text())
    assert (content["run"]["status"], content["metrics"]) == ("FINISHED", {"test/sts/spearman_cosine": 0.5})
    assert not is_closed_part(tmp_path / "part")


def test_a_part_that_breaks_is_closed_as_failed_and_is_not_done(tmp_path, tracker):
    with open_run(tmp_path, tracker) as journal:
        part = open_part(journal, tmp_path / "part", "tsdae", "stage")
        with pytest.raises(ValueError, match="no"), part:
            raise ValueError("no")
    assert json.loads((tmp_path / "part/result.json").read_text())["run"]["status"] == "FAILED"
    assert not is_closed_part(tmp_path / "part")
