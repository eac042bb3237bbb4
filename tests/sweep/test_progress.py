"""What a sweep shows while it runs."""

import pytest

from embexp.core.run_folder import write_json
from embexp.errors import TrackingError
from embexp.sweep.jobs import Job, Outcome, varying
from embexp.sweep.progress import Progress, _finished_run
from embexp.tracking.outbox import Outbox
from embexp.tracking.run_parts import NullTracker


@pytest.fixture
def clock(monkeypatch):
    """Ten seconds pass at each look at the clock."""
    seconds = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))


@pytest.mark.usefixtures("clock")
def test_done_failed_running_time_left_and_best_so_far_are_reported():
    lines = []
    progress = Progress({0: "loss=a", 1: "loss=b", 2: "loss=c", 3: "loss=d"}, 2, lines.append)
    progress.begin(0)
    progress.begin(1)
    progress.end(0, Outcome(0.25), was_done=False)
    progress.end(1, Outcome(error="TrainingError: nan\nmore"), was_done=False)
    assert lines == [
        "[1/4] loss=a done in 20.0 s: 0.2500 | 1 of 4 done, 1 running, about 30.0 s left, best loss=a",
        "[2/4] loss=b failed: TrainingError: nan more | 1 of 4 done, 1 failed, about 20.0 s left, best loss=a",
    ]


@pytest.mark.usefixtures("clock")
def test_a_job_that_was_done_before_tells_nothing_of_the_time_that_others_take():
    lines = []
    progress = Progress({0: "loss=a", 1: "loss=b"}, 0, lines.append)
    progress.begin(0)
    progress.end(0, Outcome(0.5), was_done=True)
    assert lines[-1] == "[1/2] loss=a was done before: 0.5000 | 1 of 2 done, best loss=a"


def test_the_parent_run_shows_the_counts_and_a_store_that_is_down_ends_nothing(tmp_path):
    class Counting(NullTracker):
        logged = ()

        def log_metrics(self, metrics, step=None, at=None):
            if self.logged:
                raise TrackingError("down")
            self.logged = (metrics, step)

    lines, tracker = [], Counting()
    outbox = Outbox(tmp_path, tracker)
    outbox.open("a sweep", None, "key")
    progress = Progress({0: "a", 1: "b"}, 0, lines.append, outbox)
    for number in (0, 1):
        progress.begin(number)
        progress.end(number, Outcome(0.5), was_done=False)
    assert tracker.logged == ({"sweep/done": 1, "sweep/failed": 0, "sweep/best": 0.5}, 1)
    assert [method for method, _ in outbox.unsent] == ["log_metrics"]


def test_a_job_is_done_before_only_if_the_very_run_is_still_the_one(tmp_path):
    def finish(key):
        write_json(tmp_path / "run.json", {"key": key, "closed": True})
        write_json(tmp_path / "result.json", {"run": {"status": "FINISHED"}})
        return Outcome(0.5)

    lines = []
    progress = Progress({0: "a", 1: "b", 2: "c"}, 0, lines.append)
    assert _finished_run(tmp_path) is None
    for number, key in enumerate(["first", "first", "second"]):
        progress.follow(Job(number, ()), tmp_path, lambda job, key=key: finish(key))
    told = [line.split("] ")[1].split()[1] for line in lines]
    assert told == ["done", "was", "done"]


def test_jobs_are_called_by_what_tells_them_from_each_other():
    assert varying([Job(0, ("a=1",))]) == ["a=1"]
    assert varying([Job(0, ("a=1", "b=1", "c=2")), Job(1, ("a=2", "b=1", "c=3"))]) == ["a=1 c=2", "a=2 c=3"]
