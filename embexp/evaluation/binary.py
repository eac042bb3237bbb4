"""Binary classification of pairs: how well the similarity of embeddings separates label 1 from label 0."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy

from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator
from embexp.evaluation.metrics import Measure
from embexp.evaluation.scores import Scores
from embexp.evaluation.similarity import FUNCTIONS, check_functions
from embexp.evaluation.threshold_metrics import accuracies, best_threshold, f1_scores

if TYPE_CHECKING:
    from datasets import Dataset

_STATISTIC_OF = {"ap": "average_precision", "accuracy": "best_accuracy", "f1": "best_f1", "roc_auc": "roc_auc"}
_GOODNESS_OF = {"best_accuracy": accuracies, "best_f1": f1_scores}
_LABELS = (0, 1)


def binary_evaluator(
    name: str, dataset: EmbeddingDataset, similarity: Sequence[str], **options: Unpack[EvaluatorOptions]
) -> ExampleEvaluator:
    """Average precision, ROC AUC, and accuracy and F1 at their best threshold, for several similarity functions.

    Accuracy and F1 use the best threshold on the evaluated pairs, chosen anew in every resample: good for comparing
    models, but a little higher than with a threshold chosen beforehand.

    Args:
        dataset: pairs with label 1 (alike) or 0.
        similarity: the functions; the first one gives the primary metric (`ap_<function>`).
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: no similarity function, an unknown one, or an invalid option.
        DataError: no dev or test split, or one with a single label.
    """
    check_functions(name, similarity)
    return ExampleEvaluator(name, dataset, _BinaryTask(similarity), **options)


class _BinaryTask:
    """Pairs that are alike or not: does their similarity separate them?"""

    def __init__(self, similarity: Sequence[str]) -> None:
        self.similarity = tuple(dict.fromkeys(similarity))
        self.measures = tuple(
            Measure(f"{metric}_{function}", statistic, function, "gold")
            for function in self.similarity
            for metric, statistic in _STATISTIC_OF.items()
        )
        self.headline = tuple(f"{metric}_{self.similarity[0]}" for metric in ("ap", "accuracy", "f1"))

    def check(self, rows: "Dataset", where: str) -> None:
        """Raise DataError when a label is missing."""
        labels = {int(label) for label in rows["label"][:]}
        if missing := [label for label in _LABELS if label not in labels]:
            raise DataError(
                f"{where} has no pair of label {' or '.join(map(str, missing))}",
                expected="pairs of label 1 and of label 0, or an evaluator that reads positive pairs alone",
                fix=("evaluator.<name>.dataset=<other data>", "evaluator=[paraphrase_mining]"),
            )

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        return {column: rows[column][:] for column in ("sentence1", "sentence2")}

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        return {**self.texts(rows), "gold": [int(label) for label in rows["label"][:]]}

    def example_of(self, rows: "Dataset") -> Sequence[int]:
        return range(rows.num_rows)

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        triples = zip(rows["sentence1"][:], rows["sentence2"][:], rows["label"][:], strict=True)
        return [(first, second) for first, second, label in triples if label == 1]

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        first, second = vectors["sentence1"], vectors["sentence2"]
        return {name: FUNCTIONS[name](first, second).astype(float) for name in self.similarity}


def thresholds_of(scores: Scores) -> dict[str, float]:
    """The best thresholds of accuracy and F1: `accuracy_threshold_<function>`, `f1_threshold_<function>`.

    A pair at or above the threshold counts as alike. Thresholds are not metrics: none is better than another. Those of
    distances are negated, as the similarities are.
    """
    columns, found = scores.columns, {}
    for measure in scores.measures:
        if measure.statistic in _GOODNESS_OF and measure.where is None:
            metric, _, function = measure.name.partition("_")
            goodness = _GOODNESS_OF[measure.statistic]
            threshold = best_threshold(columns[measure.gold], columns[measure.predicted], goodness)
            found[f"{metric}_threshold_{function}"] = threshold
    return found
