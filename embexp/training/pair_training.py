"""What a cross-encoder is trained on, how, and where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config import instantiate
from embexp.errors import ConfigError
from embexp.models.cross_encoder_base import CrossEncoderBase
from embexp.training.arguments import check_precision, has_cuda
from embexp.training.cross_encoder_scores import primary_metric

if TYPE_CHECKING:
    from datasets import Dataset

ARGUMENTS = "sentence_transformers.cross_encoder.training_args.CrossEncoderTrainingArguments"


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuse, before anything is trained, arguments and values that sentence-transformers' trainer does not take.

    Raises:
        ConfigError: says which one.
        TrainingError: a precision that the machine does not have.
    """
    check_precision(trainer)
    try:
        instantiate({"_target_": ARGUMENTS, **trainer}, output_dir="never-written", report_to="none")
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value}" for key, value in trainer.items())
        raise ConfigError(
            f"teacher.trainer cannot be what was given: {error}. Expected values of CrossEncoderTrainingArguments; "
            f"given were {given}. Type dataset.steps.silver.teacher.trainer.<key>=<value>."
        ) from error


@dataclass(frozen=True)
class PairTraining:
    """What is trained on what, and where.

    Args:
        train, dev: columns sentence1, sentence2 and label; dev picks the checkpoint, without it the last one stays.
        kind: of the labels: score, binary or class.
        trainer: arguments of sentence-transformers' trainer.
    """

    base: CrossEncoderBase
    train: "Dataset"
    dev: "Dataset | None"
    kind: str
    num_outputs: int
    trainer: Mapping[str, Any]
    seed: int
    folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def texts(self) -> Iterator[str]:
        """All texts to train on."""
        for column in ("sentence1", "sentence2"):
            yield from self.train[column]

    def arguments(self) -> Any:
        """The trainer's arguments: those that were given, and those that follow from the rest."""
        given = {"_target_": ARGUMENTS, **self.trainer}
        if self.dev is None:
            given |= {"eval_strategy": "no"}
        else:
            given |= {"metric_for_best_model": primary_metric(self.kind), "greater_is_better": True}
        return instantiate(
            given,
            output_dir=str(self.checkpoints),
            seed=self.seed,
            report_to="none",
            disable_tqdm=True,
            save_total_limit=None,  # the callback removes old ones once the new one is whole
            dataloader_pin_memory=has_cuda(),
        )

    def parameters(self) -> dict[str, Any]:
        """What is shown of the training."""
        return {
            "model": self.base.name,
            "base_model": self.base.place["id"],
            "max_tokens": self.base.max_tokens,
            "label": self.kind,
            "train_rows": self.train.num_rows,
            "dev_rows": self.dev.num_rows if self.dev is not None else 0,
            "seed": self.seed,
            **{f"trainer.{key}": value for key, value in self.trainer.items()},
        }
