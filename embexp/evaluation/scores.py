"""What an evaluation leaves behind: metrics and the values of every example, and how two models differ in them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from embexp.evaluation.measures import Measure, Statistics
from embexp.evaluation.significance import bootstrap_differences, interval_of, p_value_of
from embexp.protocols import Encoder

if TYPE_CHECKING:
    import numpy

ID = "id"


@dataclass(frozen=True)
class Scores:
    """One model's scores on one split.

    Attributes:
        examples: what each example is: id, texts, true values; the same for every model, `(n,)` each.
        predicted: the model's values for each example, `(n,)` each, by what they are (`cosine`).
        metrics: metric name to value, such as `spearman_cosine`.
        measures: how those metrics are taken that have per-example values.
    """

    split: str
    examples: Mapping[str, Sequence[Any]]
    predicted: Mapping[str, "numpy.ndarray"]
    metrics: Mapping[str, float]
    measures: tuple[Measure, ...] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """What measures are taken of."""
        return {**self.examples, **self.predicted}


@dataclass(frozen=True)
class Difference:
    """Trained minus base of one metric, on the same examples.

    Attributes:
        low, high: ends of the 95 % interval of the difference; nan where there are no per-example values to tell.
        p: of no difference, two-sided; nan likewise.
        verdict: better, no difference or worse: whether the interval lies above, across or below zero.
    """

    metric: str
    base: float
    trained: float
    low: float
    high: float
    p: float = math.nan

    @property
    def value(self) -> float:
        return self.trained - self.base

    @property
    def verdict(self) -> str:
        if math.isnan(self.low):
            return "no interval"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference"


@dataclass(frozen=True)
class Positives:
    """Pairs of texts that mean the same, with the prompts that they are encoded with; for alignment."""

    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    prompts: tuple[str | None, str | None] = (None, None)


class Evaluator(Protocol):
    """Judges an encoder on the splits dev and test of one data set.

    The primary metric is the one that decides unless another is asked for; the headline metrics stand in the
    closing table, all others only in the run's folder and in the tracker.
    """

    name: str
    primary_metric: str
    headline_metrics: tuple[str, ...]
    resamples: int

    @property
    def splits(self) -> tuple[str, ...]:
        """Which of dev and test there are."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """All metrics that `score` reports."""

    def texts(self, split: str) -> Mapping[str | None, list[str]]:
        """The texts that `score` encodes, by the prompt before them; those that cannot be told before are not there."""

    def positives(self, split: str) -> Positives:
        """Pairs of texts that mean the same; none where the data do not tell."""

    def score(self, encoder: Encoder, split: str) -> Scores:
        """Metrics and per-example scores on a split."""


def compare(base: Scores, trained: Scores, resamples: int) -> list[Difference]:
    """The difference of every metric that both have, with its interval: a paired bootstrap over the examples."""
    statistics, first = Statistics(), base.columns
    second = {**base.examples, **trained.predicted}  # the same arrays of true values: what is made of them is shared
    paired = [measure for measure in base.measures if measure in trained.measures]
    statistics_of = [(statistics.of(measure, first), statistics.of(measure, second)) for measure in paired]
    examples = len(base.examples[ID]) if paired else 0
    found = bootstrap_differences(statistics_of, examples, resamples)
    known = {measure.name: values for measure, values in zip(paired, found, strict=True)}
    return [
        Difference(metric, value, trained.metrics[metric], *_sureness(known.get(metric)))
        for metric, value in base.metrics.items()
        if metric in trained.metrics
    ]


def _sureness(differences: "numpy.ndarray | None") -> tuple[float, float, float]:
    return (math.nan,) * 3 if differences is None else (*interval_of(differences), p_value_of(differences))


def judged_split(evaluator: Evaluator) -> str:
    """The split on which the verdict falls: test, or dev where there is no test."""
    return "test" if "test" in evaluator.splits else "dev"
