"""Runs that pause on their way: which can, and what they leave in `rungs/` of their folder, example by example of dev.

`best.parquet` has the primary evaluator's scores on dev of the untouched model and of the best one so far, and
`<share>.parquet` what that was when the run paused at a share of its training; of each a JSON says which step it is.
Where dev picks nothing, as it gives the verdict, the step of the pause takes the place of the best one.
"""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.core.file_contents import json_in
from embexp.core.run_folder import read_json, readable, replacing, write_json
from embexp.errors import ConfigError, Paused, listed
from embexp.evaluation.scores import write_examples
from embexp.experiment.evaluators import ways_to_dev
from embexp.experiment.fingerprint import digest, evaluated_rows
from embexp.experiment.plan import RunPlan
from embexp.experiment.scoring import Scoring
from embexp.training.checkpoints import KEEPS, load_weights, slim, tidy_checkpoints
from embexp.training.stages import recorded_stage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_RUNGS = "rungs"
_BEST = "best.parquet"


@dataclass(frozen=True)
class Rung:
    """What a run has come to when it paused at a share of its training, or when it was finished.

    Attributes:
        share: of the training that is done, above 0 and at most 1; not less than the one that was asked for.
        step: optimizer steps that are done.
        value: the primary metric on dev of the model whose scores these are: the best one so far, or where dev picks
            nothing the one of that step.
        seconds: of the training, evaluations included, over all processes.
        examples: its scores on dev and those of the untouched model by example, as `read_examples` reads them.
        best_step: the step of that model.
    """

    share: float
    step: int
    value: float
    seconds: float
    examples: Path
    best_step: int


def costs_so_far(folder: Path) -> dict[str, float]:
    """`cost/<what>` of a run as its latest rung has it; nothing of one that never paused."""
    rungs = [found for _, found in readable(folder.glob(f"{_RUNGS}/*.json"), read_json) if "costs" in found]
    return max(rungs, key=lambda found: found["step"], default={}).get("costs", {})


def measure_of(plan: RunPlan) -> dict[str, str]:
    """Key of the metric on dev by which runs are compared before any is finished, and a hash of the rows.

    Raises:
        ConfigError: there is no dev split, and choosing on test would leave no honest number.
    """
    evaluator = next(each for each in plan.evaluators if each.name == plan.primary_evaluator)
    if "dev" not in evaluator.splits:
        raise ConfigError(
            f"{evaluator.name} has no dev split, only {listed(evaluator.splits)}",
            expected="one to choose by: the best of many runs on test says nothing about other data",
            fix=ways_to_dev(plan.config, evaluator.name) if evaluator.resamples else "evaluator=auto",
        )
    rows = evaluated_rows(plan).get(f"{evaluator.name}/dev", "")
    return {"metric": f"dev/{evaluator.name}/{plan.primary_metric}", "rows": digest(rows)}


def check_pausing(plan: RunPlan, pause: float | None) -> None:
    """Raise ConfigError where a run that is to pause would have no scores on dev to be compared by."""
    if pause is None:
        return
    measure_of(plan)
    if (given := plan.stages[-1].trainer.get("eval_strategy", "no")) == "no":
        raise ConfigError(
            "gives no scores on dev while the model trains",
            key="trainer.eval_strategy",
            given=given,
            expected="evaluations, which a race compares models by",
            fix="trainer.eval_strategy=steps",
        )


def read_rung(folder: Path, share: float) -> Rung | None:
    """The rung of a run that paused at that share; None where it did not."""
    path = _place(folder, share)
    if not path.is_file() or not path.with_suffix(".json").is_file():
        return None
    found = read_json(path.with_suffix(".json"))
    return Rung(found["share"], found["step"], found["value"], found["seconds"], path, found["best_step"])


def _place(folder: Path, share: float) -> Path:
    return folder / _RUNGS / f"{share:g}.parquet"


def free_disk(plan: RunPlan, best_step: int) -> None:
    """Leave of a run that waits what it will load: with `keep=full`, or a tracker that keeps all of them, everything.

    Args:
        best_step: of the stage that is being trained.
    """
    wanted = plan.config["keep"], plan.config["tracking"].get("checkpoint", "none")
    keep = max(wanted, key=KEEPS.index)
    for stage in plan.stages:
        if recorded_stage(stage.folder)[0]:  # whose model is there
            tidy_checkpoints([stage.checkpoints], keep)
        elif keep != "full":
            slim(stage.checkpoints, best_step)


class RungFiles:
    """Writes the rungs of a run that trains.

    What an earlier process has kept as the best counts if it is of the step that is the best by the checkpoints: a
    process may have been killed between an evaluation and its checkpoint.
    """

    def __init__(self, plan: RunPlan, scoring: Scoring) -> None:
        self.plan = plan
        self.scoring = scoring
        primary = next(each for each in plan.evaluators if each.name == plan.primary_evaluator)
        self.picks = "test" in primary.splits
        self.path = plan.folder / _RUNGS / _BEST
        self._best = json_in(self.path.with_suffix(".json")) if self.path.is_file() else None

    def keep_best(self, step: int, value: float) -> None:
        """Keep the scores of a step that was just evaluated, if it is the best one so far and dev picks."""
        is_later = self._best and step > self._best["step"]
        if not self.picks or math.isnan(value) or (is_later and value <= self._best["value"]):
            return
        self.path.with_suffix(".json").unlink(missing_ok=True)  # what says no step is not used
        with replacing(self.path) as making:
            write_examples(making, self.scoring.on_dev(step))
        self._best = {"step": step, "value": value}
        write_json(self.path.with_suffix(".json"), self._best)

    def write(self, share: float, paused: Paused, model: "SentenceTransformer", checkpoints: Path | None) -> None:
        """Write the rung of a share that is done.

        Args:
            model: gets the weights of the step that counts where its scores are not known any more.
            checkpoints: the folder with those weights; None where the model has them.
        """
        counts = (self.picks and paused.best_step) or paused.step
        path = _place(self.plan.folder, share)
        if self._best and self._best["step"] == counts:
            with replacing(path) as making:
                shutil.copyfile(self.path, making)
            value = self._best["value"]
        else:
            if (scores := self.scoring.on_dev(counts)) is None:
                if checkpoints and (kept := checkpoints / f"checkpoint-{counts}").is_dir():
                    load_weights(model, kept)
                self.scoring.in_step(model, counts)
                scores = self.scoring.on_dev(counts)
            with replacing(path) as making:
                write_examples(making, scores)
            value = scores["trained"].metrics[self.plan.primary_metric]
        found = {"step": paused.step, "share": paused.share, "value": value, "seconds": paused.seconds}
        own = {"best_step": counts, "costs": self.scoring.costs.metrics()}
        write_json(path.with_suffix(".json"), found | own)
