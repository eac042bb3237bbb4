"""A leaderboard as confidence intervals of each difference to the untouched model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.reports.leaderboard_content import Leaderboard, LeaderboardCell, label
from embexp.reports.pictures.canvas import BLACK, BLUE, GREEN, GREY, VERMILION, picture, put_legend
from embexp.reports.verdict_words import kind_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"better": BLUE, "equal": GREEN, "identical": GREEN, "undecided": GREY, "worse": VERMILION}
_COLOURS |= {"no interval": BLACK}
_MOST = 40  # cells; of more those that gained most
_LINE, _REST = 0.3, 1.9  # inches for each cell, and for all else
_NAME_COLUMNS = 34  # of Latin letters that fit left of the intervals


def draw_interval_plot(path: Path, leaderboard: Leaderboard) -> None:
    """The difference of each cell with its 95 % interval, the one that gained most on top, coloured by verdict; PNG."""
    known = [cell for cell in leaderboard.trained if cell.difference.value == cell.difference.value]
    cells = sorted(known, key=lambda cell: -cell.difference.value)[:_MOST]
    names = [label((*cell.row, *cell.column), _NAME_COLUMNS) for cell in cells]
    left_out = f", the first {_MOST} of {len(known)}" if len(known) > _MOST else ""
    subject = f"{', '.join(leaderboard.metrics)}{left_out}"
    with picture(path, "Trained minus untouched, 95 % interval", subject, names, _REST + _LINE * len(cells)) as figure:
        axis = figure.subplots()
        _draw(axis, cells)
        axis.set_yticks(range(len(cells)), names, fontsize=11)
        axis.set_ylim(len(cells) - 0.4, -0.6)
        axis.set_xlabel("difference")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:+.3g}" if value else "0")
        axis.locator_params(axis="x", nbins=6)
        put_legend(figure, axis, columns=4)


def _draw(axis: "Axes", cells: Sequence[LeaderboardCell]) -> None:
    axis.axvline(0, color=BLACK, linewidth=1, linestyle="--")
    axis.grid(axis="y", color="#EEEEEE", linewidth=1)
    axis.set_axisbelow(True)
    for verdict, colour in _COLOURS.items():
        chosen = [(place, cell.difference) for place, cell in enumerate(cells) if kind_of(cell.verdict) == verdict]
        if not chosen:
            continue
        places, values = [place for place, _ in chosen], [difference.value for _, difference in chosen]
        axis.plot(values, places, "o", color=colour, label=verdict)
        ends = [(place, each.low, each.high) for place, each in chosen if each.has_interval]
        axis.hlines(*zip(*ends, strict=True), color=colour) if ends else None
