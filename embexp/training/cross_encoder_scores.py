"""How well a cross-encoder labels dev pairs, by sentence-transformers' own evaluators."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

# By the kind of label; the first one picks the checkpoint. Each class has one label: micro F1 is the accuracy.
METRICS = {
    "score": ("spearman", "pearson"),
    "binary": ("average_precision", "accuracy"),
    "class": ("f1_macro", "f1_micro"),
}
DEV, BASE = "dev/cross_encoder/", "base/cross_encoder/"
Evaluation = Callable[["CrossEncoder", int], dict[str, float]]  # of a model at a step


def primary_metric(kind: str) -> str:
    """The key of the metric that picks the checkpoint.

    >>> primary_metric("score")
    'dev/cross_encoder/spearman'
    """
    return DEV + METRICS[kind][0]


def evaluation_on(dev: "Dataset", kind: str) -> Evaluation:
    """The evaluation on dev pairs (columns sentence1, sentence2, label), with keys as `primary_metric` gives them."""
    from sentence_transformers.cross_encoder.evaluation import (
        CrossEncoderClassificationEvaluator,
        CrossEncoderCorrelationEvaluator,
    )

    judge = CrossEncoderCorrelationEvaluator if kind == "score" else CrossEncoderClassificationEvaluator
    pairs = [*zip(dev["sentence1"][:], dev["sentence2"][:], strict=True)]
    evaluator = judge(pairs, dev["label"][:], show_progress_bar=False, write_csv=False)

    def evaluate(model: "CrossEncoder", step: int) -> dict[str, float]:
        scores = evaluator(model, steps=step)
        return {DEV + name: float(scores[name]) for name in METRICS[kind]}

    return evaluate


def as_untrained(scores: Mapping[str, float]) -> dict[str, float]:
    """Dev scores of the model before training, under keys of their own."""
    return {BASE + key.removeprefix(DEV): value for key, value in scores.items()}


def before_and_after(trainings: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """The untrained and the trained scores by metric, means over trainings; nothing where none was judged.

    >>> before_and_after([{"base/cross_encoder/spearman": 0.0, "dev/cross_encoder/spearman": 0.5, "cost/steps": 9}])
    {'spearman': (0.0, 0.5)}
    """
    names = [key.removeprefix(DEV) for key in trainings[0] if key.startswith(DEV)]
    return {name: tuple(_mean(trainings, when + name) for when in (BASE, DEV)) for name in names}


def _mean(trainings: Sequence[Mapping[str, float]], key: str) -> float:
    return sum(metrics[key] for metrics in trainings) / len(trainings)
