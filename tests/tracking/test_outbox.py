"""Records that wait in a run's folder: what is sent more of a run that has ended, secrets, paths."""

import json

import pytest

from embexp.core.redaction import note_secrets
from embexp.core.run_folder import RECORD, write_json
from embexp.errors import TrackingError, UnreadableError
from embexp.tracking.outbox import UNSENT, Outbox, amend
from embexp.tracking.run_parts import NullTracker


class FailingTracker(NullTracker):
    """Takes tags, or nothing while it is dead, or has no run at all."""

    def __init__(self, is_dead=False, is_empty=False) -> None:
        self.is_dead, self.is_empty, self.tags = is_dead, is_empty, []

    def rests(self):
        return self.is_dead

    def attach(self, key):
        if self.is_dead or self.is_empty:
            raise TrackingError(f"The store has no run {key}.")

    def log_tags(self, tags):
        if self.is_dead:
            raise TrackingError("The store is down.")
        self.tags.append(tags)


@pytest.fixture
def run(tmp_path):
    write_json(tmp_path / RECORD, {"name": "a run", "key": "abc", "id": "1"})
    return tmp_path


def waiting(folder):
    return [json.loads(line) for line in (folder / UNSENT).read_text().splitlines()[1:]]


def test_more_of_a_run_that_has_ended_waits_while_the_store_is_dead_and_comes_in_order(run):
    assert amend(run, FailingTracker(is_dead=True), ("log_tags", {"a": "1"}))
    assert waiting(run) == [{"method": "log_tags", "arguments": [{"a": "1"}]}]
    alive = FailingTracker()
    assert amend(run, alive, ("log_tags", {"b": "2"}))
    assert alive.tags == [{"a": "1"}, {"b": "2"}]
    assert not (run / UNSENT).exists()


def test_a_run_that_the_store_has_no_longer_gets_nothing_and_nothing_waits(run):
    assert not amend(run, FailingTracker(is_empty=True), ("log_tags", {"a": "1"}))
    assert not (run / UNSENT).exists()


def test_no_secret_waits_in_the_file(run):
    note_secrets({"api_key": "sk-4f7Qz81mNx"})
    amend(run, FailingTracker(is_dead=True), ("log_tags", {"error": "401 for sk-4f7Qz81mNx"}))
    assert "sk-4f7Qz81mNx" not in (run / UNSENT).read_text()


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/passwd", "a/../../secret.txt"])
def test_no_file_from_outside_of_the_runs_folder_is_sent(run, path):
    head = {"name": "a run", "key": "abc", "id": "1"}
    record = {"method": "log_artifact", "arguments": [path, "files"]}
    (run / UNSENT).write_text(f"{json.dumps(head)}\n{json.dumps(record)}\n")
    with pytest.raises(UnreadableError, match="which is outside of the run's folder"):
        Outbox(run, FailingTracker()).load()
