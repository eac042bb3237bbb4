"""What trains the weights in a stage: sentence-transformers' trainer with a loss, or another one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embexp.config import instantiate
from embexp.training.stages import StagePlan

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.nn import Module
    from transformers import Trainer, TrainerCallback

DevEvaluation = Callable[["SentenceTransformer", int], dict[str, float]]  # of a model at a step


class Training(Protocol):
    """A model with what is trained along with it, in place.

    Attributes:
        module: gives the loss of a batch; holds all weights that are trained.
    """

    module: "Module"

    def trainer(
        self, evaluate: DevEvaluation | None, primary_metric: str, seed: int, callbacks: "Sequence[TrainerCallback]"
    ) -> "Trainer":
        """The trainer, ready to start.

        Args:
            evaluate: scores a model on the dev splits; None when there are none.
            primary_metric: key of the metric that picks the checkpoint, as `evaluate` spells it.
        """

    def load(self, checkpoint: Path) -> None:
        """Give the model the weights of a checkpoint that the trainer wrote."""


def training_of(plan: StagePlan, model: "SentenceTransformer") -> Training:
    """The training that the stage's loss asks for (`_trained_by_` in its YAML); it may draw weights."""
    return instantiate({"_target_": plan.loss.trained_by}, plan=plan, model=model)
