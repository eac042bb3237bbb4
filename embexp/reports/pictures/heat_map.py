"""A leaderboard as a heat map: the gain of each configuration on the untouched model."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.reports.leaderboard_content import Leaderboard, LeaderboardCell, label
from embexp.reports.pictures.canvas import PALE_GREY, picture
from embexp.reports.verdict_words import BETTER, WORSE, kind_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_SCALE = "RdBu"  # red below zero, blue above: colour-blind readers can distinguish them
_MOST_ROWS, _MOST_COLUMNS = 40, 12
_MOST_WITH_VALUES = 6  # columns: more are too narrow for their numbers
_LINE, _REST = 0.36, 2.2  # inches for each row, and for all else
_ROW_COLUMNS, _COLUMN_COLUMNS = 26, 20  # of Latin letters that fit on the left and below
_DARK = 0.6  # share of the scale from which on numbers are white


def draw_heat_map(path: Path, leaderboard: Leaderboard) -> None:
    """Rows by columns, coloured by the difference to the untouched model; PNG.

    A number in brackets is neither better nor worse, one with a star is best or tied with it. Of more than 40 rows
    those that gained most are drawn.
    """
    rows, columns = leaderboard.rows[:_MOST_ROWS], leaderboard.columns[:_MOST_COLUMNS]
    cells = [[next(iter(leaderboard.at(row, column)), None) for column in columns] for row in rows]
    values = numpy.array([[cell.difference.value if cell else math.nan for cell in line] for line in cells])
    names = [label(row, _ROW_COLUMNS) for row in rows], [label(column, _COLUMN_COLUMNS) for column in columns]
    has_values = len(columns) <= _MOST_WITH_VALUES
    subject = f"{', '.join(leaderboard.metrics)}{'; (…): neither better nor worse, *: best or tied' * has_values}"
    title = "Difference to the untouched model"
    with picture(path, title, subject, [*names[0], *names[1]], _REST + _LINE * len(rows)) as figure:
        axis = figure.subplots()
        image = _draw(axis, values)
        _name(axis, *names)
        if has_values:
            _write_values(axis, cells, image)
        figure.colorbar(image, ax=axis, format=_signed, shrink=0.9, aspect=max(6, len(rows)))


def _signed(value: float, _: int) -> str:
    return f"{value:+.3g}" if value else "0"


def _draw(axis: "Axes", values: "object") -> "AxesImage":
    known = numpy.abs(values[numpy.isfinite(values)])
    most = float(known.max()) if known.size and known.max() > 0 else 1.0
    image = axis.imshow(values, cmap=_SCALE, vmin=-most, vmax=most, aspect="auto")
    axis.set_facecolor(PALE_GREY)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return image


def _name(axis: "Axes", rows: Sequence[str], columns: Sequence[str]) -> None:
    axis.set_yticks(range(len(rows)), rows, fontsize=11)
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(columns) > 3 else {}
    axis.set_xticks(range(len(columns)), columns, fontsize=11, **slanted)


def _write_values(axis: "Axes", cells: Sequence[Sequence[LeaderboardCell | None]], image: "AxesImage") -> None:
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            if cell and not math.isnan(cell.difference.value):
                is_dark = abs(image.norm(cell.difference.value) - 0.5) * 2 > _DARK
                colour = "white" if is_dark else "black"
                axis.text(column, row, _value_text(cell), ha="center", va="center", fontsize=11, color=colour)


def _value_text(cell: LeaderboardCell) -> str:
    """The difference, in brackets where it is neither better nor worse, with a star where it is among the best."""
    number = f"{cell.difference.value:+.3f}".replace("0.", ".", 1)
    shown = number if kind_of(cell.verdict) in (BETTER, WORSE) else f"({number})"
    return f"{shown}{'*' if cell.is_best else ''}"
