"""A loss on embeddings, trained by sentence-transformers' trainer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.steps.prompting import with_row_prompts
from embexp.training.arguments import column_prompts, training_arguments
from embexp.training.checkpoints import load_weights
from embexp.training.stage_training import DevEvaluation
from embexp.training.stages import StagePlan

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from transformers import TrainerCallback


class EmbeddingTraining:
    """A Training by the loss of the stage; the best checkpoint on dev is the one to keep."""

    def __init__(self, plan: StagePlan, model: "SentenceTransformer") -> None:
        self.plan = plan
        self.model = model
        self.dataset = with_row_prompts(plan.dataset)
        self.module = plan.loss.build(model, self.dataset)

    def trainer(
        self, evaluate: DevEvaluation | None, primary_metric: str, seed: int, callbacks: "Sequence[TrainerCallback]"
    ) -> "SentenceTransformerTrainer":
        """The trainer, which puts the prompts of the data before their texts."""
        from sentence_transformers import SentenceTransformerTrainer

        prompts = column_prompts(self.dataset, self.model)
        card = self.model.model_card_data
        card.widget = [{"text": ""}]  # keeps the trainer from putting training texts there
        trainer = SentenceTransformerTrainer(
            model=self.model,
            args=training_arguments(self.plan, evaluate is not None, primary_metric, seed, prompts),
            train_dataset=self.dataset.training_rows(),
            loss=self.module,
            evaluator=as_sentence_transformers_evaluator(evaluate) if evaluate else None,
            callbacks=[*callbacks],
        )
        card.widget, card.train_datasets = [], []  # the latter holds examples of the training rows
        return trainer

    def load(self, checkpoint: Path) -> None:
        """Give the model the weights of a checkpoint."""
        load_weights(self.model, checkpoint)


def as_sentence_transformers_evaluator(evaluate: DevEvaluation) -> Any:
    """The evaluation as the trainer wants it: sentence-transformers' evaluator class is its extension point."""
    from sentence_transformers.base.evaluation import BaseEvaluator

    class DevEvaluator(BaseEvaluator):
        def __call__(self, model: "SentenceTransformer", *args: Any, steps: int, **kwargs: Any) -> dict[str, float]:
            return evaluate(model, steps)

    return DevEvaluator()
