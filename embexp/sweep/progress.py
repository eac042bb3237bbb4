"""How a sweep goes: a line for each job, and the counts on the parent run's page."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from threading import Lock

from embexp.core.run_context import progress_of
from embexp.core.run_folder import RECORD, RESULT, is_closed, read_json, read_record, readable
from embexp.experiment.sweep_record import taken_from
from embexp.sweep.jobs import Job, Outcome
from embexp.tracking.outbox import Outbox

_HOUR, _MINUTE = 3600, 60


@dataclass
class Progress:
    """Counts the jobs of a sweep.

    Args:
        names: what each job is called, by its number.
        workers: how many run side by side.
        tell: writes a line where the user sees it.
        outbox: sends to the parent run, if there is one.

    Attributes:
        running: when each job began that has not ended.
        values: the primary metric of each job that is done.
    """

    names: Mapping[int, str]
    workers: int
    tell: Callable[[str], None]
    outbox: Outbox | None = None
    running: dict[int, float] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def follow(self, job: Job, folder: Path, run: Callable[[Job], Outcome]) -> Outcome:
        """How the job ends that `run` runs, with a line at its end; one done before counts for no time."""
        self.begin(job.number)
        with progress_of(self.place(job.number)):
            outcome, was_done = noting_earlier(job, folder, run)
        self.end(job.number, outcome, was_done, found_in(folder))
        return outcome

    def begin(self, number: int) -> None:
        """A job begins."""
        self.running[number] = time.perf_counter()

    def end(self, number: int, outcome: Outcome, was_done: bool, found: str = "", seconds: float | None = None) -> None:
        """A job has ended; where it was done before, its time predicts nothing about the others.

        Args:
            found: its score, difference and verdict.
            seconds: that it took; None: since `begin`.
        """
        with self.lock:
            passed = time.perf_counter() - self.running.pop(number)
            seconds = passed if seconds is None else seconds
            if not was_done:
                self.seconds.append(seconds)
            if outcome.value is None:
                self.failed.add(number)
                ended = f"failed: {shorten(outcome.error, 100)}"
            else:
                self.values[number] = outcome.value
                how = "was done before" if was_done else f"done in {duration(seconds)}"
                ended = f"{how}: {found or f'{outcome.value:.4f}'}"
            self.tell(f"{self.place(number)} {ended} | {self.line()}")
            self._track()

    def place(self, number: int) -> str:
        """Which of the jobs it is, and what it is called."""
        return f"[{[*self.names].index(number) + 1}/{len(self.names)}] {self.names[number]}"

    def line(self) -> str:
        """Done, failed and running jobs, the time left, the best so far."""
        left = len(self.names) - len(self.values) - len(self.failed)
        parts = [f"{len(self.values)} of {len(self.names)} done"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{len(self.running)} running"] if self.running else []
        if left and self.seconds:
            parts.append(f"about {duration(left * sum(self.seconds) / len(self.seconds) / max(1, self.workers))} left")
        if self.values:
            best = max(self.values, key=self.values.__getitem__)
            parts.append(f"best {self.names[best]}")  # on dev, so not by the score of test that stands in a job's line
        return ", ".join(parts)

    def _track(self) -> None:
        if self.outbox is None:
            return
        counts = {"sweep/done": len(self.values), "sweep/failed": len(self.failed)}
        counts |= {"sweep/best": max(self.values.values())} if self.values else {}
        self.outbox.send("log_metrics", counts, len(self.values) + len(self.failed), time.time())


def noting_earlier(job: Job, folder: Path, run: Callable[[Job], Outcome]) -> tuple[Outcome, bool]:
    """How the job ends that `run` runs, and whether it was done before."""
    before = _finished_run(folder)
    outcome = run(job)
    was_there = before is not None and before == _finished_run(folder)
    return outcome, was_there or taken_from(folder) is not None


def duration(seconds: float) -> str:
    """A time span as people say it.

    >>> duration(7.26), duration(200), duration(4000)
    ('7.3 s', '3 min 20 s', '1 h 7 min')
    """
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {seconds % _MINUTE:.0f} s"
    return f"{int(seconds // _HOUR)} h {seconds % _HOUR / _MINUTE:.0f} min"


def found_in(folder: Path) -> str:
    """Score, difference and verdict of the run that a job's folder holds or has taken; empty without a result."""
    files = [path for path in [(taken_from(folder) or folder) / RESULT] if path.is_file()]
    for _, result in readable(files, read_json):
        if row := result.get("primary"):
            return f"{row['split']} {row['trained']:.4f}, {row['difference']:+.4f} {row['verdict']}"
    return ""


def _finished_run(folder: Path) -> str | None:
    """The key of the finished run that a job's folder holds or has taken; None if there is none."""
    run = taken_from(folder) or folder
    begun = [run] if (run / RECORD).is_file() else []
    found = readable(begun, lambda place: read_record(place)["key"] if is_closed(place) else None)
    return next((key for _, key in found), None)
