"""Cells from the metrics of their runs alone: fast for thousands of runs, but unpaired.

The variance between examples comes from the intervals that each run logged; the variance between seeds from the runs of
a cell, pooled as in `evaluation/stats/seeds.py`. Examples are assumed to move all runs of a cell alike, and two cells
independently. So intervals are rather too long, and more cells are tied with the best than by their examples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from embexp.evaluation.stats.power import Design, Prospect, Variances
from embexp.evaluation.stats.seeds import Interval, Parts
from embexp.leaderboards.axes import CellKey, Place
from embexp.leaderboards.cells import CellResult, GroupResult, MetricKeys, best_of, mixed_base_columns
from embexp.reports.leaderboard_content import Estimate, Labels

_NORMAL_HALF = 1.959963984540054  # standard errors from the middle of a 95 % interval to its end
_SCALE = 10_000  # what Prospect takes for the number of examples, which metrics do not say


@dataclass(frozen=True)
class _Numbers:
    """One number of each run of a cell, with the ends of its interval over examples."""

    values: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    has_seed: bool = True  # False for a model without randomness

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def of_examples(self) -> float:
        """The variance of the mean between examples; nan if a run has no interval."""
        halves = [(high - low) / 2 for low, high in zip(self.lows, self.highs, strict=True)]
        return fmean((half / _NORMAL_HALF) ** 2 for half in halves)

    @property
    def share(self) -> float:
        return 1 / len(self.values) if self.has_seed else 0.0


@dataclass(frozen=True)
class _Spread:
    """The variance between seeds, pooled over cells, with its degrees of freedom."""

    variance: float
    degrees: int


def results_by_metrics(places: Sequence[Place], keys: MetricKeys) -> GroupResult:
    """The same as `results_by_examples`, from metrics."""
    scores: dict[CellKey, _Numbers] = {place.key: _numbers(place, keys.value) for place in places}
    deltas = {place.key: _numbers(place, keys.delta) for place in places}
    of_columns = {place.column: [each for each in places if each.column == place.column] for place in places}
    bases = {column: _bases(several, keys) for column, several in of_columns.items()}
    column_of = {place.key: place.column for place in places}
    column_of: dict[CellKey, Labels] = column_of | {(None, column): column for column in bases}
    mixed = mixed_base_columns(places, keys)
    named = scores | {(None, column): cell for column, cell in bases.items() if column not in mixed}

    def spread(cells: Mapping[CellKey, _Numbers], *columns: Labels) -> _Spread | None:
        return _pooled([cell for key, cell in cells.items() if column_of[key] in columns])

    def p_between(first: CellKey, second: CellKey) -> float:
        columns = column_of[first], column_of[second]
        one_base = columns[0] == columns[1] and len(bases[columns[0]].values) == 1
        use_gains = first in deltas and second in deltas and one_base  # gains on one model vary less than scores
        of_pair, of_all = (deltas, deltas) if use_gains else (named, scores)
        cells = [of_pair[first], of_pair[second]]  # their examples vary independently
        return _parts(cells, spread(of_all, *columns)).p(abs(cells[0].mean - cells[1].mean))

    results = [
        _cell_result(scores[key], deltas[key], spread(scores, column_of[key]), spread(deltas, column_of[key]))
        for key in scores
    ]
    estimates = {column: _estimate(_interval(cell, spread(scores, column))) for column, cell in bases.items()}
    return GroupResult(results, estimates, best_of({key: cell.mean for key, cell in named.items()}, p_between))


def _numbers(place: Place, key: str) -> _Numbers:
    metrics = [entry.run.metrics for entry in place.entries]
    return _Numbers(*(tuple(each.get(f"{key}{end}", math.nan) for each in metrics) for end in ("", "_low", "_high")))


def _bases(places: Sequence[Place], keys: MetricKeys) -> _Numbers:
    """The untouched models of a column, each once; several come from different seeds."""
    every = [_numbers(place, keys.base) for place in places]
    rows = {row[0]: row for each in every for row in zip(each.values, each.lows, each.highs, strict=True)}
    return _Numbers(*zip(*rows.values(), strict=True), has_seed=len(rows) > 1)


def _pooled(cells: Sequence[_Numbers]) -> _Spread | None:
    """None if no cell has two runs."""
    known = [cell.values for cell in cells if len(cell.values) > 1 and not math.isnan(cell.mean)]
    if not known:
        return None
    degrees = [len(values) - 1 for values in known]
    total = sum(variance(values) * each for values, each in zip(known, degrees, strict=True))
    return _Spread(total / sum(degrees), sum(degrees))


def _cell_result(score: _Numbers, delta: _Numbers, of_scores: _Spread | None, of_deltas: _Spread | None) -> CellResult:
    std = math.sqrt(variance(score.values)) if len(score.values) > 1 else math.nan
    lacks_seeds = delta.has_seed and of_deltas is None
    variances = Variances(delta.of_examples * _SCALE, of_deltas.variance if of_deltas else 0.0)
    others = max(0, of_deltas.degrees - (len(delta.values) - 1)) if of_deltas else 0
    prospect = Prospect(variances, Design(_SCALE, (0, len(delta.values)), others))
    estimate = _estimate(_interval(score, of_scores))
    return CellResult(estimate, std, _interval(delta, of_deltas), lacks_seeds, prospect)


def _estimate(interval: Interval) -> Estimate:
    return Estimate(interval.value, interval.low, interval.high)


def _interval(cell: _Numbers, spread: _Spread | None) -> Interval:
    """The mean with its interval."""
    low, high = fmean(cell.lows), fmean(cell.highs)
    parts = _parts([cell], spread)
    if spread and cell.has_seed:  # no interval is shorter than that over the examples alone
        half = float(parts.half_width())
        low, high = min(low, cell.mean - half), max(high, cell.mean + half)
    return Interval(cell.mean, low, high, parts)


def _parts(cells: Sequence[_Numbers], spread: _Spread | None) -> Parts:
    """The variance of a mean or a difference; examples are many."""
    of_examples = sum(cell.of_examples for cell in cells)
    if spread is None:
        return Parts(of_examples)
    return Parts(of_examples, math.inf, sum(cell.share for cell in cells) * spread.variance, spread.degrees)
