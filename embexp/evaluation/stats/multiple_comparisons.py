"""Several models on the same examples: corrected p values, intervals, ties with the best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy

from embexp.evaluation.metrics import Statistics
from embexp.evaluation.scores import ID, Scores
from embexp.evaluation.stats.paired_tests import interval_of, p_value_of
from embexp.evaluation.stats.resampling import bootstrap_samples, drawn_in
from embexp.evaluation.stats.seeds import LEVEL, Interval
from embexp.evaluation.stats.verdicts import verdict
from embexp.reports.verdict_words import BETTER, COLLAPSED, IDENTICAL, UNDECIDED, WORSE


def holm(p_values: Sequence[float], comparisons: int | None = None) -> list[float]:
    """p values corrected for the number of comparisons: at 5 %, the chance of any false positive is at most 5 %.

    Holm's step-down method (Holm 1979, "A simple sequentially rejective multiple test procedure"): the smallest p is
    multiplied by the number of comparisons, the next one by one less, and so on; no corrected p is smaller than the
    one before it, or larger than 1. It holds for dependent comparisons, too.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Args:
        p_values: nan where there is none: it stays nan and does not count.
        comparisons: the number of all comparisons if these are only some of them; None: these are all.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    number = len(known) if comparisons is None else comparisons
    corrected, largest = [math.nan] * len(p_values), 0.0
    for already, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (number - already) * p))
        corrected[place] = largest
    return corrected


class CorrectedVerdict(NamedTuple):
    """The verdict of one of several differences, with the interval that it is that of.

    Attributes:
        p: of no difference, corrected.
        level: the error of the interval.
    """

    verdict: str
    low: float
    high: float
    p: float
    level: float


def correct_verdicts(found: Sequence[Interval], margins: Sequence[float]) -> list[CorrectedVerdict]:
    """The verdicts of several differences in one table: at most one table in twenty has a wrong `better` or `worse`.

    First by the interval with 5 % over the number (Bonferroni). Where that is undecided, `better` or `worse` by Holm's
    method: the interval has as much less error than 5 % as the method multiplies p, and excludes zero where the
    corrected p is below 0.05. `equal` is given by the first interval alone, so that one table in twenty has a wrong one
    at most: Holm's later steps are earned by differences from zero, and of ten models that are better by just the
    margin one would come out as equal in 22 of 100 tables.

    >>> [each.verdict for each in correct_verdicts([Interval(0.02, 0.001, 0.039), Interval(0.1, 0, 0.2)], [0.005] * 2)]
    ['undecided', 'undecided']
    >>> [each.verdict for each in correct_verdicts([Interval(0.02, 0.001, 0.039)], [0.005])]
    ['better']

    Args:
        found: those without an interval (nan) do not count.
    """
    p_values = [each.p for each in found]
    number = sum(not math.isnan(p) for p in p_values)
    return [
        _corrected(each, margin, p, corrected, LEVEL / max(number, 1))
        for each, margin, p, corrected in zip(found, margins, p_values, holm(p_values), strict=True)
    ]


def correct_secondary(rows: Sequence[dict[str, Any]], found: Sequence[Interval]) -> list[float]:
    """Put the corrected `low`, `high`, `p_holm` and `verdict` into the rows of secondary metrics; returns the levels.

    A table's primary metric, which was named before anything was seen, is not among them: its verdict is its own.

    Args:
        found: the interval of each row alone.
    """
    corrected = correct_verdicts(found, [row["margin"] for row in rows])
    for row, each in zip(rows, corrected, strict=True):
        row |= {"low": each.low, "high": each.high, "p_holm": each.p, "verdict": each.verdict}
    return [each.level for each in corrected]


def mean_of_tasks(rows: Sequence[Mapping[str, Any]], margin: float) -> dict[str, Any]:
    """The mean difference of several tasks on different examples, each with its interval alone.

    The errors of the tasks are independent, so that their squares add up: the half-width of the mean of k tasks is the
    root of the sum of squared half-widths, over k. Each is 1.96 standard errors, as of a normal distribution.

    >>> row = {"base": 0.5, "trained": 0.4, "difference": -0.1, "alone_low": -0.13, "alone_high": -0.07, "verdict": ""}
    >>> found = mean_of_tasks([row] * 9, 0.005)
    >>> round(found["difference"], 3), round(found["low"], 3), round(found["high"], 3), found["verdict"]
    (-0.1, -0.11, -0.09, 'worse')

    Args:
        margin: the smallest mean difference that matters.
    """
    number = len(rows)
    base, trained, difference = (sum(row[key] for row in rows) / number for key in ("base", "trained", "difference"))
    halves = [(row["alone_high"] - row["alone_low"]) / 2 for row in rows]
    half = math.sqrt(sum(each**2 for each in halves)) / number
    low, high = difference - half, difference + half
    of_all = {row["verdict"] for row in rows}
    known = next((each for each in (IDENTICAL, COLLAPSED) if of_all == {each}), "")
    return {
        "tasks": number,
        "base": base,
        "trained": trained,
        "difference": difference,
        "low": low,
        "high": high,
        "margin": margin,
        "verdict": known or verdict(low, high, margin),
    }


def _corrected(found: Interval, margin: float, p: float, corrected: float, strictest: float) -> CorrectedVerdict:
    """By the interval of Bonferroni; where that is undecided, better or worse by the one of Holm."""

    def at(level: float) -> CorrectedVerdict:
        low, high = found.at(level)
        return CorrectedVerdict(verdict(low, high, margin), low, high, corrected, level)

    widest = at(strictest)
    if widest.verdict != UNDECIDED or corrected >= LEVEL:
        return widest
    narrower = at(LEVEL * p / corrected)
    return narrower if narrower.verdict in (BETTER, WORSE) else widest


def _correct_to_best(p_to_best: Sequence[float]) -> list[float]:
    """p values of all others against the best model, corrected because the same data picked the best.

    Among equal models the one that happens to be best leads by more than in a planned comparison. So all pairs count,
    as if each had been compared. Of ten equal models at least one is called worse than the best in 4 of 100 cases;
    with a correction for nine comparisons only, in 16 (tests/evaluation/stats/test_calibration.py).
    """
    return holm(p_to_best, _pairs(len(p_to_best) + 1))


def _resamples_needed(models: int, level: float = LEVEL) -> int:
    """The least number of bootstrap resamples with which any of so many models can differ significantly from the best.

    The smallest p that R resamples can show is 2 / (R + 1), and it is multiplied by the number of pairs.

    >>> _resamples_needed(10), _resamples_needed(20)
    (1800, 7600)
    """
    return math.ceil(2 * _pairs(models) / level)


def _pairs(models: int) -> int:
    return models * (models - 1) // 2


def tied_with_best(values: Mapping[str, float], p_to_best: Mapping[str, float], level: float = LEVEL) -> list[str]:
    """The best model and all that do not differ significantly from it, best first.

    Args:
        values: of each model, higher is better; nan is never among the best.
        p_to_best: uncorrected p of no difference from the best, of each of the others. With nan a model is tied only
            if it has the same value as the best.
        level: the chance that any model that equals the best counts as different.
    """
    order = sorted((name for name in values if not math.isnan(values[name])), key=lambda name: -values[name])
    if not order:
        return []
    best, others = order[0], order[1:]
    corrected = dict(zip(others, _correct_to_best([p_to_best[name] for name in others]), strict=True))
    return [name for name in order if values[name] == values[best] or corrected[name] > level]


@dataclass(frozen=True)
class RankedModel:
    """One model among several.

    Attributes:
        low, high: ends of the 95 % interval of the value; nan where there are no per-example values.
        to_best: the value minus that of the best model; `p` of no difference, corrected for all pairs of models (Holm),
            because the same examples picked the best.
        is_best: the best, or not significantly different from it.
        examples: their number; 0 without per-example values.
    """

    name: str
    value: float
    low: float
    high: float
    to_best: float
    p: float
    is_best: bool
    examples: int


def rank_models(scores: Mapping[str, Scores], metric: str, resamples: int) -> list[RankedModel]:
    """The models from best to worst in one metric, by paired resamples of their common examples."""
    values = {name: of_model.metrics[metric] for name, of_model in scores.items()}
    order = sorted(values, key=lambda name: -numpy.nan_to_num(values[name], nan=-numpy.inf))
    resampled = _resampled(scores, metric, max(resamples, _resamples_needed(len(scores))))
    best, others = order[0], order[1:]
    unknown = dict.fromkeys(others, math.nan)
    raw = {name: p_value_of(resampled[best] - resampled[name]) for name in others} if resampled else unknown
    corrected = {best: 1.0, **dict(zip(others, _correct_to_best([*raw.values()]), strict=True))}
    tied = tied_with_best(values, raw)
    examples = len(next(iter(scores.values())).examples.get(ID, ()))
    ends = {name: _interval_about(values[name], found) for name, found in resampled.items()}
    found = []
    for name in order:
        score = (values[name], *ends.get(name, (math.nan,) * 2), values[name] - values[best])
        found.append(RankedModel(name, *score, corrected[name], name in tied, examples))
    return found


def _interval_about(value: float, resampled: numpy.ndarray) -> tuple[float, float]:
    """The interval, centred on the value: texts sampled twice make a clustering look better than it is.

    Metrics with per-example values lie in [-1, 1]; the ends are clipped to it.
    """
    if numpy.isnan(resampled).all():
        return math.nan, math.nan
    low, high = interval_of(resampled - numpy.nanmean(resampled) + value)
    return max(low, -1.0), min(high, 1.0)


def _resampled(scores: Mapping[str, Scores], metric: str, resamples: int) -> dict[str, numpy.ndarray]:
    """The metric of each model in the same resamples; empty without per-example values."""
    first = next(iter(scores.values()))
    measure = next((measure for measure in first.measures if measure.name == metric), None)
    if measure is None:
        return {}
    statistics, shared = Statistics(), first.examples
    statistics_of = {
        name: statistics.statistic_for(measure, {**shared, **each.predicted}) for name, each in scores.items()
    }
    found: dict[str, list[numpy.ndarray]] = {name: [] for name in scores}
    rows = len(first.examples[ID])
    for sample in bootstrap_samples(rows, resamples, groups=drawn_in(measure, shared, rows).groups):
        for name, statistic in statistics_of.items():
            found[name].append(statistic(sample))
    return {name: numpy.concatenate(parts) for name, parts in found.items()}
