"""Semantic textual similarity: how well the similarity of two embeddings correlates with a gold score."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator, Task
from embexp.evaluation.metrics import Measure

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


class PairTask(Task):
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


class _SimilarityTask(PairTask):
    gold = ("score", float)
    same_meaning = 0.8  # Wang & Isola 2020, STS-B (4 of 5)
    statistics: ClassVar = {"spearman": "spearman", "pearson": "pearson"}

    def check(self, rows: "Dataset", where: str) -> None:
        if len(set(rows["score"][:])) < 2:
            text = f"All gold scores of {where} are equal: there is no correlation"
            raise DataError(text, expected="several gold scores")
