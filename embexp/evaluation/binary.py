"""Binary classification of pairs: how well the similarity of embeddings separates label 1 from label 0."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator
from embexp.evaluation.scores import Scores
from embexp.evaluation.similarity import PairTask, check_functions
from embexp.evaluation.threshold_metrics import accuracies, best_threshold, f1_scores

if TYPE_CHECKING:
    from datasets import Dataset

_STATISTICS = {"ap": "average_precision", "accuracy": "best_accuracy", "f1": "best_f1", "roc_auc": "roc_auc"}
_GOODNESS_OF = {"best_accuracy": accuracies, "best_f1": f1_scores}


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


class _BinaryTask(PairTask):
    gold = ("label", int)
    same_meaning = 1
    statistics = _STATISTICS

    def check(self, rows: "Dataset", where: str) -> None:
        labels = {int(label) for label in rows["label"][:]}
        if missing := [label for label in (0, 1) if label not in labels]:
            raise DataError(
                f"{where} has no pair of label {' or '.join(map(str, missing))}",
                expected="pairs of label 1 and of label 0, or an evaluator that reads positive pairs alone",
                fix="evaluator=[paraphrase_mining]" if missing == [0] else (),
            )


def thresholds_of(scores: Scores) -> dict[str, float]:
    """The best thresholds of accuracy and F1: `accuracy_threshold_<function>`, `f1_threshold_<function>`.

    A pair at or above the threshold counts as alike. Thresholds are not metrics: none is better than another. Those of
    distances are negated, as the similarities are.
    """
    columns, found = scores.columns, {}
    for measure in scores.measures:
        if measure.statistic in _GOODNESS_OF and measure.where is None:
            metric, _, function = measure.name.partition("_")
            compared = columns[measure.gold], columns[measure.predicted]
            found[f"{metric}_threshold_{function}"] = best_threshold(*compared, _GOODNESS_OF[measure.statistic])
    return found
