"""One stage of a run: sentence-transformers' trainer with our data, loss, evaluation and journal."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config import instantiate
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import TrainingError
from embexp.losses.spec import LossSpec
from embexp.steps.prompting import with_row_prompts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embexp.tracking.journal import Journal

logger = logging.getLogger(__name__)
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


@dataclass(frozen=True)
class StageResult:
    """What a stage left: the model in its folder, the chosen checkpoint, steps and cost."""

    model_path: Path
    checkpoint: Path | None
    best_step: int
    num_steps: int
    seconds: float
    rows_per_second: float


def train_stage(
    plan: StagePlan,
    model: "SentenceTransformer",
    evaluate: DevEvaluation | None,
    primary_metric: str,
    journal: "Journal",
    seed: int,
) -> StageResult:
    """Train the model in place and save it; the best checkpoint by the primary metric is the one kept.

    Args:
        evaluate: scores the model on the dev splits (`dev/<evaluator>/<metric>`); None when there are none,
            then the last state is kept.
        primary_metric: key of the metric that picks the checkpoint, as `evaluate` spells it.

    Raises:
        TrainingError: the loss is not a number, or the training arguments do not fit the machine.
    """
    from sentence_transformers import SentenceTransformerTrainer
    from transformers import PrinterCallback

    from embexp.training.callbacks import JournalCallback, ProgressCallback, best_checkpoint

    dataset = with_row_prompts(plan.dataset)
    prompts = column_prompts(dataset, model)
    arguments = training_arguments(plan, evaluate is not None, primary_metric, seed, prompts)
    card = model.model_card_data
    card.widget = [{"text": ""}]  # keeps the trainer from putting training texts there
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset.training_rows(),
        loss=plan.loss.build(model, dataset),
        evaluator=as_sentence_transformers_evaluator(evaluate) if evaluate else None,
        callbacks=[JournalCallback(journal, plan.name), ProgressCallback(f"train {plan.name}", primary_metric)],
    )
    card.widget, card.train_datasets = [], []  # the latter holds examples of the training rows
    trainer.remove_callback(PrinterCallback)
    start = time.perf_counter()
    outcome = trainer.train()
    seconds = time.perf_counter() - start
    checkpoint = best_checkpoint(trainer.state, plan.folder / "checkpoints")
    model_path = plan.folder / "model"
    model.save_pretrained(str(model_path))
    result = StageResult(
        model_path=model_path,
        checkpoint=checkpoint,
        best_step=int(checkpoint.name.rpartition("-")[2]) if checkpoint else outcome.global_step,
        num_steps=outcome.global_step,
        seconds=seconds,
        rows_per_second=outcome.metrics["train_samples_per_second"],
    )
    (plan.folder / "done").write_text(json.dumps(result.__dict__, default=str), encoding="utf-8")
    return result


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
    given = dict(plan.trainer)
    if not evaluates:
        given |= {"eval_strategy": "no"}
    strategy = given.get("eval_strategy", "no")
    runtime = {
        "output_dir": str(plan.folder / "checkpoints"),
        "seed": seed,
        "batch_sampler": plan.loss.batch_sampler,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": has_cuda(),
        "prompts": dict(prompts) if prompts else None,
    }
    if strategy != "no":
        runtime |= {
            "save_strategy": strategy,
            "save_steps": given.get("eval_steps", 0.2),
            "load_best_model_at_end": True,
            "metric_for_best_model": primary_metric,
            "greater_is_better": True,
        }
    else:
        runtime |= {"save_strategy": "no"}
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
