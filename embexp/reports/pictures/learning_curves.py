"""Learning curves: how the loss fell, what that did to the model on dev, of a run and of all cells of a leaderboard.

And the history of a study, trial by trial.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.reports.leaderboard_content import Leaderboard, LeaderboardCell, label, short_number
from embexp.reports.pictures.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    HALF,
    HEIGHT,
    LEGEND_LINE,
    MODELS,
    ORANGE,
    PALE_GREY,
    PURPLE,
    SKY,
    VERMILION,
    picture,
    put_legend,
)
from embexp.reports.tables import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Curve = Sequence[tuple[int, float]]  # (step, value)
_SMOOTHED_FROM = 40  # points: from so many on a running mean is drawn over them, each of about a twentieth of them
_AIR = 1.08  # the axis of steps is so much longer than they are


def draw_learning_curves(
    path: Path, subject: str, losses: _Curve, dev: _Curve, metric: str, base: float | None, best_step: int | None
) -> None:
    """Training loss (left) and dev metric (right) against steps; PNG.

    Args:
        losses, dev: (step, value), in the order of the steps; either may be empty.
        metric: the name of the dev metric, higher is better.
        base: its value for the untouched model, a dashed line; None where it was not measured.
        best_step: the step whose weights are kept, a star; None where there is none.
    """
    last = max([1, *(step for step, _ in (*losses, *dev))])
    with picture(path, "Loss and dev score while training", subject, [metric]) as figure:
        left, right = figure.subplots(1, 2, sharex=True)
        _draw_loss(left, losses)
        _draw_dev(right, dev, base, best_step)
        left.set_title("training loss")
        right.set_title("\n".join(shortened(part, HALF) for part in f"dev {metric}".rsplit("/", 1)))
        put_legend(figure, right, columns=2)
        for axis in (left, right):
            axis.set_xlabel("step")
            axis.set_xlim(0, last * _AIR)
            axis.locator_params(axis="x", nbins=4, integer=True)
            axis.locator_params(axis="y", nbins=5)


def _running_mean(values: numpy.ndarray, size: int) -> numpy.ndarray:
    """The mean of each value and `size` values on either side of it, of as many as there are at the ends."""
    sums = numpy.cumsum(numpy.concatenate([[0.0], values]))
    places = numpy.arange(len(values))
    starts, ends = numpy.maximum(places - size, 0), numpy.minimum(places + size + 1, len(values))
    return (sums[ends] - sums[starts]) / (ends - starts)


def _draw_loss(axis: "Axes", losses: _Curve) -> None:
    steps, values = _finite(losses)
    if not len(steps):
        _say(axis, "no loss was logged")
    elif len(steps) < _SMOOTHED_FROM:
        axis.plot(steps, values, color=VERMILION, marker="o" if len(steps) == 1 else None)
    else:
        axis.plot(steps, values, color=ORANGE, linewidth=1, alpha=0.6)
        axis.plot(steps, _running_mean(values, len(values) // _SMOOTHED_FROM), color=VERMILION)


def _draw_dev(axis: "Axes", dev: _Curve, base: float | None, best_step: int | None) -> None:
    steps, values = _finite(dev)
    if base is not None:
        axis.axhline(base, color=GREY, linestyle="--", label=f"{MODELS[0]} {base:.3f}")
    axis.plot(steps, values, color=BLUE, marker="o")
    if best_step is not None and best_step in steps:
        best = values[steps == best_step][0]
        label = f"kept: step {best_step:,}, {best:.3f}"
        axis.plot(best_step, best, color=ORANGE, marker="*", markersize=22, markeredgecolor=BLACK, ls="", label=label)
    if not len(steps):
        _say(axis, "dev was not measured")
    axis.margins(y=0.1)


def _finite(curve: _Curve) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Steps and values of those points that are numbers."""
    points = numpy.array(curve, dtype=float).reshape(-1, 2)
    points = points[numpy.isfinite(points[:, 1])]
    return points[:, 0].astype(int), points[:, 1]


def _say(axis: "Axes", message: str) -> None:
    axis.text(0.5, 0.3, message, ha="center", transform=axis.transAxes)


NOTHING = "no trial has come to its end"


def draw_study_history(
    path: Path, subject: str, done: _Curve, pruned: _Curve, curves: Mapping[int, _Curve], metric: str
) -> None:
    """Dev score by trial (left), and by evaluation inside of each trial (right); PNG.

    Args:
        done: (trial, value) of those that came to their end, in the order of the trials.
        pruned: (trial, last value) of those that were stopped.
        curves: by trial (evaluation, value).
        metric: the name of the dev metric, higher is better.
    """
    best = max(done, key=lambda point: (point[1], -point[0]), default=None)
    with picture(path, "What the trials reached on dev", subject, [metric]) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_trials(left, done, pruned, best)
        _draw_curves(right, curves, best)
        left.set_title("\n".join(shortened(part, HALF) for part in metric.rsplit("/", 1)))
        left.set_xlabel("trial")
        right.set_xlabel("evaluation")
        put_legend(figure, left, columns=2)
        for axis in (left, right):
            axis.locator_params(axis="x", nbins=5, integer=True)
            axis.margins(y=0.1)


def _best_so_far(done: _Curve) -> list[tuple[int, float]]:
    """The highest value up to each trial.

    >>> _best_so_far([(0, 0.5), (2, 0.4), (3, 0.6)])
    [(0, 0.5), (2, 0.5), (3, 0.6)]
    """
    return [(trial, max(value for _, value in done[: place + 1])) for place, (trial, _) in enumerate(done)]


def _draw_trials(axis: "Axes", done: _Curve, pruned: _Curve, best: tuple[int, float] | None) -> None:
    if best is None:
        axis.text(0.5, 0.5, NOTHING, ha="center", wrap=True, transform=axis.transAxes)
    else:
        axis.step(*zip(*_best_so_far(done), strict=True), where="post", color=BLUE, label="best so far")
        axis.plot(*zip(*done, strict=True), color=BLACK, marker="o", ls="", label="trial")
    if pruned:
        axis.plot(*zip(*pruned, strict=True), color=GREY, marker="x", ls="", markeredgewidth=2, label="stopped early")
    if best is not None:
        look = {"marker": "*", "markersize": 22, "markeredgecolor": BLACK, "ls": ""}
        axis.plot(*best, color=ORANGE, label=f"best: trial {best[0]}, {best[1]:.3f}", **look)


def _draw_curves(axis: "Axes", curves: Mapping[int, _Curve], best: tuple[int, float] | None) -> None:
    for trial, curve in curves.items():
        if curve and (best is None or trial != best[0]):
            axis.plot(*zip(*curve, strict=True), color=PALE_GREY, linewidth=1.5)
    if best is not None and curves.get(best[0]):
        axis.plot(*zip(*curves[best[0]], strict=True), color=ORANGE, marker="o")
    axis.set_title("inside of trials")


_LOOKS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
_MOST_METRICS = 3  # panels
_NAME_COLUMNS = 34  # of a cell in the legend
_PANEL = 3.2  # inches for each panel after the first


def draw_cells(path: Path, leaderboard: Leaderboard) -> None:
    """The metric on dev of each cell by the examples that its training had read, a panel for each metric; PNG.

    The best seven have a colour and a name; a cell that was still rising when it stopped ends in a triangle.
    """
    cells = [cell for cell in leaderboard.trained if cell.curve]
    metrics = list(dict.fromkeys(cell.metric.partition("/")[2] for cell in cells))[:_MOST_METRICS]
    named = cells[: len(_LOOKS)]
    names = [label((*cell.row, *cell.column), _NAME_COLUMNS) for cell in named]
    height = HEIGHT + _PANEL * (len(metrics) - 1) + LEGEND_LINE * len(named)
    with picture(path, "Dev score by examples read", "a triangle: still rising", [*names, *metrics], height) as figure:
        axes = figure.subplots(len(metrics), 1, squeeze=False, sharex=True)[:, 0]
        for cell in reversed(cells):
            panel = cell.metric.partition("/")[2]
            if panel in metrics:
                look = _LOOKS[named.index(cell)] if cell in named else PALE_GREY
                _draw_cell(axes[metrics.index(panel)], cell, look)
        for axis, metric in zip(axes, metrics, strict=True):
            axis.set_title(f"dev {metric}")
            axis.margins(y=0.1)
        for colour, name in zip(_LOOKS, names, strict=False):
            axes[0].plot([], [], color=colour, label=name)
        axes[-1].set_xlabel("examples read")
        axes[-1].xaxis.set_major_formatter(lambda value, _: short_number(value))
        axes[-1].locator_params(axis="x", nbins=5)
        put_legend(figure, axes[0], columns=1)


def _draw_cell(axis: "Axes", cell: LeaderboardCell, colour: str) -> None:
    axis.plot(*zip(*cell.curve, strict=True), color=colour)
    marker = "^" if cell.still_rises else "o"
    axis.plot(*cell.curve[-1], color=colour, marker=marker, markersize=11 if cell.still_rises else 6, ls="")
