"""What a trial draws, and which trial a process works on: the same points however often it is interrupted."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from embexp.config import instantiate
from embexp.errors import ConfigError
from embexp.identity import digest
from embexp.run_record import held
from embexp.tuning.dimensions import name_of
from embexp.tuning.study import FOLDER, Search

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial


@contextmanager
def next_trial(search: Search) -> Iterator["Trial | None"]:
    """A trial that no other process works on: one that was interrupted, else a new one; None when there are enough.

    Its folder is held meanwhile. Processes on one study wait for each other while they take one.
    """
    from filelock import FileLock

    with ExitStack() as hold:
        with FileLock(search.folder / "study.lock"):
            trial = _interrupted(search, hold) or _fresh(search, hold)
        yield trial


def _interrupted(search: Search, hold: ExitStack) -> "Trial | None":
    """A trial that is running by the database's word, but whose folder no process holds."""
    from optuna.trial import Trial, TrialState

    for frozen in search.known():
        if frozen.state == TrialState.RUNNING and _is_free(search, frozen, hold):
            return Trial(search.study, frozen._trial_id)  # Optuna has no other way to go on with a trial
    return None


def _is_free(search: Search, trial: "FrozenTrial", hold: ExitStack) -> bool:
    try:
        hold.enter_context(held(search.run_folder(trial)))
    except ConfigError:  # another process is at it
        return False
    return True


def _fresh(search: Search, hold: ExitStack) -> "Trial | None":
    number = len(search.known())
    if number >= search.trials:
        return None
    search.study.sampler = sampler_of(search, number, "")  # some samplers prepare a trial before it draws
    trial = search.study.ask()
    hold.enter_context(held(search.run_folder(trial)))
    draw(search, trial)
    trial.set_user_attr(FOLDER, str(search.run_folder(trial)))
    return trial


def draw(search: Search, trial: "Trial") -> None:
    """Draw a value for every key; what the trial has drawn before stays as it is.

    Each draw has a seed of its own, of the study's seed, the trial's number and the key, so that nothing depends on
    how often the process was started. Keys that a sampler draws together have that of no key.
    """
    search.study.sampler = sampler_of(search, trial.number, "")
    _ = trial.relative_params  # drawn when first asked for
    for dimension in search.space:
        search.study.sampler = sampler_of(search, trial.number, dimension.key)
        dimension.draw(trial)


def sampler_of(search: Search, number: int, key: str) -> Any:
    """The sampler that draws this key of this trial; with an empty key all that are drawn together."""
    return instantiate(search.sampler, seed=int(digest(search.seed, number, key)[:8], 16))


def drawn_by(search: Search, trial: "Trial | FrozenTrial", shown: Callable[[Any], str] = str) -> list[str]:
    """What a trial has drawn, as overrides.

    Args:
        shown: how a value is written.
    """
    return [f"{each.key}={shown(trial.params[name_of(each)])}" for each in search.space]
