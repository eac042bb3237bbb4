"""When checkpoints are written while sentence-transformers trains, and what makes them whole."""

import shutil
import time
from pathlib import Path
from typing import Any

from torch.nn import Module
from transformers import TrainerCallback

from embexp.errors import TrainingError
from embexp.training.checkpoints import complete, folders, rotate, save_loss_state

ADAM_STATES = 2  # numbers that Adam keeps for each weight it trains


class CheckpointCallback(TrainerCallback):
    """Makes the trainer's checkpoints whole, one with every evaluation, and removes old ones.

    Before each checkpoint the losses since the last log line are logged, so that log lines of a resumed training have
    the same losses under them.

    Args:
        loss: its own weights go into every checkpoint.
        limit: checkpoints to keep; the last and the best one always stay. None keeps all.
        seconds: time that earlier processes spent on this training.

    Raises:
        TrainingError: a checkpoint does not fit on the disk; those before it are left as they are.
    """

    def __init__(self, loss: Module, folder: Path, limit: int | None, seconds: float = 0.0) -> None:
        self.loss = loss
        self.folder = folder
        self.limit = limit
        self.start = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        """Time spent on this training, over all processes."""
        return time.perf_counter() - self.start

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        control.should_save |= control.should_evaluate
        control.should_log |= control.should_save
        if control.should_save:
            check_space(self.folder, self.loss)
        return control

    on_epoch_end = on_step_end

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        path = self.folder / f"checkpoint-{state.global_step}"
        save_loss_state(self.loss, model, path)
        complete(path, self.seconds)
        rotate(self.folder, self.limit, state.best_global_step or 0)


def check_space(folder: Path, loss: Module) -> None:
    """Raise TrainingError when another checkpoint does not fit on the disk."""
    free, needed = shutil.disk_usage(folder.parent).free, checkpoint_size(folder, loss)
    if free < needed:
        raise TrainingError(
            f"The disk is full: a checkpoint of about {needed / 1e6:,.0f} MB does not fit into the "
            f"{free / 1e6:,.0f} MB that are free at {folder}. Earlier checkpoints are whole. Make room, then go on "
            f"with the run by resume={folder.parents[2]}; trainer.save_total_limit says how many checkpoints are kept."
        )


def checkpoint_size(folder: Path, loss: Module) -> int:
    """Bytes of a checkpoint: those of the last one, or those of the weights and of Adam's states."""
    if found := folders(folder):
        return sum(file.stat().st_size for file in found[-1].rglob("*") if file.is_file())
    parameters = [(parameter.nbytes, parameter.requires_grad) for parameter in loss.parameters()]
    return sum(size * (1 + ADAM_STATES * trained) for size, trained in parameters)
