"""Pairs and triplets: how well the similarity of embeddings agrees with scores, labels and the order of texts."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import SHAPES, text_columns
from embexp.errors import DataError
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator, Task
from embexp.evaluation.metrics import Measure
from embexp.evaluation.scores import Scores
from embexp.evaluation.threshold_metrics import accuracies, best_threshold, f1_scores

if TYPE_CHECKING:
    from datasets import Dataset


def cosine(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Cosine of the angle between each pair of rows, in [-1, 1]; 0 where a row is all zeros."""
    lengths = numpy.linalg.norm(first, axis=1) * numpy.linalg.norm(second, axis=1)
    return _dot(first, second) / numpy.where(lengths == 0, 1, lengths)


def _dot(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    return (first * second).sum(axis=1)


def _euclidean(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Negated Euclidean distance of each pair of rows: higher means more similar."""
    return -numpy.linalg.norm(first - second, axis=1)


def _manhattan(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Negated Manhattan distance of each pair of rows: higher means more similar."""
    return -numpy.abs(first - second).sum(axis=1)


FUNCTIONS = {"cosine": cosine, "dot": _dot, "euclidean": _euclidean, "manhattan": _manhattan}


def _check_functions(evaluator: str, names: Sequence[str]) -> None:
    """Raise ConfigError unless the names are of similarity functions, at least one."""
    legal = LegalValues(one_of=tuple(FUNCTIONS), many=True)
    refuse(problems_with("similarity", names, legal, such_as="[cosine]"), under=f"evaluator.{evaluator}")


def similarity_evaluator(
    name: str, dataset: EmbeddingDataset, similarity: Sequence[str], **options: Unpack[EvaluatorOptions]
) -> ExampleEvaluator:
    """Spearman and Pearson correlation of similarity and gold score, for several similarity functions.

    Args:
        dataset: scored pairs.
        similarity: the functions; the first one gives the primary metric (`spearman_<function>`).
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: no similarity function, an unknown one, or an invalid option.
        DataError: no dev or test split, or one with equal gold scores only.
    """
    _check_functions(name, similarity)
    return ExampleEvaluator(name, dataset, _SimilarityTask(similarity), **options)


class _PairTask(Task):
    """Pairs with a true value each: does their similarity predict it?

    Attributes:
        gold: the column of true values, and their type.
        same_meaning: the least true value of a positive pair.
        statistics: of each similarity function, by the first part of the metric's name; the first three are headlines.
    """

    gold: tuple[str, type]
    same_meaning: float
    statistics: Mapping[str, str]

    def __init__(self, similarity: Sequence[str]) -> None:
        self.similarity = tuple(dict.fromkeys(similarity))
        self.measures = tuple(
            Measure(f"{metric}_{function}", statistic, function, "gold")
            for function in self.similarity
            for metric, statistic in self.statistics.items()
        )
        self.headline = tuple(f"{metric}_{self.similarity[0]}" for metric in [*self.statistics][:3])

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        return {column: rows[column][:] for column in ("sentence1", "sentence2")}

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        column, kind = self.gold
        return {**self.texts(rows), "gold": [kind(value) for value in rows[column][:]]}

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        triples = zip(rows["sentence1"][:], rows["sentence2"][:], rows[self.gold[0]][:], strict=True)
        return [(first, second) for first, second, value in triples if value >= self.same_meaning]

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        first, second = vectors["sentence1"], vectors["sentence2"]
        return {name: FUNCTIONS[name](first, second).astype(float) for name in self.similarity}


class _SimilarityTask(_PairTask):
    gold = ("score", float)
    same_meaning = 0.8  # Wang & Isola 2020, STS-B (4 of 5)
    statistics: ClassVar = {"spearman": "spearman", "pearson": "pearson"}

    def check(self, rows: "Dataset", where: str) -> None:
        if len(set(rows["score"][:])) < 2:
            text = f"All gold scores of {where} are equal: there is no correlation"
            raise DataError(text, expected="several gold scores")


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
    _check_functions(name, similarity)
    return ExampleEvaluator(name, dataset, _BinaryTask(similarity), **options)


class _BinaryTask(_PairTask):
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


_MARGIN = "margin_cosine"


def triplet_evaluator(
    name: str, dataset: EmbeddingDataset, similarity: Sequence[str], **options: Unpack[EvaluatorOptions]
) -> ExampleEvaluator:
    """The share of rows whose positive is more similar to the anchor than every negative, and the mean margin.

    The margin is the cosine of anchor and positive minus that of anchor and most similar negative, in [-2, 2]. It still
    separates models that all get nearly every row right.

    Args:
        dataset: triplets, with any number of negatives.
        similarity: the functions; the first one gives the primary metric (`accuracy_<function>`).
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: no similarity function, an unknown one, or an invalid option.
        DataError: no dev or test split, or one without rows.
    """
    _check_functions(name, similarity)
    return ExampleEvaluator(name, dataset, _TripletTask(similarity), **options)


class _TripletTask(Task):
    """Triplets: is the positive nearer than every negative?"""

    def __init__(self, similarity: Sequence[str]) -> None:
        self.similarity = tuple(dict.fromkeys(similarity))
        accuracies = (Measure(f"accuracy_{function}", "mean", f"right_{function}") for function in self.similarity)
        self.measures = (*accuracies, Measure(_MARGIN, "mean", _MARGIN))
        self.headline = (f"accuracy_{self.similarity[0]}", _MARGIN)

    def check(self, rows: "Dataset", where: str) -> None:
        if not rows.num_rows:
            expected = "at least one triplet: split the data anew with dataset.steps.split"
            raise DataError(f"{where} has no rows", expected=expected)

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        """The anchor, the negatives, then the positive: the first and last column are the positive pair."""
        anchor, positive, *negatives = text_columns(SHAPES["triplet"], rows.column_names)
        return {column: rows[column][:] for column in (anchor, *negatives, positive)}

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        return {column: rows[column][:] for column in text_columns(SHAPES["triplet"], rows.column_names)}

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        return [*zip(rows["anchor"][:], rows["positive"][:], strict=True)]

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        right = {f"right_{name}": (_margins(FUNCTIONS[name], vectors) > 0).astype(float) for name in self.similarity}
        return {**right, _MARGIN: _margins(cosine, vectors)}


def _margins(function: Callable, vectors: Mapping[str, numpy.ndarray]) -> numpy.ndarray:
    """Similarity of anchor and positive minus that of anchor and most similar negative, float64 `(rows,)`."""
    anchor, *negatives, positive = vectors.values()
    best_negative = numpy.max([function(anchor, negative) for negative in negatives], axis=0)
    return function(anchor, positive).astype(float) - best_negative
