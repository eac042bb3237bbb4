"""Quality against cost: which configurations no other beats in both."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

from embexp.reports.leaderboard_content import Cost, Labels, Leaderboard, LeaderboardCell, label, short_number
from embexp.reports.pictures.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    HEIGHT,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    picture,
    put_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
            _draw(axis, [cell for cell in cells if cell.group == group], columns, cost)
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


def _draw(axis: "Axes", cells: Sequence[LeaderboardCell], columns: Sequence[Labels], cost: Cost) -> None:
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
