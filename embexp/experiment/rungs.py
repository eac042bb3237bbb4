"""Runs that are trained rung by rung: to a share of their training and no further, to their end, or dropped.

A paused run is open: the tracker shows it as RUNNING, and `resume=<folder>` finishes it, with the same weights and
metrics as if it had never paused. Nothing is scored on test before that. Whoever calls holds the run's folder. While it
waits it holds no more than it will load: its last checkpoint with the weights of the best one, at the end the model.
"""

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from embexp.core.run_context import RunContext
from embexp.core.run_folder import RECORD, RESULT, is_closed, read_json, read_record, status_of, write_json
from embexp.errors import DataError, Paused
from embexp.experiment.execute import RunResult, execute
from embexp.experiment.pausing import Rung, check_pausing, read_rung
from embexp.experiment.plan import RunPlan
from embexp.experiment.sides import EXAMPLES
from embexp.protocols import Tracker
from embexp.tracking.outbox import amend
from embexp.tracking.run_parts import open_parts
from embexp.training.stages import forget_stage, recorded_stage

__all__ = ["DROPPED_TAG", "Rung", "drop", "finish", "train_to"]
DROPPED_TAG = "embexp.dropped"  # why a run was dropped; empty where it was taken up again
_DROPPED = "dropped"  # the same in result.json


def train_to(plan: RunPlan, share: float, *, context: RunContext) -> Rung:
    """Begin or resume the run in the plan's folder, and pause it at the first evaluation at or after a share of it.

    A rung that is on the disk is taken as it is, and so is a run that has finished; a dropped one is taken up again.

    Args:
        share: of the main stage's training, above 0; 1 trains all of it, and leaves scoring on test to `finish`.
        context: of the run; its `pause` is set.

    Raises:
        ConfigError: there is no dev split or no evaluation on it, or what the run began with has changed.
        DataError: the finished run's scores on dev are gone.
        EmbexpError: the run fails; its record says so, and the next call resumes it.
    """
    assert 0 < share <= 1, share
    if rung := read_rung(plan.folder, share) or _finished(plan):
        return rung
    context.pause = share
    with suppress(Paused):
        _go_on(plan, context)
    rung = read_rung(plan.folder, share)
    assert rung, f"{plan.folder} was not paused"
    return rung


def finish(plan: RunPlan, *, context: RunContext) -> RunResult:
    """Resume the run in the plan's folder to its normal end; what a finished one found is read from its folder.

    Args:
        context: of the run; its `pause` is set to None.
    """
    context.pause = None
    if is_closed(plan.folder):
        return RunResult(read_json(plan.folder / RESULT))
    return _go_on(plan, context)


def drop(folder: Path, tracker: Tracker, reason: str, keep_weights: bool = True) -> None:
    """Close a paused run that will not go on: KILLED, with the reason; one that has finished is left as it is.

    Args:
        tracker: of the run.
        keep_weights: `train_to` takes the run up again where it paused; without them from its beginning.
    """
    if status_of(folder) == "FINISHED":
        return
    record = read_record(folder)
    run = {"name": record["name"], "id": record.get("id", ""), "status": "KILLED"}
    write_json(folder / RESULT, {"run": run, _DROPPED: reason})
    closed = ("finish", "KILLED", time.time())
    for part in open_parts(folder):
        of_part = {"name": f"{record['name']}/{part.name}", "key": f"{record['key']}/{part.name}"}
        amend(part, tracker, closed, record=of_part)
    amend(folder, tracker, ("log_tags", {DROPPED_TAG: reason}), ("log_artifact", folder / RESULT, None), closed)
    if not keep_weights:
        for stage in folder.glob("stages/*"):
            forget_stage(stage)


def _go_on(plan: RunPlan, context: RunContext) -> RunResult:
    """Begin the run, or resume the one that is in the folder."""
    if not (plan.folder / RECORD).is_file():
        return execute(plan, context=context)
    if (plan.folder / RESULT).is_file() and _DROPPED in read_json(plan.folder / RESULT):
        amend(plan.folder, plan.tracker, ("log_tags", {DROPPED_TAG: ""}))
    if plan.model_place["source"] == "hub":  # its files have come since it was planned
        plan = replace(plan, model_place=plan.model.locate())
    return execute(plan, resume=True, context=context)


def _finished(plan: RunPlan) -> Rung | None:
    """What a finished run has come to: the scores on dev of the model that it kept; None where it has not finished."""
    if not (plan.folder / RECORD).is_file() or status_of(plan.folder) != "FINISHED":
        return None
    check_pausing(plan, 1.0)
    path = plan.folder / EXAMPLES / f"{plan.primary_evaluator}_dev.parquet"
    stage, _ = recorded_stage(plan.stages[-1].folder)
    if not path.is_file() or stage is None:
        text = f"The finished run in {plan.folder} has no scores on dev by example, or no record of its training"
        raise DataError(text, file=path, expected="the files as the run wrote them", note="Run its command again")
    value = read_json(plan.folder / RESULT)["primary_value"]
    return Rung(1.0, stage.num_steps, value, stage.seconds, path, stage.best_step)
