"""One stage of a run: sentence-transformers' trainer with our data, loss, evaluation and journal."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config import instantiate
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import TrainingError
from embexp.losses.spec import LossSpec
from embexp.models.saving import save_model
from embexp.run_record import write_json
from embexp.steps.prompting import with_row_prompts
from embexp.training.checkpoints import (
    TRAINER_STATE,
    Checkpoint,
    best_checkpoint,
    last_checkpoint,
    load_loss_state,
    load_weights,
    step_of,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embexp.tracking.journal import Journal

logger = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"
DONE = "done"  # the mark of a finished stage: what it left, as JSON
DevEvaluation = Callable[["SentenceTransformer"], dict[str, float]]


@dataclass(frozen=True)
class StagePlan:
    """A training that was checked and can start.

    Attributes:
        dataset: converted to a shape that the loss accepts.
        trainer: the trainer YAML: sentence-transformers' training arguments.
        folder: where checkpoints, the trained model and the mark `done` go.
    """

    name: str
    dataset: EmbeddingDataset
    loss: LossSpec
    trainer: Mapping[str, Any]
    folder: Path

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / CHECKPOINTS


@dataclass(frozen=True)
class StageResult:
    """What a stage left in its folder, after how many steps, and what it cost."""

    folder: Path
    best_step: int
    num_steps: int
    seconds: float
    rows_per_second: float

    @property
    def model_path(self) -> Path:
        """The trained model."""
        return self.folder / "model"

    @property
    def checkpoint(self) -> Path | None:
        """The chosen checkpoint, None where none was saved."""
        path = self.folder / CHECKPOINTS / f"checkpoint-{self.best_step}"
        return path if path.is_dir() else None

    def write(self) -> None:
        """Mark the stage as finished."""
        content = asdict(self)
        del content["folder"]
        write_json(self.folder / DONE, content)


def finished_stage(folder: Path) -> StageResult | None:
    """What a stage left that was finished before; None when it was not."""
    path = folder / DONE
    return StageResult(folder, **json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def seconds_before(plan: StagePlan) -> float:
    """Time that earlier processes spent on a stage's training, as far as it counts."""
    left = finished_stage(plan.folder) or last_checkpoint(plan.checkpoints)
    return left.seconds if left else 0.0


def train_stage(
    plan: StagePlan,
    model: "SentenceTransformer",
    evaluate: DevEvaluation | None,
    primary_metric: str,
    journal: "Journal",
    seed: int,
    merges_adapter: bool = False,
) -> StageResult:
    """Train the model in place and save it; the best checkpoint by the primary metric is the one kept.

    Where an earlier process left checkpoints, the training goes on from the last whole one: on a CPU to the same
    weights, bit for bit, as without the break.

    Args:
        evaluate: scores the model on the dev splits (`dev/<evaluator>/<metric>`); None when there are none,
            then the last state is kept.
        primary_metric: key of the metric that picks the checkpoint, as `evaluate` spells it.
        merges_adapter: put the trained adapter into the weights, so that the saved model has none.

    Raises:
        TrainingError: the loss is not a number, or the training arguments do not fit the machine.
    """
    from sentence_transformers import SentenceTransformerTrainer
    from transformers import PrinterCallback, set_seed

    from embexp.training.callbacks import JournalCallback, ProgressCallback
    from embexp.training.checkpoint_callback import CheckpointCallback

    set_seed(seed)  # a loss may draw weights of its own, and a resumed run has drawn less before it
    dataset = with_row_prompts(plan.dataset)
    loss = plan.loss.build(model, dataset)
    found = last_checkpoint(plan.checkpoints)
    saving = CheckpointCallback(loss, plan.checkpoints, plan.trainer.get("save_total_limit"), seconds_before(plan))
    card = model.model_card_data
    card.widget = [{"text": ""}]  # keeps the trainer from putting training texts there
    trainer = SentenceTransformerTrainer(
        model=model,
        args=training_arguments(plan, evaluate is not None, primary_metric, seed, column_prompts(dataset, model)),
        train_dataset=dataset.training_rows(),
        loss=loss,
        evaluator=as_sentence_transformers_evaluator(evaluate) if evaluate else None,
        callbacks=[JournalCallback(journal, plan.name), ProgressCallback(f"train {plan.name}", primary_metric), saving],
    )
    card.widget, card.train_datasets = [], []  # the latter holds examples of the training rows
    trainer.remove_callback(PrinterCallback)
    state = train_on(trainer, loss, found)
    checkpoint = best_checkpoint(plan.checkpoints, state.best_global_step or 0)
    if checkpoint:
        load_weights(model, checkpoint)
    result = StageResult(
        folder=plan.folder,
        best_step=step_of(checkpoint) if checkpoint else state.global_step,
        num_steps=state.global_step,
        seconds=saving.seconds,
        rows_per_second=state.epoch * dataset.splits["train"].num_rows / saving.seconds,
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


def column_prompts(dataset: EmbeddingDataset, model: "SentenceTransformer") -> dict[str, str]:
    """The prompt of each text column that has one: the data set's, else the model's default one.

    sentence-transformers puts the model's default prompt before the texts that it encodes, but not before those that
    it trains on: a model would be trained without the prompt that it is judged with.
    """
    default = model.prompts.get(model.default_prompt_name) or ""
    own = {column: dataset.prompts.of(column) for column in dataset.text_columns}
    if default and None in own.values():
        logger.info("The data name no prompts: training puts the model's own %r before every text.", default)
    prompts = {column: default if prompt is None else prompt for column, prompt in own.items()}
    return {column: prompt for column, prompt in prompts.items() if prompt}


def training_arguments(
    plan: StagePlan, evaluates: bool, primary_metric: str, seed: int, prompts: Mapping[str, str] | None = None
) -> Any:
    """sentence-transformers' training arguments: those of the YAML, and those that only a run knows."""
    given = dict(plan.trainer) | {"save_total_limit": None}  # the callback removes old ones once the new one is whole
    if not evaluates:
        given |= {"eval_strategy": "no"}
    runtime = {
        "output_dir": str(plan.checkpoints),
        "seed": seed,
        "batch_sampler": plan.loss.batch_sampler,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": has_cuda(),
        "prompts": dict(prompts) if prompts else None,
    }
    if given.get("eval_strategy", "no") != "no":
        runtime |= {"metric_for_best_model": primary_metric, "greater_is_better": True}
    return instantiate(given, **{key: value for key, value in runtime.items() if key not in given})


def precision_misfits(trainer: Mapping[str, Any]) -> list[str]:
    """Why the asked precision cannot be had on this machine; empty when it can.

    sentence-transformers takes `fp16` on a CPU without a word and trains in single precision.
    """
    import torch

    cuda = torch.cuda.is_available()
    misfits = []
    if trainer.get("fp16") and not cuda:
        misfits.append("trainer.fp16=true needs a GPU and has no effect on a CPU. Type trainer.fp16=false.")
    if trainer.get("bf16") and cuda and not torch.cuda.is_bf16_supported():
        misfits.append("trainer.bf16=true: this GPU does not know bfloat16. Type trainer.bf16=false trainer.fp16=true.")
    if trainer.get("bf16") and not cuda:
        misfits.append(
            "trainer.bf16=true on a CPU trains in half precision and is slower, not faster. "
            "Type trainer.bf16=false (trainer=gpu is for machines with a GPU)."
        )
    return misfits


def check_precision(trainer: Mapping[str, Any]) -> None:
    """Raise TrainingError when the asked precision cannot be had on this machine."""
    if misfits := precision_misfits(trainer):
        raise TrainingError("\n".join(misfits))


def has_cuda() -> bool:
    """Whether there is a GPU that torch can use."""
    import torch

    return torch.cuda.is_available()


def as_sentence_transformers_evaluator(evaluate: DevEvaluation) -> Any:
    """The evaluation as the trainer wants it: sentence-transformers' evaluator class is its extension point."""
    from sentence_transformers.base.evaluation import BaseEvaluator

    class DevEvaluator(BaseEvaluator):
        def __call__(self, model: "SentenceTransformer", *args: Any, **kwargs: Any) -> dict[str, float]:
            return evaluate(model)

    return DevEvaluator()
