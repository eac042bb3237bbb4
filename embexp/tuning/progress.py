"""How a study goes: a line after each trial, and its curve in the parent run."""

import time
from typing import TYPE_CHECKING

from embexp.sweep.progress import duration
from embexp.tracking.journal import Journal
from embexp.tuning.study import STATES, Search, first_line_of_error

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class StudyProgress:
    """Tells each trial that has ended, on the terminal and in the parent run.

    Args:
        metric: by which the trials are measured, as `dev/<evaluator>/<metric>`.
    """

    def __init__(self, search: Search, journal: Journal, metric: str) -> None:
        self.search = search
        self.journal = journal
        self.metric = metric
        self.start = time.perf_counter()
        self.told = 0

    def log_earlier(self) -> None:
        """Log the trials of earlier processes; what these have logged is not logged again."""
        for trial in self.search.known():
            self._log(trial)

    def tell(self, trial: "FrozenTrial") -> None:
        """Print a line about a trial that has ended, and log its value."""
        self.told += 1
        self._log(trial)
        print(f"trial {trial.number}: {_outcome(trial)} | {self.line()}", flush=True)

    def _log(self, trial: "FrozenTrial") -> None:
        if trial.state.name == "COMPLETE":
            best = max(value for number, value in self._done().items() if number <= trial.number)
            self.journal.log_metrics({f"trial/{self.metric}": trial.value, f"best/{self.metric}": best}, trial.number)

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
            each = (time.perf_counter() - self.start) / self.told
            parts.append(f"about {duration((self.search.trials - ended) * each)} left")
        return ", ".join(parts)


def _outcome(trial: "FrozenTrial") -> str:
    if trial.state.name == "COMPLETE":
        return f"{trial.value:.4f}"
    if trial.state.name == "PRUNED":
        return f"{STATES['PRUNED']} at {trial.value:.4f}"
    return f"{STATES['FAIL']}, {first_line_of_error(trial)}"
