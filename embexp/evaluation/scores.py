"""What an evaluation leaves behind: metrics, and the scores of every example."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embexp.protocols import Encoder

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Scores:
    """One model's scores on one split.

    Attributes:
        gold: the true value of each example, float `(n,)`.
        predicted: the model's value of each example under each similarity function, float `(n,)`.
        metrics: metric name to value, such as `spearman_cosine`.
    """

    split: str
    texts: tuple[list[str], list[str]]
    gold: "numpy.ndarray"
    predicted: Mapping[str, "numpy.ndarray"]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Difference:
    """Trained minus base of one metric, on the same examples.

    Attributes:
        low, high: ends of the 95 % interval of the difference.
        verdict: better, no difference or worse: whether the interval lies above, across or below zero.
    """

    metric: str
    base: float
    trained: float
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.trained - self.base

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference"


class Evaluator(Protocol):
    """Judges an encoder on the splits dev and test of one data set.

    The primary metric is the one that decides unless another is asked for; the headline metrics stand in the
    closing table, all others only in the run's folder and in the tracker.
    """

    name: str
    primary_metric: str
    headline_metrics: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """Which of dev and test there are."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """All metrics that `score` reports."""

    def score(self, encoder: Encoder, split: str) -> Scores:
        """Metrics and per-example scores on a split."""

    def compare(self, base: Scores, trained: Scores) -> list[Difference]:
        """The difference of every metric with its interval."""


def judged_split(evaluator: Evaluator) -> str:
    """The split on which the verdict falls: test, or dev where there is no test."""
    return "test" if "test" in evaluator.splits else "dev"


def write_examples(path: Path, base: Scores, trained: Scores) -> None:
    """Per-example scores of both models as Parquet: id, texts, gold, base_<function>, trained_<function>."""
    import pyarrow
    import pyarrow.parquet

    columns = {
        "id": [f"{base.split}-{row}" for row in range(len(base.gold))],
        "sentence1": base.texts[0],
        "sentence2": base.texts[1],
        "gold": base.gold,
    }
    for function, values in base.predicted.items():
        columns[f"base_{function}"] = values
        columns[f"trained_{function}"] = trained.predicted[function]
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
