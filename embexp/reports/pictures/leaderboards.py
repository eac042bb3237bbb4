"""A leaderboard in pictures: gains as a heat map and as intervals, and quality against cost."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
from rich.cells import cell_len

from embexp.reports.leaderboard_content import Cost, Labels, Leaderboard, LeaderboardCell, label, short_number
from embexp.reports.pictures.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    HEIGHT,
    ORANGE,
    PALE_GREY,
    PURPLE,
    SKY,
    VERMILION,
    picture,
    put_legend,
)
from embexp.reports.verdict_words import BETTER, WORSE, kind_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_GAINS = "RdBu"  # red below zero, blue above: colour-blind readers can distinguish them
_MOST_ROWS, _MOST_COLUMNS = 40, 12
_MOST_WITH_VALUES = 6  # columns: more are too narrow for their numbers
_ROW, _BESIDES_ROWS = 0.36, 2.2  # inches for each row, and for all else
_ROW_COLUMNS, _COLUMN_COLUMNS = 26, 20  # of Latin letters that fit on the left and below
_DARK = 0.6  # share of the scale from which on numbers are white


def draw_heat_map(path: Path, leaderboard: Leaderboard) -> None:
    """Rows by columns, coloured by the difference to the untouched model; PNG.

    Where neither better nor worse was shown a cell is grey and its number in brackets; one with a star is best or tied
    with it. Of more than 40 rows those that gained most are drawn.
    """
    rows, columns = leaderboard.rows[:_MOST_ROWS], leaderboard.columns[:_MOST_COLUMNS]
    cells = [[next(iter(leaderboard.at(row, column)), None) for column in columns] for row in rows]
    values = numpy.array([[_shown_gain(cell) for cell in line] for line in cells])
    names = [label(row, _ROW_COLUMNS) for row in rows], [label(column, _COLUMN_COLUMNS) for column in columns]
    has_values = len(columns) <= _MOST_WITH_VALUES
    subject = f"{', '.join(leaderboard.metrics)}{'; (…): neither better nor worse, *: best or tied' * has_values}"
    title = "Difference to the untouched model"
    with picture(path, title, subject, [*names[0], *names[1]], _BESIDES_ROWS + _ROW * len(rows)) as figure:
        axis = figure.subplots()
        image = _draw_cells(axis, values)
        _name_cells(axis, *names)
        if has_values:
            _write_values(axis, cells, image)
        figure.colorbar(image, ax=axis, format=_signed, shrink=0.9, aspect=max(6, len(rows)))


def _shown_gain(cell: LeaderboardCell | None) -> float:
    """What gives the cell its colour: nothing, unless a difference was shown."""
    return cell.difference.value if cell and kind_of(cell.verdict) in (BETTER, WORSE) else math.nan


def _signed(value: float, _: int) -> str:
    return f"{value:+.3g}" if value else "0"


def _draw_cells(axis: "Axes", values: "object") -> "AxesImage":
    known = numpy.abs(values[numpy.isfinite(values)])
    most = float(known.max()) if known.size and known.max() > 0 else 1.0
    image = axis.imshow(values, cmap=_GAINS, vmin=-most, vmax=most, aspect="auto")
    axis.set_facecolor(PALE_GREY)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return image


def _name_cells(axis: "Axes", rows: Sequence[str], columns: Sequence[str]) -> None:
    axis.set_yticks(range(len(rows)), rows, fontsize=11)
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(columns) > 3 else {}
    axis.set_xticks(range(len(columns)), columns, fontsize=11, **slanted)


def _write_values(axis: "Axes", cells: Sequence[Sequence[LeaderboardCell | None]], image: "AxesImage") -> None:
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            if cell and not math.isnan(cell.difference.value):
                is_dark = abs(image.norm(_shown_gain(cell)) - 0.5) * 2 > _DARK
                colour = "white" if is_dark else "black"
                axis.text(column, row, _value_text(cell), ha="center", va="center", fontsize=11, color=colour)


def _value_text(cell: LeaderboardCell) -> str:
    """The difference, in brackets where it is neither better nor worse, with a star where it is among the best."""
    number = f"{cell.difference.value:+.3f}".replace("0.", ".", 1)
    shown = number if kind_of(cell.verdict) in (BETTER, WORSE) else f"({number})"
    return f"{shown}{'*' if cell.is_best else ''}"


_OF_VERDICTS = {"better": BLUE, "equal": GREEN, "identical": GREEN, "undecided": GREY, "worse": VERMILION}
_OF_VERDICTS |= {"no interval": BLACK, "too few to judge": BLACK}
_MOST_INTERVALS = 40  # cells; of more those that gained most
_CELL, _BESIDES_CELLS = 0.3, 1.9  # inches for each cell, and for all else
_NAME_COLUMNS = 34  # of Latin letters that fit left of the intervals


def draw_interval_plot(path: Path, leaderboard: Leaderboard) -> None:
    """The difference of each cell with its 95 % interval, the one that gained most on top, coloured by verdict; PNG."""
    known = [cell for cell in leaderboard.trained if cell.difference.value == cell.difference.value]
    cells = sorted(known, key=lambda cell: -cell.difference.value)[:_MOST_INTERVALS]
    names = [label((*cell.row, *cell.column), _NAME_COLUMNS) for cell in cells]
    left_out = f", the first {_MOST_INTERVALS} of {len(known)}" if len(known) > _MOST_INTERVALS else ""
    subject = f"{', '.join(leaderboard.metrics)}{left_out}"
    height = _BESIDES_CELLS + _CELL * len(cells)
    with picture(path, "Trained minus untouched, 95 % interval", subject, names, height) as figure:
        axis = figure.subplots()
        _draw_intervals(axis, cells)
        axis.set_yticks(range(len(cells)), names, fontsize=11)
        axis.set_ylim(len(cells) - 0.4, -0.6)
        axis.set_xlabel("difference")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:+.3g}" if value else "0")
        axis.locator_params(axis="x", nbins=6)
        put_legend(figure, axis, columns=4)


def _draw_intervals(axis: "Axes", cells: Sequence[LeaderboardCell]) -> None:
    axis.axvline(0, color=BLACK, linewidth=1, linestyle="--")
    axis.grid(axis="y", color="#EEEEEE", linewidth=1)
    axis.set_axisbelow(True)
    for verdict, colour in _OF_VERDICTS.items():
        chosen = [(place, cell.difference) for place, cell in enumerate(cells) if kind_of(cell.verdict) == verdict]
        if not chosen:
            continue
        places, values = [place for place, _ in chosen], [difference.value for _, difference in chosen]
        axis.plot(values, places, "o", color=colour, label=verdict)
        ends = [(place, each.low, each.high) for place, each in chosen if each.has_interval]
        axis.hlines(*zip(*ends, strict=True), color=colour) if ends else None


_COLOURS, _MARKERS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK), "osD^vP"  # 42 pairs, one after the other
_MOST_GROUPS = 3  # panels
_MOST_NAMED = 8  # columns in the legend
_PANEL = 3.2  # inches for each panel after the first
_WIDE = 20  # times as much: from there on the axis of costs is logarithmic
_LABEL_COLUMNS, _LABEL_HEIGHT = 26, 15  # of a label in Latin letters; in points
_LEGEND_COLUMNS, _MARKER_COLUMNS = 56, 5  # of the legend in Latin letters, and of it for a marker
_MOST_LABELS = 6  # in each panel: the best scores of the front


def draw_pareto_front(path: Path, leaderboard: Leaderboard, cost: Cost) -> None:
    """Score against cost of every cell, a panel for each group, its front as a line with names; PNG."""
    cells = [cell for cell in leaderboard.trained if cost.name in cell.costs and cell.score.value == cell.score.value]
    groups = sorted({cell.group for cell in cells})[:_MOST_GROUPS]
    columns = list(dict.fromkeys(cell.column for cell in cells))
    names = [label((*cell.row, *cell.column)) for cell in cells]
    height = HEIGHT + _PANEL * (len(groups) - 1)
    with picture(path, "Quality against cost", ", ".join(leaderboard.metrics), names, height) as figure:
        axes = figure.subplots(len(groups), 1, squeeze=False, sharex=True)[:, 0]
        _name_columns(axes[0], columns)
        _scale(axes[0], [cell.costs[cost.name] for cell in cells])
        for axis, group in zip(axes, groups, strict=True):
            _draw_front(axis, [cell for cell in cells if cell.group == group], columns, cost)
        axes[-1].set_xlabel(f"{cost.heading} ({'less' if cost.lower_is_better else 'more'} is better)")
        widest = max(cell_len(label(column, _LABEL_COLUMNS)) for column in columns)
        put_legend(figure, axes[0], columns=max(1, _LEGEND_COLUMNS // (widest + _MARKER_COLUMNS)))
        figure.draw_without_rendering()  # where things are is known from here on
        for axis, group in zip(axes, groups, strict=True):
            _name_front(axis, [cell for cell in cells if cell.group == group and cell.on_front], cost)


def _look(place: int) -> tuple[str, str]:
    """Colour and marker of a column."""
    return _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]


def _name_columns(axis: "Axes", columns: Sequence[Labels]) -> None:
    """Points without a place, for the legend."""
    for place, column in enumerate(columns[:_MOST_NAMED]):
        colour, marker = _look(place)
        axis.plot([], [], marker, color=colour, label=label(column, _LABEL_COLUMNS))


def _scale(axis: "Axes", costs: Sequence[float]) -> None:
    """The axis of costs, which all panels share."""
    if min(costs) > 0 and max(costs) > _WIDE * min(costs):
        axis.set_xscale("log", subs=[])
    else:
        axis.locator_params(axis="x", nbins=5)
    axis.xaxis.set_major_formatter(lambda value, _: short_number(value))


def _draw_front(axis: "Axes", cells: Sequence[LeaderboardCell], columns: Sequence[Labels], cost: Cost) -> None:
    front = sorted((cell for cell in cells if cell.on_front), key=lambda cell: cell.costs[cost.name])
    where = "post" if cost.lower_is_better else "pre"
    steps = [cell.costs[cost.name] for cell in front], [cell.score.value for cell in front]
    axis.step(*steps, where=where, color=GREY, linewidth=1.5, zorder=1)
    for cell in cells:
        colour, marker = _look(columns.index(cell.column))
        axis.plot(
            cell.costs[cost.name],
            cell.score.value,
            marker,
            color=colour,
            markersize=9,
            alpha=1 if cell.on_front else 0.45,
        )
    axis.margins(x=0.12, y=0.15)
    axis.set_ylabel("score")


def _name_front(axis: "Axes", cells: Sequence[LeaderboardCell], cost: Cost) -> None:
    """The row names of the front's cells next to their points, moved up where two would lie on each other."""
    lowest = float("-inf")
    middle = sum(axis.get_window_extent().intervalx) / 2
    best = sorted(cells, key=lambda cell: -cell.score.value)[:_MOST_LABELS]
    for cell in reversed(best):
        place = (cell.costs[cost.name], cell.score.value)
        across, up = axis.transData.transform(place) * 72 / axis.figure.dpi
        lowest = max(up, lowest + _LABEL_HEIGHT)
        is_right = across > middle * 72 / axis.figure.dpi
        offset = (-9 if is_right else 9, lowest - up + 6)
        look = {"textcoords": "offset points", "fontsize": 10, "ha": "right" if is_right else "left"}
        look["bbox"] = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
        axis.annotate(label(cell.row, _LABEL_COLUMNS), place, offset, **look).set_in_layout(False)
