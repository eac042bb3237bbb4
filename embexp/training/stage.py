"""One stage of a run: a trainer with our data, evaluation, checkpoints and journal."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from embexp.errors import TrainingError
from embexp.models.network import save_model
from embexp.training.checkpoints import (
    TRAINER_STATE,
    Checkpoint,
    best_checkpoint,
    last_checkpoint,
    load_loss_state,
    step_of,
)
from embexp.training.embedding_training import DevEvaluation, training_of
from embexp.training.loss_watch import LossWatch
from embexp.training.stages import StagePlan, StageResult, seconds_before

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embexp.tracking.journal import Journal


@contextmanager
def telling_what_fits(trainer: Mapping[str, Any]) -> Iterator[None]:
    """Raise TrainingError where torch runs out of memory: it says so in numbers that nobody can type.

    Args:
        trainer: the trainer YAML, with the batch that was too large.
    """
    from torch import OutOfMemoryError

    try:
        yield
    except OutOfMemoryError as error:
        rows = trainer["per_device_train_batch_size"]
        raise TrainingError(
            f"The GPU's memory is full with batches of {rows} rows ({str(error).partition('. ')[0]}). Expected batches "
            f"that fit: type trainer.per_device_train_batch_size={max(1, rows // 2)}, model.max_seq_length=128 for "
            "shorter texts, or loss=cached_mnrl, whose memory does not grow with the batch. Workers that share a GPU "
            "(sweep.gpus) share its memory, too."
        ) from error


logger = logging.getLogger(__name__)
OnEvaluate = Callable[[int, float], None]  # takes a step and the primary metric on dev there; may raise Pruned


def train_stage(
    plan: StagePlan,
    model: "SentenceTransformer",
    evaluate: DevEvaluation | None,
    primary_metric: str,
    journal: "Journal",
    seed: int,
    merges_adapter: bool = False,
    on_evaluate: OnEvaluate | None = None,
) -> StageResult:
    """Train the model in place and save it; the best checkpoint by the primary metric is the one kept.

    Where an earlier process left checkpoints, the training goes on from the last whole one: on a CPU to the same
    weights, bit for bit, as without the break.

    Args:
        evaluate: scores the model of a step on the dev splits (`dev/<evaluator>/<metric>`); None when there are none,
            then the last state is kept.
        primary_metric: key of the metric that picks the checkpoint, as `evaluate` spells it.
        merges_adapter: put the trained adapter into the weights, so that the saved model has none.
        on_evaluate: is called with step and primary metric after each evaluation.

    Raises:
        Pruned: `on_evaluate` has stopped the training.
        TrainingError: the loss is not a number, or the training does not fit the machine.
    """
    from transformers import PrinterCallback, set_seed

    from embexp.training.callbacks import CheckpointCallback, JournalCallback, OnEvaluateCallback, ProgressCallback

    set_seed(seed)  # a loss may draw weights of its own, and a resumed run has drawn less before it
    training = training_of(plan, model)
    loss, limit = training.module, plan.trainer.get("save_total_limit")
    found = last_checkpoint(plan.checkpoints)
    saving = CheckpointCallback(loss, plan.checkpoints, limit, seconds_before(plan))
    progress = ProgressCallback(f"train {plan.name}", primary_metric)
    evaluated = [OnEvaluateCallback(on_evaluate, primary_metric)] if on_evaluate else []
    callbacks = (JournalCallback(journal), *evaluated, progress, saving)
    trainer = training.trainer(evaluate, primary_metric, seed, callbacks)
    trainer.remove_callback(PrinterCallback)
    with LossWatch(trainer, loss, plan.dataset), closing(progress), telling_what_fits(plan.trainer):
        state = train_on(trainer, loss, found)
    checkpoint = best_checkpoint(plan.checkpoints, state.best_global_step or 0)
    if checkpoint:
        training.load(checkpoint)
    result = StageResult(
        folder=plan.folder,
        best_step=step_of(checkpoint) if checkpoint else state.global_step,
        num_steps=state.global_step,
        seconds=saving.seconds,
        rows_per_second=state.epoch * plan.dataset.splits["train"].num_rows / saving.seconds,
        was_chosen=state.best_global_step is not None,
    )
    save_model(model, result.model_path, merges_adapter)
    result.write()
    return result


def train_on(trainer: Any, loss: Any, found: Checkpoint | None) -> Any:
    """Train from the checkpoint, or from the start where there is none; returns the trainer's state at the end."""
    from transformers import TrainerState

    if found is None:
        trainer.train()
        return trainer.state
    load_loss_state(loss, found.path)
    logger.info("Going on from %s: step %s of %s.", found.path.name, found.step, found.max_steps)
    if found.step >= found.max_steps:  # the trainer would do one step more
        return TrainerState.load_from_json(str(found.path / TRAINER_STATE))
    trainer.train(resume_from_checkpoint=str(found.path))
    return trainer.state
