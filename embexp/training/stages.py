"""What a stage is before it is trained, and what it has left when it was."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from embexp.core.file_contents import json_in, model_hash
from embexp.core.run_folder import write_json
from embexp.data.dataset import EmbeddingDataset
from embexp.losses.spec import LossSpec
from embexp.training.checkpoints import last_checkpoint
from embexp.training.trainer_values import batch_size_of

logger = logging.getLogger(__name__)
_CHECKPOINTS, _MODEL = "checkpoints", "model"
PROPORTIONAL, ROUND_ROBIN = "proportional", "round_robin"  # how the sets of a mixture take turns
_DONE = "done"  # the mark of a finished stage: what it left, as JSON


@dataclass(frozen=True)
class StagePlan:
    """A training that was checked and can start.

    Attributes:
        dataset: converted to a shape that the loss accepts.
        trainer: the trainer YAML: sentence-transformers' training arguments.
        folder: where checkpoints, the trained model and the mark `done` go.
        cache: where tokens are kept for other runs; None: nowhere.
        sets: of a mixture, each with its data, loss and weight; the first one's data and loss are also the stage's.
        weight: of a set: how often its rows come in an epoch.
        batches: of a mixture: how its sets' batches follow each other, in sentence-transformers' words.
    """

    name: str
    dataset: EmbeddingDataset
    loss: LossSpec
    trainer: Mapping[str, Any]
    folder: Path
    cache: Path | None = None
    sets: "tuple[StagePlan, ...]" = ()
    weight: float = 1
    batches: str = PROPORTIONAL

    @property
    def parts(self) -> "tuple[StagePlan, ...]":
        """The sets of a mixture, else the stage itself: each has one data set and one loss."""
        return self.sets or (self,)

    @property
    def num_batches(self) -> int:
        """Batches of an epoch; of samplers that leave rows out, as many as they announce at most."""
        if not self.sets:
            each = -(-self.dataset.splits["train"].num_rows // batch_size_of(self.trainer))
            return each if self.weight == 1 else max(1, round(self.weight * each))
        counts = [part.num_batches for part in self.sets]
        return sum(counts) if self.batches == PROPORTIONAL else min(counts) * len(counts)

    @property
    def num_rows(self) -> int:
        """Rows that an epoch reads; of a mixture in whole batches."""
        if self.sets:
            return self.num_batches * batch_size_of(self.trainer)
        return self.dataset.splits["train"].num_rows

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / _CHECKPOINTS


@dataclass(frozen=True)
class StageResult:
    """What a stage left in its folder, after how many steps, and what it cost.

    Attributes:
        best_step: the step whose weights were kept: the best one on dev where there was a choice, else the last.
        was_chosen: whether there was a choice.
    """

    folder: Path
    best_step: int
    num_steps: int
    seconds: float
    rows_per_second: float
    was_chosen: bool = True

    @property
    def model_path(self) -> Path:
        """The trained model."""
        return self.folder / _MODEL

    @property
    def summary(self) -> str:
        """One line: steps, time, and which step was kept."""
        kept = f"best at step {self.best_step}" if self.was_chosen else "the last state kept"
        return f"{self.num_steps} steps in {self.seconds:.1f} s ({self.rows_per_second:.1f} rows/s), {kept}"

    @property
    def checkpoint(self) -> Path | None:
        """The chosen checkpoint, None where none was saved."""
        path = self.folder / _CHECKPOINTS / f"checkpoint-{self.best_step}"
        return path if path.is_dir() else None

    def write(self) -> None:
        """Mark the stage as finished."""
        content = asdict(self) | {"model": model_hash(self.model_path)}
        del content["folder"]
        write_json(self.folder / _DONE, content)


def finished_stage(folder: Path) -> StageResult | None:
    """What a stage left that was finished before; None when it was not, or when its model is not as it was written."""
    result, written = recorded_stage(folder)
    if result is None:
        return None
    if not result.model_path.is_dir() or model_hash(result.model_path) != written:
        logger.warning("%s is not as it was written: it is trained again.", result.model_path)
        return None
    return result


def recorded_stage(folder: Path) -> tuple[StageResult | None, str]:
    """What a finished stage left, and the hash of its model as it was written; None where the stage was not finished.

    Whether the model is still there is not looked at.
    """
    content, known = json_in(folder / _DONE), {each.name for each in fields(StageResult)}
    if not isinstance(content, dict) or {*content} != known - {"folder"} | {"model"}:
        return None, ""
    written = content.pop("model")
    return StageResult(folder, **content), written


def forget_stage(folder: Path) -> None:
    """Remove the checkpoints and the model of a stage: whoever takes its run up again begins it anew."""
    (folder / _DONE).unlink(missing_ok=True)  # first: a stage without it has not finished
    for name in (_MODEL, _CHECKPOINTS):
        shutil.rmtree(folder / name, ignore_errors=True)


def share_done(step: int, max_steps: int, seconds: float, most_seconds: float | None) -> float:
    """The share of a training that is done, 0 to 1: of its steps, or of its seconds where these end it earlier.

    >>> share_done(25, 100, 30.0, None), share_done(25, 100, 30.0, 60.0), share_done(25, 100, 61.0, 60.0)
    (0.25, 0.5, 1.0)
    """
    return min(1.0, max(step / max_steps, seconds / most_seconds if most_seconds else 0.0))


def is_reached(pause: float, share: float) -> bool:
    """Whether a training has come to a share; a third of its steps may be a little less than a third in figures.

    >>> is_reached(0.1 + 0.2, 0.3), is_reached(0.3, 0.29)
    (True, False)
    """
    return share >= pause - 1e-6


def seconds_before(plan: StagePlan) -> float:
    """Time that earlier processes spent on a stage's training, as far as it counts."""
    left = finished_stage(plan.folder) or last_checkpoint(plan.checkpoints)
    return left.seconds if left else 0.0
