"""A leaderboard of finished runs: made from what is known of them, written as files."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from embexp.board.axes import Axes, Place, axes_of, places_of
from embexp.board.costs import COSTS, cost_named, costs_of, pareto_front, point_of
from embexp.board.entries import entries_of, newest
from embexp.board.groups import Group, groups_of
from embexp.board.judged import Judged, name_of, name_of_base
from embexp.board.notes import left_out, notes_on
from embexp.evaluation.scores import Difference
from embexp.reports.board_content import UNTOUCHED, BoardCell, Cost, Labels, Leaderboard, as_plain
from embexp.reports.board_files import as_csv, as_markdown
from embexp.reports.board_page import board_page
from embexp.reports.pictures.heat_map import draw_heat_map
from embexp.reports.pictures.interval_plot import draw_interval_plot
from embexp.reports.pictures.pareto_front import draw_pareto_front
from embexp.run_record import write_json, write_text
from embexp.tracking.recorded_run import RecordedRun


def make_leaderboard(
    runs: Sequence[RecordedRun],
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    metric: str | None = None,
    cost: str = "encode_texts_per_second",
    resamples: int = 2000,
) -> Leaderboard:
    """The leaderboard of all runs that have finished and are not outdated; without any it is empty and says so.

    Args:
        rows, columns: parameters; None: loss and model, and what else varies.
        metric: `test/sts/spearman_cosine`, or without the split: test where there is one; None: each run's primary one.
        cost: what the front weighs against quality: one of `board.costs.COSTS`.
        resamples: bootstrap resamples behind each interval that is made of examples.

    Raises:
        ConfigError: no run has that metric or parameter, or there is no such cost.
    """
    chosen = cost_named(cost)
    every = entries_of(runs, metric)
    entries = newest(every)
    axes = axes_of(entries, rows, columns) if entries else Axes(tuple(rows or ["loss"]), tuple(columns or ["model"]))
    places = places_of(entries, axes)
    groups = groups_of(places)
    cells = [cell for number, group in enumerate(groups, 1) for cell in _cells(group, number, axes, resamples)]
    cells = _best_first(_with_fronts(cells, chosen))
    trained = [cell for cell in cells if not cell.is_base]
    return Leaderboard(
        row_keys=axes.rows,
        column_keys=axes.columns,
        rows=_rows(trained),
        columns=tuple(dict.fromkeys(place.column for place in places)),
        metrics=tuple(dict.fromkeys(place.metric for place in places)),
        cells=tuple(cells),
        costs=tuple(each for each in COSTS if any(each.name in cell.costs for cell in trained)),
        cost=cost,
        notes=(*notes_on(trained, groups, axes), *left_out(runs, every, entries)),
    )


def _cells(group: Group, number: int, axes: Axes, resamples: int) -> Iterator[BoardCell]:
    judged = group.judge(resamples)
    for place, found in zip(group.places, judged.cells, strict=True):
        yield _cell(place, found, number, name_of(place) in judged.best)
    for column, score in judged.bases.items():
        row = (UNTOUCHED, *[""] * (len(axes.rows) - 1))
        is_best = name_of_base(column) in judged.best
        metric = group.places[0].metric
        yield BoardCell(row, column, metric, number, score, is_base=True, is_best=is_best)


def _cell(place: Place, found: Judged, number: int, is_best: bool) -> BoardCell:
    told = Difference(place.metric, 0.0, found.difference.value, found.difference.low, found.difference.high)
    return BoardCell(
        row=place.row,
        column=place.column,
        metric=place.metric,
        group=number,
        score=found.score,
        std=found.std,
        difference=found.difference,
        p=found.p,
        verdict=told.verdict,
        lacks_seeds=found.lacks_seeds,
        is_best=is_best,
        costs=costs_of(place),
        seeds=tuple(entry.run.seed for entry in place.entries),
        runs=tuple(entry.run.id for entry in place.entries),
    )


def _with_fronts(cells: Sequence[BoardCell], cost: Cost) -> list[BoardCell]:
    """The cells, those marked that are on the front of their group."""
    found = []
    for group in dict.fromkeys(cell.group for cell in cells):
        of_group = [cell for cell in cells if cell.group == group]
        front = pareto_front([point_of(cell, cost) for cell in of_group])
        found += [replace(cell, on_front=is_on) for cell, is_on in zip(of_group, front, strict=True)]
    return found


def _best_first(cells: Sequence[BoardCell]) -> list[BoardCell]:
    """By group; those without a score at its end."""
    return sorted(cells, key=lambda cell: (cell.group, math.isnan(cell.score.value), -cell.score.value))


def _rows(cells: Sequence[BoardCell]) -> tuple[Labels, ...]:
    """The rows, those that gained most first."""
    gains: dict[Labels, list[float]] = {}
    for cell in cells:
        gains.setdefault(cell.row, []).append(cell.difference.value)
    return tuple(sorted(gains, key=lambda row: -_mean_of_known(gains[row])))


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else -math.inf


def write_leaderboard(board: Leaderboard, folder: Path) -> None:
    """leaderboard.md, .csv, .json and .html, and the pictures heat_map, intervals and pareto (PNG), where there is any
    cell to draw.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [*_draw(board, folder)]
    write_text(folder / "leaderboard.md", as_markdown(board))
    write_text(folder / "leaderboard.csv", as_csv(board))
    write_json(folder / "leaderboard.json", as_plain(board))
    write_text(folder / "leaderboard.html", board_page(board, pictures))


def _draw(board: Leaderboard, folder: Path) -> Iterator[Path]:
    """The pictures there is something to draw for."""
    if any(not math.isnan(cell.difference.value) for cell in board.trained):
        for name, draw in (("heat_map", draw_heat_map), ("intervals", draw_interval_plot)):
            draw(folder / f"{name}.png", board)
            yield folder / f"{name}.png"
    if board.chosen_cost and any(cell.on_front for cell in board.trained):
        draw_pareto_front(folder / "pareto.png", board, board.chosen_cost)
        yield folder / "pareto.png"
