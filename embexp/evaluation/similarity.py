"""Semantic textual similarity: how well the similarity of two embeddings follows a gold score."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, DataError, did_you_mean, listed
from embexp.evaluation.scores import Difference, Scores
from embexp.evaluation.significance import bootstrap_differences
from embexp.protocols import Encoder
from embexp.steps.prompting import with_row_prompts

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


NO_LEAKS = "_no_leaks"


@dataclass(frozen=True)
class Measure:
    """One metric: which correlation of which function with gold, on which rows (a mask, or a slice for all)."""

    name: str
    correlation: str
    function: str
    rows: Any

    @property
    def leaves_out(self) -> bool:
        """Whether some rows do not count."""
        return not isinstance(self.rows, slice)


class SimilarityEvaluator:
    """Spearman and Pearson correlation of similarity and gold score, for several similarity functions.

    Args:
        name: the evaluator's name in metric keys.
        dataset: scored pairs with a split dev or test.
        similarity: which functions, the first one gives the primary metric (`spearman_<function>`).
        resamples: how many bootstrap resamples make an interval.
        leaked: for each split the rows that also stand in the training data, bool `(num_rows,)`. Where there are any,
            the first function's metrics are given once more without them (`spearman_<function>_no_leaks`).

    Raises:
        ConfigError: no similarity function, one that is not known, or no resamples.
        DataError: no dev or test split, or one whose gold scores are all equal.
    """

    def __init__(
        self,
        name: str,
        dataset: EmbeddingDataset,
        similarity: Sequence[str],
        resamples: int,
        leaked: Mapping[str, "numpy.ndarray"] | None = None,
    ) -> None:
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
        self.dataset = with_row_prompts(dataset)
        self.similarity = tuple(similarity)
        self.resamples = resamples
        self.primary_metric = f"spearman_{self.similarity[0]}"
        self.headline_metrics = tuple(f"{correlation}_{self.similarity[0]}" for correlation in CORRELATIONS)
        self.splits = tuple(split for split in ("dev", "test") if split in dataset.splits)
        self._check()
        self.leaked = leaked if leaked and self._can_do_without(leaked) else None
        if self.leaked:
            self.headline_metrics += (f"{self.primary_metric}{NO_LEAKS}",)

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

    def _can_do_without(self, leaked: Mapping[str, "numpy.ndarray"]) -> bool:
        """Whether there are leaked rows, and in every split others that a correlation can be measured on."""
        rest = [self.dataset.splits[split].select((~leaked[split]).nonzero()[0])["score"][:] for split in self.splits]
        return any(leaked[split].any() for split in self.splits) and all(len(set(gold)) > 1 for gold in rest)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """spearman_cosine, pearson_cosine, spearman_dot ..."""
        return tuple(measure.name for measure in self._measures(self.splits[0]))

    def _measures(self, split: str) -> Iterator["Measure"]:
        """What is measured: every correlation of every function, and the first function's without leaked rows."""
        for function in self.similarity:
            for correlation in CORRELATIONS:
                yield Measure(f"{correlation}_{function}", correlation, function, slice(None))
        if self.leaked:
            for correlation in CORRELATIONS:
                name = f"{correlation}_{self.similarity[0]}{NO_LEAKS}"
                yield Measure(name, correlation, self.similarity[0], ~self.leaked[split])

    def score(self, encoder: Encoder, split: str) -> Scores:
        """Metrics and per-example scores on a split; every distinct text is encoded once after each prompt."""
        import numpy
        from scipy.stats import pearsonr, spearmanr

        rows = self.dataset.splits[split]
        first, second = rows["sentence1"][:], rows["sentence2"][:]
        gold = numpy.asarray(rows["score"][:], dtype=float)
        vectors = self._vectors(encoder, first, second)
        predicted = {function: FUNCTIONS[function](*vectors).astype(float) for function in self.similarity}
        correlate = {"spearman": spearmanr, "pearson": pearsonr}
        metrics = {
            measure.name: float(
                correlate[measure.correlation](gold[measure.rows], predicted[measure.function][measure.rows]).statistic
            )
            for measure in self._measures(split)
        }
        return Scores(split, (first, second), gold, predicted, metrics)

    def _vectors(
        self, encoder: Encoder, first: list[str], second: list[str]
    ) -> tuple["numpy.ndarray", "numpy.ndarray"]:
        """The embeddings of both columns, each after its prompt."""
        prompts = self.dataset.prompts.of("sentence1"), self.dataset.prompts.of("sentence2")
        if prompts[0] != prompts[1]:
            return encoder.encode(first, prompts[0]), encoder.encode(second, prompts[1])
        vectors = encoder.encode(first + second, prompts[0])
        return vectors[: len(first)], vectors[len(first) :]

    def compare(self, base: Scores, trained: Scores) -> list[Difference]:
        """Trained minus base of every metric, with a paired-bootstrap 95 % interval."""
        differences = []
        for _, group in itertools.groupby(self._measures(base.split), lambda measure: measure.leaves_out):
            measures = [*group]
            rows = measures[0].rows
            compared = [
                (measure.correlation, base.predicted[measure.function][rows], trained.predicted[measure.function][rows])
                for measure in measures
            ]
            intervals = bootstrap_differences(base.gold[rows], compared, self.resamples)
            differences += [
                Difference(measure.name, base.metrics[measure.name], trained.metrics[measure.name], *interval)
                for measure, interval in zip(measures, intervals, strict=True)
            ]
        return differences
