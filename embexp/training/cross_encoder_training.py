"""One training of a cross-encoder on labelled pairs, in a folder of its own, that goes on where it was stopped."""

import logging
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any

from embexp.models.cross_encoder_base import BASE
from embexp.models.scratch import SCRATCH
from embexp.run_record import status_of
from embexp.tracking.journal import Journal
from embexp.tracking.null_tracker import NullTracker
from embexp.training.checkpoints import best_checkpoint, last_checkpoint, load_weights
from embexp.training.cross_encoder_scores import as_untrained, evaluation_on, primary_metric
from embexp.training.embedding_training import as_sentence_transformers_evaluator
from embexp.training.pair_training import PairTraining
from embexp.training.stage import train_on

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

MODEL = "model"  # in the folder: the trained cross-encoder

logger = logging.getLogger(__name__)


def train_cross_encoder(task: PairTraining) -> None:
    """Train it and keep model, metrics.jsonl and result.json in its folder; nothing is done where it has finished.

    Another process that wants the same is waited for. One that was stopped goes on from its last whole checkpoint.
    """
    from filelock import FileLock

    task.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(task.folder / "training.lock"):
        if status_of(task.folder) == "FINISHED":
            logger.info("The cross-encoder was trained before: %s", task.folder)
            return
        journal = Journal(task.folder, NullTracker(), is_part=True)
        with journal.open(f"cross-encoder/{task.base.name}/{task.seed}", None):
            _train(task, journal)


def _train(task: PairTraining, journal: Journal) -> None:
    from transformers import set_seed

    from embexp.training.checkpoint_callback import CheckpointCallback

    set_seed(task.seed)
    journal.log_params(task.parameters())
    model = task.base.load(task.num_outputs, task.texts, task.folder)
    evaluate = evaluation_on(task.dev, task.kind) if task.dev is not None else None
    untrained = evaluate(model, 0) if evaluate else {}
    journal.log_metrics({f"train/{key}": value for key, value in untrained.items()}, step=0)
    found = last_checkpoint(task.checkpoints)
    loss = _loss(model)
    saving = CheckpointCallback(loss, task.checkpoints, 1, found.seconds if found else 0.0)
    logger.info("Training the cross-encoder %s on %s pairs.", task.base.name, f"{task.train.num_rows:,}")
    state = _run_trainer(task, model, loss, evaluate, saving, journal, found)
    if checkpoint := best_checkpoint(task.checkpoints, state.best_global_step or 0):
        load_weights(model, checkpoint)
    trained = evaluate(model, state.global_step) if evaluate else {}
    model.save_pretrained(str(task.folder / MODEL))
    costs = {"cost/seconds": saving.seconds, "cost/steps": state.global_step}
    journal.log_results(as_untrained(untrained) | trained | costs)
    for made_on_the_way in (task.checkpoints, task.folder / BASE, task.folder / SCRATCH):
        shutil.rmtree(made_on_the_way, ignore_errors=True)


def _run_trainer(
    task: PairTraining, model: "CrossEncoder", loss: Any, evaluate: Any, saving: Any, journal: Journal, found: Any
) -> Any:
    """Train to the end; returns the trainer's state."""
    from sentence_transformers import CrossEncoderTrainer
    from transformers import PrinterCallback

    from embexp.training.callbacks import JournalCallback, ProgressCallback

    progress = ProgressCallback("train cross-encoder", primary_metric(task.kind))
    trainer = CrossEncoderTrainer(
        model=model,
        args=task.arguments(),
        train_dataset=task.train,
        loss=loss,
        evaluator=as_sentence_transformers_evaluator(evaluate) if evaluate else None,
        callbacks=[JournalCallback(journal), progress, saving],
    )
    trainer.remove_callback(PrinterCallback)
    with closing(progress):
        return train_on(trainer, loss, found)


def _loss(model: "CrossEncoder") -> Any:
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss, CrossEntropyLoss

    return BinaryCrossEntropyLoss(model) if model.num_labels == 1 else CrossEntropyLoss(model)
