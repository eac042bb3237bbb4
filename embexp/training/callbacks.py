"""What happens while a trainer trains: log lines, progress, checkpoints."""

import logging
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.nn import Module
from transformers import TrainerCallback

from embexp.core.claims import check_claims
from embexp.core.run_context import progress_bar
from embexp.core.signals import is_interrupted, raise_interrupt
from embexp.errors import Paused, TrainingError
from embexp.tracking.journal import Journal
from embexp.training.checkpoints import complete, folders, remove_unscheduled, rotate, save_loss_state, save_unlogged
from embexp.training.stages import is_reached, share_done

logger = logging.getLogger(__name__)


class CheckpointCallback(TrainerCallback):
    """Makes the trainer's checkpoints whole, one with every evaluation, and removes old ones.

    Before each checkpoint the losses since the last log line are logged, so that log lines of a resumed training have
    the same losses under them. After a signal it writes a checkpoint outside the schedule, and raises the signal.

    Args:
        loss: its own weights go into every checkpoint.
        limit: checkpoints to keep; the last and the best one always stay. None keeps all.
        journal: says where the run would resume.
        seconds: time that earlier processes spent on this training.
        most_seconds: the training ends with the step that reaches them, as at its last step; None: it has no such end.
        pause: the share of the training at whose first evaluation, once its checkpoint is whole, it stops.

    Raises:
        Paused: that share is done, and not all of the training.
        TrainingError: a checkpoint does not fit on the disk; those before it are left as they are.
    """

    def __init__(
        self,
        loss: Module,
        folder: Path,
        limit: int | None,
        journal: Journal,
        seconds: float = 0.0,
        most_seconds: float | None = None,
        pause: float | None = None,
    ) -> None:
        self.loss = loss
        self.folder = folder
        self.limit = limit
        self.journal = journal
        self.trainer: Any = None  # that it belongs to, once there is one
        self.on_begin: Callable[[], None] = lambda: None  # is called when the training begins
        self.saved_step = self.evaluated_step = 0
        self.saved_seconds = seconds
        self.is_at_end_of_epoch = False
        self.is_unscheduled = False  # whether the next checkpoint is one of Ctrl-C
        self.start = time.perf_counter() - seconds
        self.most_seconds = most_seconds
        self.pause = pause

    @property
    def seconds(self) -> float:
        """Time spent on this training, over all processes."""
        return time.perf_counter() - self.start

    @property
    def is_over(self) -> bool:
        """Whether the training has had all its seconds."""
        return self.most_seconds is not None and self.seconds >= self.most_seconds

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.on_begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        check_claims(self.folder)
        if self.is_over and self.saved_step != state.global_step:
            control.should_training_stop = control.should_save = True
            control.should_evaluate = args.eval_strategy != "no"
        control.should_save |= control.should_evaluate
        control.should_log |= control.should_save
        if control.should_save:
            _check_space(self.folder, self.loss)
        elif is_interrupted() and state.global_step < state.max_steps and not _ends_epoch(state):
            self._save_unscheduled(control)  # at the end of an epoch its own checkpoint may follow
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self.on_step_end(args, state, control)
        self.is_at_end_of_epoch = True
        if is_interrupted() and not control.should_save and state.global_step < state.max_steps:
            if self.saved_step == state.global_step:
                raise_interrupt()
            self._save_unscheduled(control)
        return control

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.is_at_end_of_epoch = False

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.evaluated_step = state.global_step

    def _save_unscheduled(self, control: Any) -> None:
        """Let the trainer save without a log line; where there is no room, what was saved before is all there is."""
        try:
            _check_space(self.folder, self.loss)
        except TrainingError as error:
            logger.warning("%s", error)
            raise_interrupt()
        control.should_save = self.is_unscheduled = True

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        path = self.folder / f"checkpoint-{state.global_step}"
        save_loss_state(self.loss, model, path)
        if self.is_unscheduled:
            save_unlogged(self.trainer, path)
        self.saved_seconds = self.seconds
        complete(path, self.saved_seconds)
        remove_unscheduled(self.folder, before=state.global_step)
        if not self.is_unscheduled:
            rotate(self.folder, self.limit, state.best_global_step or 0)
        self.saved_step = state.global_step
        self.note_saved(state.global_step, state.max_steps)
        is_between = _ends_epoch(state) and not self.is_at_end_of_epoch  # an evaluation of the epoch may follow
        if state.global_step < state.max_steps and not is_between:
            raise_interrupt()
        share = share_done(state.global_step, state.max_steps, self.saved_seconds, self.most_seconds)
        is_evaluated = self.evaluated_step == state.global_step
        if self.pause and is_evaluated and share < 1 and is_reached(self.pause, share):
            raise self.paused(state, share)

    def paused(self, state: Any, share: float) -> Paused:
        """What is raised where the training stops after this share of it."""
        seconds = self.saved_seconds if self.saved_step == state.global_step else self.seconds
        return Paused(state.global_step, share, state.best_global_step or 0, seconds)

    def note_saved(self, step: int, max_steps: int) -> None:
        """Say where the training would resume."""
        self.journal.note_saved(f"checkpoint-{step} is saved: step {step} of {max_steps}.")


def _ends_epoch(state: Any) -> bool:
    """Whether the last step was the last one of an epoch."""
    return float(state.epoch).is_integer()


def _check_space(folder: Path, loss: Module) -> None:
    """Raise TrainingError when another checkpoint does not fit on the disk."""
    free, needed = shutil.disk_usage(folder.parent).free, _checkpoint_size(folder, loss)
    if free < needed:
        size, room = f"{needed / 1e6:,.0f} MB", f"{free / 1e6:,.0f} MB"
        raise TrainingError(
            f"The disk is full: a checkpoint of about {size} does not fit into the {room} that are free at {folder}",
            expected=f"{size}: make room, then resume the run; earlier checkpoints are complete",
            note="trainer.save_total_limit is the number of checkpoints that a run keeps.",
            fix=shlex.quote(f"resume={folder.parents[2]}"),
        )


def _checkpoint_size(folder: Path, loss: Module) -> int:
    """Bytes of a checkpoint: those of the last one, or those of the weights and of Adam's states."""
    if found := folders(folder):
        return sum(file.stat().st_size for file in found[-1].rglob("*") if file.is_file())
    # Adam keeps two numbers for each weight that it trains.
    return sum(parameter.nbytes * (1 + 2 * parameter.requires_grad) for parameter in loss.parameters())


class JournalCallback(TrainerCallback):
    """Passes losses, the parts of one that has several, and dev scores to the journal, all under `train/`.

    `dev/` without `train/` is the score of the model that is kept in the end, which need not be the last one.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        counters = ("epoch", "num_input_tokens_seen", "train_tokens_per_second")
        losses = {f"train/{key}": value for key, value in logs.items() if key not in counters}
        self.journal.log_metrics(losses, state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        scores = {f"train/{key}": value for key, value in _dev_metrics(metrics).items()}
        self.journal.log_metrics(scores, state.global_step)


def _dev_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """The evaluators' own metrics among those that the trainer reports, without its prefix.

    >>> _dev_metrics({"eval_dev/sts/spearman_cosine": 0.5, "eval_runtime": 1.0})
    {'dev/sts/spearman_cosine': 0.5}
    """
    return {key.removeprefix("eval_"): float(value) for key, value in metrics.items() if key.startswith("eval_dev/")}


class OnEvaluateCallback(TrainerCallback):
    """Calls `watch` with the step and the primary metric on dev, once it is logged."""

    def __init__(self, watch: Callable[[int, float], None], primary_metric: str) -> None:
        self.watch = watch
        self.primary_metric = primary_metric

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        self.watch(state.global_step, _dev_metrics(metrics)[self.primary_metric])


class BeforeRecordsCallback(TrainerCallback):
    """Calls `look` after a step before anything is logged, evaluated or saved; the last of the trainer's callbacks."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if control.should_log or control.should_evaluate or control.should_save:
            self.look()

    on_epoch_end = on_step_end


class EpochCallback(TrainerCallback):
    """Sets `epoch` (from 0) of the object that makes the batches when an epoch begins or resumes."""

    def __init__(self, maker: Any) -> None:
        self.maker = maker

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.maker.epoch = int(state.epoch or 0)


class ProgressCallback(TrainerCallback):
    """One line on the terminal: steps, time left, last loss, last dev score."""

    def __init__(self, title: str, primary_metric: str) -> None:
        self.title = title
        self.primary_metric = primary_metric
        self.shown: dict[str, str] = {}
        self.bar: Any | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        begin, most = state.global_step, state.max_steps
        self.bar = progress_bar(self.title, most, "step", begin, leave=True, mininterval=0.5)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        self._show(loss=logs.get("loss"))

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        self._show(dev=metrics.get(f"eval_{self.primary_metric}"))

    def close(self) -> None:
        """Leave the line as it is, however the training ended."""
        if self.bar is not None:
            self.bar.close()

    def _show(self, **values: float | None) -> None:
        self.shown.update({key: f"{value:.4f}" for key, value in values.items() if value is not None})
        if self.bar is not None:
            self.bar.set_postfix(self.shown, refresh=False)
