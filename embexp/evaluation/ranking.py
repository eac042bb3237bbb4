"""Several models on the same examples: each one's value with its interval, and which are tied with the best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.evaluation.many_comparisons import corrected_to_best, resamples_needed, tied_with_best
from embexp.evaluation.measures import Measure, Statistics
from embexp.evaluation.resampling import draws
from embexp.evaluation.scores import ID, Scores
from embexp.evaluation.significance import interval_of, p_value_of

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Placed:
    """One model among several.

    Attributes:
        low, high: ends of the 95 % interval of the value; nan where there are no per-example values.
        to_best: the value minus that of the best model; `p` of no difference, corrected for all pairs of models (Holm):
            the best one was picked from the same examples.
        is_best: the best, or one that cannot be told from it.
        examples: so many were judged; 0 where there are no per-example values.
    """

    name: str
    value: float
    low: float
    high: float
    to_best: float
    p: float
    is_best: bool
    examples: int


def place_models(scores: Mapping[str, Scores], metric: str, resamples: int) -> list[Placed]:
    """The models from the best to the worst in one metric, by paired resamples of the examples that all have."""
    import numpy

    values = {name: of_model.metrics[metric] for name, of_model in scores.items()}
    order = sorted(values, key=lambda name: -numpy.nan_to_num(values[name], nan=-numpy.inf))
    resampled = _resampled(scores, metric, max(resamples, resamples_needed(len(scores))))
    best, others = order[0], order[1:]
    unknown = dict.fromkeys(others, math.nan)
    raw = {name: p_value_of(resampled[best] - resampled[name]) for name in others} if resampled else unknown
    corrected = {best: 1.0, **dict(zip(others, corrected_to_best([*raw.values()]), strict=True))}
    tied = tied_with_best(values, raw)
    examples = len(next(iter(scores.values())).examples.get(ID, ()))
    ends = {name: _interval_about(values[name], found) for name, found in resampled.items()}
    return [
        Placed(
            name,
            values[name],
            *ends.get(name, (math.nan,) * 2),
            values[name] - values[best],
            corrected[name],
            name in tied,
            examples,
        )
        for name in order
    ]


def _interval_about(value: float, resampled: "numpy.ndarray") -> tuple[float, float]:
    """The interval, moved to lie about the value: texts drawn twice make a clustering seem better than it is.

    No metric that has values of examples leaves [-1, 1]; moved ends that do are put on it.
    """
    import numpy

    if numpy.isnan(resampled).all():
        return math.nan, math.nan
    low, high = interval_of(resampled - numpy.nanmean(resampled) + value)
    return max(low, -1.0), min(high, 1.0)


def _resampled(scores: Mapping[str, Scores], metric: str, resamples: int) -> dict[str, "numpy.ndarray"]:
    """The metric of each model in the same resamples; empty where it has no per-example values."""
    import numpy

    first = next(iter(scores.values()))
    measure = next((measure for measure in first.measures if measure.name == metric), None)
    if measure is None:
        return {}
    statistics_of = _statistics(scores, measure)
    found: dict[str, list[numpy.ndarray]] = {name: [] for name in scores}
    for draw in draws(len(first.examples[ID]), resamples):
        for name, statistic in statistics_of.items():
            found[name].append(statistic(draw))
    return {name: numpy.concatenate(parts) for name, parts in found.items()}


def _statistics(scores: Mapping[str, Scores], measure: Measure) -> dict:
    statistics, shared = Statistics(), next(iter(scores.values())).examples
    return {name: statistics.of(measure, {**shared, **each.predicted}) for name, each in scores.items()}
