"""The arguments that a trainer gets: those of the YAML, and those that only a run knows."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from embexp.config import instantiate, parameters_of
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import TrainingError
from embexp.training.stages import StagePlan

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


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
    plan: StagePlan, evaluates: bool, primary_metric: str | None, seed: int, prompts: Mapping[str, str] | None = None
) -> Any:
    """The trainer's arguments: those of the YAML, and those that only a run knows, as far as their class takes them.

    Args:
        primary_metric: picks the checkpoint; None: the last one is kept.
    """
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
        "remove_unused_columns": False,  # the columns are those that the loss reads
        "prompts": dict(prompts) if prompts else None,
    }
    if given.get("eval_strategy", "no") != "no" and primary_metric:
        runtime |= {"metric_for_best_model": primary_metric, "greater_is_better": True}
    known = parameters_of(given["_target_"]) or ()
    return instantiate(given, **{key: value for key, value in runtime.items() if key not in given and key in known})


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
