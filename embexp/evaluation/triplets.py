"""Triplets: whether an anchor's positive is more similar to it than its negatives, and by how much."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy

from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import SHAPES, text_columns
from embexp.errors import DataError
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator, Task
from embexp.evaluation.metrics import Measure
from embexp.evaluation.similarity import FUNCTIONS, check_functions, cosine

if TYPE_CHECKING:
    from datasets import Dataset

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
    check_functions(name, similarity)
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
