"""Semantic textual similarity: how well the similarity of two embeddings correlates with a gold score."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator
from embexp.evaluation.metrics import Measure

if TYPE_CHECKING:
    from datasets import Dataset

_SAME_MEANING = 0.8  # two texts with this gold score or more are a positive pair; Wang & Isola 2020, STS-B (4 of 5)


def cosine(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Cosine of the angle between each pair of rows, in [-1, 1]; 0 where a row is all zeros."""
    lengths = numpy.linalg.norm(first, axis=1) * numpy.linalg.norm(second, axis=1)
    return _dot(first, second) / numpy.where(lengths == 0, 1, lengths)


def _dot(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Inner product of each pair of rows."""
    return (first * second).sum(axis=1)


def _euclidean(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Negated Euclidean distance of each pair of rows: higher means more similar."""
    return -numpy.linalg.norm(first - second, axis=1)


def _manhattan(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Negated Manhattan distance of each pair of rows: higher means more similar."""
    return -numpy.abs(first - second).sum(axis=1)


FUNCTIONS = {"cosine": cosine, "dot": _dot, "euclidean": _euclidean, "manhattan": _manhattan}
_CORRELATIONS = ("spearman", "pearson")


def check_functions(evaluator: str, names: Sequence[str]) -> None:
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
    check_functions(name, similarity)
    return ExampleEvaluator(name, dataset, _SimilarityTask(similarity), **options)


class _SimilarityTask:
    """Scored pairs: does their similarity correlate with the gold score?"""

    def __init__(self, similarity: Sequence[str]) -> None:
        self.similarity = tuple(similarity)
        self.measures = tuple(
            Measure(f"{correlation}_{function}", correlation, function, "gold")
            for function in self.similarity
            for correlation in _CORRELATIONS
        )
        self.headline = tuple(f"{correlation}_{self.similarity[0]}" for correlation in _CORRELATIONS)

    def check(self, rows: "Dataset", where: str) -> None:
        """Raise DataError when all gold scores are equal."""
        if len(set(rows["score"][:])) < 2:
            raise DataError(
                f"All gold scores of {where} are equal: there is no correlation", expected="several gold scores"
            )

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        return {column: rows[column][:] for column in ("sentence1", "sentence2")}

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        return {**self.texts(rows), "gold": [float(score) for score in rows["score"][:]]}

    def example_of(self, rows: "Dataset") -> Sequence[int]:
        return range(rows.num_rows)

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        triples = zip(rows["sentence1"][:], rows["sentence2"][:], rows["score"][:], strict=True)
        return [(first, second) for first, second, score in triples if score >= _SAME_MEANING]

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        first, second = vectors["sentence1"], vectors["sentence2"]
        return {name: FUNCTIONS[name](first, second).astype(float) for name in self.similarity}
