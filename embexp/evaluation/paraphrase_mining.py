"""Paraphrase mining: whether pairs that mean the same are the most similar of all pairs of texts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy

from embexp.core.arguments import COUNT, problems_with, refuse
from embexp.core.nearest_neighbours import nearest
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator, Task
from embexp.evaluation.metrics import Measure
from embexp.evaluation.ranking_metrics import NO_EXAMPLE

if TYPE_CHECKING:
    from datasets import Dataset

_METRIC = "average_precision"
_COLUMNS = {"positive_pair": ("anchor", "positive"), "binary_pair": ("sentence1", "sentence2")}


def paraphrase_mining_evaluator(
    name: str, dataset: EmbeddingDataset, top_k: int, max_pairs: int, **options: Unpack[EvaluatorOptions]
) -> ExampleEvaluator:
    """How well similarity finds the pairs of a split among all pairs of its texts: average precision.

    As in sentence-transformers' ParaphraseMiningEvaluator: the mean over all pairs of the data of the precision down to
    the pair, 0 for a pair that is not found. Each of these pairs is an example.

    Args:
        dataset: positive pairs, or binary pairs, of which those with label 1 are to be found. All texts are encoded
            with the prompt of the first column, since texts of both columns are compared with each other.
        top_k: the number of nearest texts considered for each text.
        max_pairs: the number of most similar pairs considered.
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: lists every invalid argument.
        DataError: no dev or test split, or one without a pair to find.
    """
    problems = (
        *problems_with("top_k", top_k, COUNT, such_as=100),
        *problems_with("max_pairs", max_pairs, COUNT, such_as=500_000),
    )
    refuse(problems, under=f"evaluator.{name}")
    return ExampleEvaluator(name, dataset, _ParaphraseMiningTask(dataset.shape.name, top_k, max_pairs), **options)


class _ParaphraseMiningTask(Task):
    """Pairs of texts that mean the same: are they more similar than all other pairs?"""

    measures = (Measure(_METRIC, "mean", _METRIC),)
    headline = (_METRIC,)

    def __init__(self, shape: str, top_k: int, max_pairs: int) -> None:
        self.columns = _COLUMNS[shape]
        self.top_k = top_k
        self.max_pairs = max_pairs

    def check(self, rows: "Dataset", where: str) -> None:
        if not self._gold(rows):
            text = f"{where} has no pair of two different texts that mean the same"
            raise DataError(text, expected="at least one to find")

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        return {self.columns[0]: [*dict.fromkeys(text for column in self.columns for text in rows[column][:])]}

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        first, second = zip(*self._gold(rows), strict=True)
        return {"first": first, "second": second}

    def example_of(self, rows: "Dataset") -> Sequence[int]:
        number = {pair: number for number, pair in enumerate(self._gold(rows))}
        return [number[pair] if pair else NO_EXAMPLE for pair in self._pairs(rows)]

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        return self._gold(rows)

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        place = {text: place for place, text in enumerate(self.texts(rows)[self.columns[0]])}
        gold = [(place[first], place[second]) for first, second in self._gold(rows)]
        pairs = _most_similar_pairs(vectors[self.columns[0]], self.top_k, self.max_pairs)
        return {_METRIC: _precision_at_pairs(gold, *pairs)}

    def _gold(self, rows: "Dataset") -> list[tuple[str, str]]:
        """The distinct pairs to be found, in the order of the rows."""
        return [*dict.fromkeys(filter(None, self._pairs(rows)))]

    def _pairs(self, rows: "Dataset") -> list[tuple[str, str] | None]:
        """The pair of each row, its texts in alphabetical order; None if they differ in meaning or are equal."""
        labels = rows["label"][:] if "label" in rows.column_names else [1] * rows.num_rows
        texts = zip(*(rows[column][:] for column in self.columns), strict=True)
        return [
            (min(pair), max(pair)) if label == 1 and pair[0] != pair[1] else None
            for pair, label in zip(texts, labels, strict=True)
        ]


def _most_similar_pairs(vectors: numpy.ndarray, top_k: int, max_pairs: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The pairs of places with the highest cosine, best first, `(pairs, 2)`, lower place first; and their cosines."""
    each = numpy.arange(len(vectors))
    found = nearest(vectors, vectors, top_k, "cosine", excluded=each)
    first, second = numpy.repeat(each, found.places.shape[1]), found.places.ravel()
    known = second >= 0
    low, high = numpy.minimum(first, second)[known], numpy.maximum(first, second)[known]
    _, distinct = numpy.unique(low * len(vectors) + high, return_index=True)
    pairs, scores = numpy.stack([low, high], axis=1)[distinct], found.scores.ravel()[known][distinct]
    order = numpy.argsort(-scores, kind="stable")[:max_pairs]
    return pairs[order], scores[order]


def _precision_at_pairs(gold: Sequence[tuple[int, int]], pairs: numpy.ndarray, scores: numpy.ndarray) -> numpy.ndarray:
    """For each pair to be found the precision down to it (and pairs with its score), 0 where it was not found."""
    number = {(min(pair), max(pair)): number for number, pair in enumerate(gold)}
    numbers = numpy.array([number.get((low, high), -1) for low, high in pairs.tolist()], dtype=int)
    last = numpy.searchsorted(-scores, -scores, side="right") - 1  # of the pairs with the same score
    precision = (numpy.cumsum(numbers >= 0) / (numpy.arange(len(pairs)) + 1))[last]
    values = numpy.zeros(len(gold))
    values[numbers[numbers >= 0]] = precision[numbers >= 0]
    return values
