"""Trial after trial, each a run whose dev scores Optuna sees while it trains."""

import dataclasses
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.cli.app import MISTAKES
from embexp.cli.messages import explain
from embexp.config.compose import composed
from embexp.core.run_context import RunContext, only_warnings, progress_of
from embexp.core.run_folder import RECORD, RESULT, is_closed, read_json
from embexp.errors import ConfigError, Pruned, TrackingError, TrainingError, UnreadableError
from embexp.experiment.execute import execute, tidy
from embexp.experiment.pausing import measure_of
from embexp.experiment.plan import RunPlan, plan_run
from embexp.experiment.resume import resumed
from embexp.tuning.report import shown
from embexp.tuning.study import (
    ERROR,
    FOLDER,
    STEPS,
    TWIN,
    OpenStudy,
    next_trial,
    read_study,
    sample_values,
    sampled_overrides,
)

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial


logger = logging.getLogger(__name__)


def run_trials(search: OpenStudy, new_context: Callable[[], RunContext], show: Callable[["FrozenTrial"], None]) -> None:
    """Run trials until the study has as many as it shall have, and none is left that was interrupted.

    Args:
        new_context: makes the context of a trial's run.
        show: takes each trial that has ended.
    """
    warned: set[str] = set()
    while True:
        with next_trial(search) as trial:
            if trial is None:
                return
            sample_values(search, trial)
            with only_warnings(warned), progress_of(f"trial {trial.number}"):
                logger.info("trial %s: %s", trial.number, " ".join(sampled_overrides(search, trial, shown)))
                ended = run_trial(search, trial, new_context())
            show(ended)


def run_trial(search: OpenStudy, trial: "Trial", context: RunContext) -> "FrozenTrial":
    """One trial from its beginning, or from where it was interrupted, to its report to Optuna.

    A trial that does not fit or whose training fails is a failure of its own and ends no study. Errors that are not its
    fault are raised: the tracker does not answer, or what the trial began with has changed.
    """
    from optuna.trial import TrialState
    from torch import OutOfMemoryError

    try:
        return search.study.tell(trial, _value_of(search, trial, context))
    except Pruned:
        return search.study.tell(trial, state=TrialState.PRUNED)
    except UnreadableError as error:
        return failed(search, trial, error)
    except (TrackingError, ConfigError) as error:
        if isinstance(error, TrackingError) or (search.run_folder(trial) / RECORD).is_file():
            raise
        return failed(search, trial, error)
    except (*MISTAKES, OutOfMemoryError) as error:
        return failed(search, trial, error)


def failed(search: OpenStudy, trial: "Trial", error: Exception) -> "FrozenTrial":
    from optuna.trial import TrialState

    trial.set_user_attr(ERROR, f"{type(error).__name__}: {explain(error)}")
    return search.study.tell(trial, state=TrialState.FAIL)


def _value_of(search: OpenStudy, trial: "Trial", context: RunContext) -> float:
    """The trial's primary metric on dev, once its run is done, or all that an interruption has left of it.

    Raises Pruned where it was stopped, now or before Optuna heard of it.
    """
    folder = search.run_folder(trial)
    begun = (folder / RECORD).is_file()
    value = _done_before(folder) if begun else _done_by_twin(search, trial)
    if value is None:
        plan = _plan_trial(search, trial, context, begun)
        try:
            value = execute(plan, begun, _reporting(trial), context=context).primary_value
        except Pruned:
            tidy(plan)
            raise
    if math.isnan(value):
        raise TrainingError("The metric on dev is not a number: all embeddings may be the same.")
    return value


def _done_by_twin(search: OpenStudy, trial: "Trial") -> float | None:
    """A hit in the cache: the primary metric of an earlier trial with the same values, whose run this trial shares."""
    for other in search.known():
        if other.state.name == "COMPLETE" and other.params == trial.params:
            trial.set_user_attr(FOLDER, str(search.run_folder(other)))
            trial.set_user_attr(TWIN, other.user_attrs.get(TWIN, other.number))
            return other.value
    return None


def _done_before(folder: "Path") -> float | None:
    """The primary metric of a run that has finished; None where it has not. Raises Pruned where Optuna stopped it."""
    if not (folder / RESULT).is_file():
        return None
    result = read_json(folder / RESULT)
    if "pruned" in result:
        raise Pruned(result["pruned"])
    return result["primary_value"] if is_closed(folder) else None


def _plan_trial(search: OpenStudy, trial: "Trial", context: RunContext, begun: bool) -> RunPlan:
    """The run that a trial is: with the configuration it began with, where it has begun.

    Raises:
        ConfigError: it would be measured differently from the others of its study.
    """
    folder = search.run_folder(trial)
    config, choices = composed([*search.fixed, *sampled_overrides(search, trial)])
    if begun:
        stores = [each for each in search.fixed if each.startswith("tracking.uri=")]  # no password of it is recorded
        config, choices = resumed(folder, stores, config)
    plan = plan_run(config, choices, folder, context=context)
    before, now = read_study(search.folder)["measure"], measure_of(plan)
    if before != now:
        what = f"by {now['metric']}, not {before['metric']}" if before["metric"] != now["metric"] else "on other rows"
        raise ConfigError(
            f"The trial would be measured {what}",
            expected="the same for all trials of a study: an evaluator with rows of its own, or another study",
            fix=("evaluator=[stsb]", f"tune.seed={search.seed + 1}"),
        )
    tags = {"embexp.study": search.id, "embexp.trial": str(trial.number)}
    return dataclasses.replace(plan, name=f"trial {trial.number}: {plan.name}", tags=tags)


def _reporting(trial: "Trial") -> Callable[[int, float], None]:
    """Reports the dev score of each evaluation to Optuna, by its number, so that trainings of unlike lengths compare.

    What was reported before an interruption is not reported again.
    """

    def report(step: int, value: float) -> None:
        steps = trial.user_attrs.get(STEPS, [])
        if step not in steps:
            trial.report(value, len(steps))  # Optuna counts from 0
            steps = [*steps, step]
            trial.set_user_attr(STEPS, steps)
        if step == steps[-1] and trial.should_prune():
            raise Pruned(f"stopped at step {step}, evaluation {len(steps)}, with {value:.4f} on dev")

    return report
