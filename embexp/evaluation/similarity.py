"""Semantic textual similarity: how well the similarity of two embeddings follows a gold score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, DataError, did_you_mean, listed
from embexp.evaluation.scores import Difference, Scores
from embexp.evaluation.significance import bootstrap_difference
from embexp.protocols import Encoder

if TYPE_CHECKING:
    import numpy


def cosine(first: "numpy.ndarray", second: "numpy.ndarray") -> "numpy.ndarray":
    """Cosine of the angle between each pair of rows, in [-1, 1]; 0 where a row is all zeros."""
    import numpy

    lengths = numpy.linalg.norm(first, axis=1) * numpy.linalg.norm(second, axis=1)
    return dot(first, second) / numpy.where(lengths == 0, 1, lengths)


def dot(first: "numpy.ndarray", second: "numpy.ndarray") -> "numpy.ndarray":
    """Inner product of each pair of rows."""
    return (first * second).sum(axis=1)


def euclidean(first: "numpy.ndarray", second: "numpy.ndarray") -> "numpy.ndarray":
    """Negated Euclidean distance of each pair of rows: higher means more similar."""
    import numpy

    return -numpy.linalg.norm(first - second, axis=1)


def manhattan(first: "numpy.ndarray", second: "numpy.ndarray") -> "numpy.ndarray":
    """Negated Manhattan distance of each pair of rows: higher means more similar."""
    import numpy

    return -numpy.abs(first - second).sum(axis=1)


FUNCTIONS = {function.__name__: function for function in (cosine, dot, euclidean, manhattan)}
CORRELATIONS = ("spearman", "pearson")


class SimilarityEvaluator:
    """Spearman and Pearson correlation of similarity and gold score, for several similarity functions.

    Args:
        name: the evaluator's name in metric keys.
        dataset: scored pairs with a split dev or test.
        similarity: which functions, the first one gives the primary metric (`spearman_<function>`).
        resamples: how many bootstrap resamples make an interval.

    Raises:
        ConfigError: no similarity function, one that is not known, or no resamples.
        DataError: no dev or test split, or one whose gold scores are all equal.
    """

    def __init__(self, name: str, dataset: EmbeddingDataset, similarity: Sequence[str], resamples: int) -> None:
        if not similarity or resamples < 1:
            raise ConfigError(
                f"evaluator.{name} has similarity={list(similarity)} and resamples={resamples}. "
                f"Expected at least one of {listed(FUNCTIONS)}, and 1 or more resamples (2000 is usual)."
            )
        for function in similarity:
            if function not in FUNCTIONS:
                raise ConfigError(
                    f"evaluator.{name}.similarity names {function!r}. Expected some of: {listed(FUNCTIONS)}. "
                    f"{did_you_mean(function, FUNCTIONS)}".strip()
                )
        self.name = name
        self.dataset = dataset
        self.similarity = tuple(similarity)
        self.resamples = resamples
        self.primary_metric = f"spearman_{self.similarity[0]}"
        self.headline_metrics = tuple(f"{correlation}_{self.similarity[0]}" for correlation in CORRELATIONS)
        self.splits = tuple(split for split in ("dev", "test") if split in dataset.splits)
        self._check()

    def _check(self) -> None:
        if not self.splits:
            raise DataError(
                f"evaluator={self.name} reads {self.dataset.name}, which has neither a dev nor a test split "
                f"(it has: {listed(self.dataset.splits)}). Expected one: split it with dataset.steps.split, "
                "or choose evaluator=stsb."
            )
        for split in self.splits:
            if len(set(self.dataset.splits[split]["score"][:])) < 2:
                raise DataError(
                    f"All gold scores of {self.dataset.name}/{split} are equal: no correlation can be measured."
                )

    @property
    def metric_names(self) -> tuple[str, ...]:
        """spearman_cosine, pearson_cosine, spearman_dot ..."""
        return tuple(f"{correlation}_{function}" for function in self.similarity for correlation in CORRELATIONS)

    def score(self, encoder: Encoder, split: str) -> Scores:
        """Metrics and per-example scores on a split; every distinct text is encoded once."""
        import numpy
        from scipy.stats import pearsonr, spearmanr

        rows = self.dataset.splits[split]
        first, second = rows["sentence1"][:], rows["sentence2"][:]
        gold = numpy.asarray(rows["score"][:], dtype=float)
        vectors = encoder.encode(first + second)
        predicted = {
            function: FUNCTIONS[function](vectors[: len(first)], vectors[len(first) :]).astype(float)
            for function in self.similarity
        }
        correlate = {"spearman": spearmanr, "pearson": pearsonr}
        metrics = {
            f"{correlation}_{function}": float(correlate[correlation](gold, predicted[function]).statistic)
            for function in self.similarity
            for correlation in CORRELATIONS
        }
        return Scores(split, (first, second), gold, predicted, metrics)

    def compare(self, base: Scores, trained: Scores) -> list[Difference]:
        """Trained minus base of every metric, with a paired-bootstrap 95 % interval."""
        return [
            Difference(
                f"{correlation}_{function}",
                base.metrics[f"{correlation}_{function}"],
                trained.metrics[f"{correlation}_{function}"],
                *bootstrap_difference(
                    correlation, base.gold, base.predicted[function], trained.predicted[function], self.resamples
                ),
            )
            for function in self.similarity
            for correlation in CORRELATIONS
        ]
