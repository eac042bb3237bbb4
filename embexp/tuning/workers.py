"""The trials of a study done by workers, on any engine: the job of a number is the trial of that number."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from embexp.cli.quoting import quoted
from embexp.config.compose import instantiate, resolve
from embexp.core.claims import held
from embexp.core.escaping import say
from embexp.core.redaction import redacted
from embexp.core.run_context import RunContext
from embexp.errors import ConfigError, LeftToWorkers, Terminated, TrackingError, TrainingError, listed
from embexp.protocols import Tracker
from embexp.sweep.coordinator import forget_workers, is_left, run_in_workers
from embexp.sweep.jobs import Job, Outcome, record_death
from embexp.sweep.progress import duration
from embexp.tracking.journal import Journal
from embexp.tuning.report import shown
from embexp.tuning.space import Dimension
from embexp.tuning.study import (
    DATABASE,
    SHORT_ID,
    STATES,
    TRIALS,
    OpenStudy,
    first_line_of_error,
    open_search,
    sampled_overrides,
    trial_of,
)
from embexp.tuning.trials import failed, run_trial

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass
class TrialRunner:
    """Runs trials of a study, in a process of its own as well.

    Args:
        config: of the study, unresolved.
        key: of the study.
        fixed, space: as in `OpenStudy`.
        place: the study's folder.
        parent: the id of the study's run.
    """

    config: DictConfig
    key: str
    fixed: Sequence[str]
    space: Sequence[Dimension]
    place: Path
    parent: str
    _search: OpenStudy | None = None  # opened by each process for itself
    _builders: dict[str, Any] = field(default_factory=dict)
    root = "tunings"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_search": None, "_builders": {}}

    @property
    def id(self) -> str:
        return self.key[:SHORT_ID]

    def folder(self, job: Job) -> Path:
        return self.place / TRIALS / str(job.number)

    def search(self) -> OpenStudy:
        """The study, open in this process."""
        self._search = self._search or open_search(resolve(self.config), self.key, self.fixed, self.space, self.place)
        return self._search

    def run(self, job: Job) -> Outcome:
        """How the trial ended; an error that is not its own leaves it to be run when the command is typed again."""
        search = self.search()
        trial = trial_of(search, job.number)
        with held(search.run_folder(trial), waits=True):  # a shell without workers may be at it
            ended = search.known()[job.number]
            if not ended.state.is_finished():
                try:
                    ended = run_trial(search, trial, RunContext(self.parent, builders=self._builders))
                except (ConfigError, TrackingError) as error:
                    return Outcome(error=str(error))
        return Outcome(ended.value) if ended.state.name == "COMPLETE" else Outcome(error=_outcome(ended))

    def give_up(self, job: Job, error: str) -> None:
        search = self.search()
        trial, known = trial_of(search, job.number), search.known()[job.number]
        if known.state.is_finished():  # it died after that, or another process has done the trial
            return
        overrides = sampled_overrides(search, known)
        record_death(search.run_folder(trial), self._tracker(), error, overrides)
        failed(search, trial, TrainingError(error))

    def _tracker(self) -> Tracker:
        return instantiate(OmegaConf.to_container(self.config.tracking, resolve=True))

    def stores(self) -> dict[str, str]:
        database = self.config.tune.storage or f"sqlite:///{self.place.resolve() / DATABASE}"
        return {"tracking.uri": self._tracker().store(), "tune.storage": redacted(database)}

    def again(self) -> tuple[str, list[str]]:
        return "embexp.tune", [f"hydra.run.dir={quoted(str(self.place))}"]


class StudyProgress:
    """Shows each trial that has ended, on the terminal and in the parent run.

    Args:
        metric: by which the trials are measured, as `dev/<evaluator>/<metric>`.

    Attributes:
        unfinished: why trials could not be brought to an end, by their numbers.
    """

    def __init__(self, search: OpenStudy, journal: Journal, metric: str) -> None:
        self.search = search
        self.journal = journal
        self.metric = metric
        self.start = time.perf_counter()
        self.num_shown = 0
        self.unfinished: dict[int, str] = {}

    def show(self, trial: "FrozenTrial") -> None:
        """Print a line about a trial that has ended, and log its value."""
        self.num_shown += 1
        self.log(trial)
        drawn = " ".join(sampled_overrides(self.search, trial, shown))
        say(f"{self.place(trial.number)} {drawn}: {_outcome(trial)} | {self.line()}")

    def log(self, trial: "FrozenTrial") -> None:
        """Log the value of a trial that is done, and the best so far."""
        if trial.state.name == "COMPLETE":
            best = max(value for number, value in self._done().items() if number <= trial.number)
            self.journal.log_metrics({f"trial/{self.metric}": trial.value, f"best/{self.metric}": best}, trial.number)

    def begin(self, number: int) -> None:
        """A worker has begun with a trial: nothing is shown."""

    def end(self, number: int, outcome: Outcome, was_done: bool, found: str = "", seconds: float | None = None) -> None:
        """A worker's trial has ended, or could not be brought to an end."""
        trial = self.search.known()[number]
        if trial.state.is_finished():
            self.show(trial)
        else:
            self.unfinished[number] = outcome.error
            say(f"{self.place(number)}: {STATES['RUNNING']}, {outcome.error}")

    def place(self, number: int) -> str:
        """What a trial is called."""
        return f"trial {number}"

    def _done(self) -> dict[int, float]:
        return {trial.number: trial.value for trial in self.search.known() if trial.state.name == "COMPLETE"}

    def line(self) -> str:
        """How many trials have ended and how, the best so far, the time left."""
        states, done = [trial.state.name for trial in self.search.known()], self._done()
        ended = sum(state in ("COMPLETE", "PRUNED", "FAIL") for state in states)
        parts = [f"{ended} of {max(len(states), self.search.trials)} trials"]
        parts += [f"{states.count(state)} {STATES[state]}" for state in ("PRUNED", "FAIL") if state in states]
        if done:
            best = max(done, key=lambda number: (done[number], -number))
            parts.append(f"best {done[best]:.4f} (trial {best})")
        if ended < self.search.trials:
            each = (time.perf_counter() - self.start) / self.num_shown
            parts.append(f"about {duration((self.search.trials - ended) * each)} left")
        return ", ".join(parts)


def _outcome(trial: "FrozenTrial") -> str:
    if trial.state.name == "COMPLETE":
        return f"{trial.value:.4f}"
    if trial.state.name == "PRUNED":
        return f"{STATES['PRUNED']} at {trial.value:.4f}"
    return f"{STATES['FAIL']}, {first_line_of_error(trial)}"


def run_trials_in_workers(runner: TrialRunner, progress: StudyProgress) -> None:
    """Have workers run all trials that the study lacks, or that were interrupted.

    Raises:
        TrainingError: trials that could not be brought to an end.
        LeftToWorkers: the workers go on without this process.
    """
    known, search = runner.search().known(), runner.search()
    ended = {trial.number for trial in known if trial.state.is_finished()}
    jobs = [Job(number, ()) for number in range(max(search.trials, len(known))) if number not in ended]
    if not jobs:
        forget_workers(runner.place)
        return
    with held(runner.place, "workers"):
        try:
            run_in_workers(runner, jobs, min(runner.config.sweep.workers, len(jobs)), progress)
        except (KeyboardInterrupt, Terminated) as error:
            if not is_left(runner.place):
                raise
            _say_left(runner.place)
            raise LeftToWorkers(130 if isinstance(error, KeyboardInterrupt) else error.code) from error
        except LeftToWorkers:
            _say_left(runner.place)
            raise
    if progress.unfinished:
        why = listed(sorted({*progress.unfinished.values()}))
        text = f"{len(progress.unfinished)} trials could not be brought to an end: {why}"
        raise TrainingError(text, expected="the same command once more, when that is mended")


def _say_left(folder: Path) -> None:
    say(f"The workers of the study in {folder} go on, and the last one closes it.")
    say("To wait for them type the same command again, to end them the same with sweep.engine.then=cancel.")
