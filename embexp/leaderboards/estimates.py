"""Cells from the per-example values of their runs, paired; or from their metrics alone: fast for thousands of runs.

By metrics the variance between examples comes from the intervals that each run logged; that between seeds from the runs
of a cell, pooled as in `evaluation/stats/seeds.py`. Examples are assumed to move all runs of a cell alike, and two
cells independently. So intervals are rather too long, and more cells are tied with the best than by their examples.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance
from typing import TYPE_CHECKING

import numpy

from embexp.evaluation.metrics import Measure, Statistics
from embexp.evaluation.scores import ID, KeptExamples, Scores
from embexp.evaluation.stats.power import Design, Prospect, Variances, design_of, measured_variances
from embexp.evaluation.stats.resampling import drawn_in
from embexp.evaluation.stats.seeds import (
    Cell,
    Interval,
    Parts,
    cell_difference,
    cell_summary,
    resample_cells,
)
from embexp.leaderboards.axes import CellKey, Place
from embexp.leaderboards.cells import CellResult, GroupResult, MetricKeys, PairedCells, best_of, mixed_base_columns
from embexp.reports.leaderboard_content import Estimate, Labels
from embexp.reports.verdict_words import TOO_FEW
from embexp.tracking.store_limits import allowed_name

if TYPE_CHECKING:
    from embexp.evaluation.metrics import Statistic

Kept = Mapping[str, KeptExamples]  # by the run's id


def measure_in(scores: Scores, keys: MetricKeys) -> Measure | None:
    """The measure of the metric; None if it has no per-example values."""
    wanted = allowed_name(keys.metric)
    return next((each for each in scores.measures if allowed_name(each.name) == wanted), None)


def results_by_examples(places: Sequence[Place], kept: Kept, keys: MetricKeys, resamples: int) -> GroupResult:
    """The scores of the places, their differences to the untouched models, and the best cells.

    The variance between seeds is pooled over the cells of a column: it is about the same for all losses of a model, and
    may be a hundred times larger for the next model.
    """
    statistic = _statistics(kept, keys)
    bases = {
        _base_key(place, kept[entry.run.id].base, keys): kept[entry.run.id].base
        for place in places
        for entry in place.entries
    }
    trained = [[statistic(kept[entry.run.id].trained) for entry in place.entries] for place in places]
    untouched = [[statistic(scores)] for scores in bases.values()]
    scores = next(iter(kept.values())).trained
    examples = len(scores.examples[ID])
    drawn = drawn_in(measure_in(scores, keys), scores.examples, examples)
    found = resample_cells([*trained, *untouched], examples, resamples, drawn=drawn)
    cells, base_of = found[: len(places)], dict(zip(bases, found[len(places) :], strict=True))
    deltas = [_delta(place, cell, base_of, kept, keys) for place, cell in zip(places, cells, strict=True)]
    columns = {place.column: _joined(base_of, place.column) for place in places}
    pools = [
        {
            column: [cell for place, cell in zip(places, each, strict=True) if place.column == column]
            for column in columns
        }
        for each in (cells, deltas)
    ]
    named: dict[CellKey, tuple[Labels, Cell]] = {
        place.key: (place.column, cell) for place, cell in zip(places, cells, strict=True)
    }
    mixed = mixed_base_columns(places, keys)
    named |= {(None, column): (column, cell) for column, cell in columns.items() if column not in mixed}

    def p_between(first: CellKey, second: CellKey) -> float:
        (one, first_cell), (other, second_cell) = named[first], named[second]
        return _p_between(first_cell, second_cell, [*pools[0][one], *pools[0][other]])

    more = {"examples": examples, "finding": TOO_FEW if drawn.too_few else ""}
    return GroupResult(
        [
            replace(_cell_result(cell, delta, *(pool[place.column] for pool in pools)), **more)
            for place, cell, delta in zip(places, cells, deltas, strict=True)
        ],
        {column: _score(cell, pools[0][column])[0] for column, cell in columns.items()},
        best_of({key: cell.mean for key, (_, cell) in named.items()}, p_between),
        PairedCells(
            {key: cell for key, (_, cell) in named.items()},
            {place.key: (_nothing(delta), delta) for place, delta in zip(places, deltas, strict=True)},
            examples,
        ),
    )


def _statistics(kept: Kept, keys: MetricKeys) -> Callable[[Scores], "Statistic"]:
    """The statistic of a model's scores; the true values, which all models share, are prepared once.

    Where the measure leaves examples out (`no_leaks`), those count that count for all models.
    """
    statistics, shared = Statistics(), next(iter(kept.values())).trained.examples

    @functools.cache
    def counting(column: str) -> numpy.ndarray:
        return numpy.logical_and.reduce([each.trained.examples[column] for each in kept.values()])

    def statistic_of(scores: Scores) -> "Statistic":
        measure = measure_in(scores, keys)
        known = {measure.gold: shared[measure.gold]} if measure.gold else {}
        known |= {measure.where: counting(measure.where)} if measure.where else {}
        return statistics.statistic_for(measure, {**scores.columns, **known})

    return statistic_of


_BaseKey = tuple[Labels, str]  # a column and the value of an untouched model; one from scratch has several


def _base_key(place: Place, scores: Scores, keys: MetricKeys) -> _BaseKey:
    return place.column, repr(scores.metrics[measure_in(scores, keys).name])


def _joined(base_of: Mapping[_BaseKey, Cell], column: Labels) -> Cell:
    """The untouched models of a column as one cell; several come from different seeds."""
    found = [cell for key, cell in base_of.items() if key[0] == column]
    return replace(_stacked(found), has_seed=len(found) > 1)


def _stacked(cells: Sequence[Cell]) -> Cell:
    values, resampled = (numpy.concatenate([getattr(cell, name) for cell in cells]) for name in ("values", "resampled"))
    return replace(cells[0], values=values, resampled=resampled)


def _delta(place: Place, cell: Cell, base_of: Mapping[_BaseKey, Cell], kept: Kept, keys: MetricKeys) -> Cell:
    """The gain of each run of a place on the untouched model that it started from."""
    base = _stacked([base_of[_base_key(place, kept[entry.run.id].base, keys)] for entry in place.entries])
    return replace(cell, values=cell.values - base.values, resampled=cell.resampled - base.resampled)


def _nothing(delta: Cell) -> Cell:
    """What a gain is compared with."""
    return replace(delta, values=delta.values[:1] * 0, resampled=delta.resampled[:1] * 0, has_seed=False)


def _cell_result(cell: Cell, delta: Cell, cells: Sequence[Cell], deltas: Sequence[Cell]) -> CellResult:
    score, std = _score(cell, cells)
    nothing = _nothing(delta)
    found = cell_difference(nothing, delta, deltas)
    prospect = Prospect(measured_variances(nothing, delta, deltas).variances, design_of(nothing, delta, deltas))
    return CellResult(score, std, found.interval, found.lacks_seeds, prospect)


def _score(cell: Cell, pool: Sequence[Cell]) -> tuple[Estimate, float]:
    """Mean with interval, and standard deviation between seeds.

    The interval is centred on the mean: texts sampled twice make a clustering look better than it is.
    """
    off = cell.values - numpy.nanmean(cell.resampled, axis=1)
    centred = replace(cell, resampled=cell.resampled + off[:, None])
    found = cell_summary(centred, [other for other in pool if other is not cell])
    return Estimate(found.mean, found.low, found.high), found.std


def _p_between(first: Cell, second: Cell, pool: Sequence[Cell]) -> float:
    """p of no difference; the normal distribution's tail if it is the smallest p that so many resamples can show.

    The correction for all pairs multiplies it: otherwise none of 30 cells could differ significantly from the best.
    """
    from scipy.stats import norm

    found = cell_difference(first, second, pool)
    resampled = second.resampled.mean(axis=0) - first.resampled.mean(axis=0)
    spread = float(numpy.nanstd(resampled, ddof=1))
    if found.p > 2 / (len(resampled) + 1) or spread == 0:
        return found.p
    return min(found.p, max(found.p_of_seeds, float(2 * norm.sf(abs(found.value) / spread))))


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
    of_columns: dict[Labels, list[Place]] = {}
    for place in places:
        of_columns.setdefault(place.column, []).append(place)
    bases = {column: _bases(several, keys) for column, several in of_columns.items()}
    column_of = {place.key: place.column for place in places}
    column_of: dict[CellKey, Labels] = column_of | {(None, column): column for column in bases}
    mixed = mixed_base_columns(places, keys)
    named = scores | {(None, column): cell for column, cell in bases.items() if column not in mixed}

    spreads = [_spreads(cells, column_of) for cells in (scores, deltas)]

    def spread(of: int, *columns: Labels) -> _Spread | None:
        return _together([spreads[of][column] for column in dict.fromkeys(columns) if column in spreads[of]])

    def p_between(first: CellKey, second: CellKey) -> float:
        columns = column_of[first], column_of[second]
        one_base = columns[0] == columns[1] and len(bases[columns[0]].values) == 1
        use_gains = first in deltas and second in deltas and one_base  # gains on one model vary less than scores
        of_pair = deltas if use_gains else named
        cells = [of_pair[first], of_pair[second]]  # their examples vary independently
        return _parts(cells, spread(_OF_DELTAS if use_gains else _OF_SCORES, *columns)).p(
            abs(cells[0].mean - cells[1].mean)
        )

    results = [
        _cell_of_metrics(scores[key], deltas[key], *(spread(of, column_of[key]) for of in (_OF_SCORES, _OF_DELTAS)))
        for key in scores
    ]
    estimates = {column: _estimate(_interval(cell, spread(_OF_SCORES, column))) for column, cell in bases.items()}
    return GroupResult(results, estimates, best_of({key: cell.mean for key, cell in named.items()}, p_between))


def _numbers(place: Place, key: str) -> _Numbers:
    metrics = [entry.run.metrics for entry in place.entries]
    return _Numbers(*(tuple(each.get(f"{key}{end}", math.nan) for each in metrics) for end in ("", "_low", "_high")))


def _bases(places: Sequence[Place], keys: MetricKeys) -> _Numbers:
    """The untouched models of a column, each once; several come from different seeds."""
    every = [_numbers(place, keys.base) for place in places]
    rows = {row[0]: row for each in every for row in zip(each.values, each.lows, each.highs, strict=True)}
    return _Numbers(*zip(*rows.values(), strict=True), has_seed=len(rows) > 1)


_OF_SCORES, _OF_DELTAS = 0, 1  # places of their spreads


def _spreads(cells: Mapping[CellKey, _Numbers], column_of: Mapping[CellKey, Labels]) -> dict[Labels, _Spread]:
    """The spread of each column whose cells have one; of thousands of cells each is looked at once."""
    found: dict[Labels, list[_Spread]] = {}
    for key, cell in cells.items():
        if len(cell.values) > 1 and not math.isnan(cell.mean):
            found.setdefault(column_of[key], []).append(_Spread(variance(cell.values), len(cell.values) - 1))
    return {column: _together(each) for column, each in found.items()}


def _together(spreads: Sequence[_Spread]) -> _Spread | None:
    """The pooled one; None where there is none."""
    degrees = sum(each.degrees for each in spreads)
    return _Spread(sum(each.variance * each.degrees for each in spreads) / degrees, degrees) if degrees else None


def _cell_of_metrics(
    score: _Numbers, delta: _Numbers, of_scores: _Spread | None, of_deltas: _Spread | None
) -> CellResult:
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
