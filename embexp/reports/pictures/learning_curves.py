"""Learning curves: how the loss fell, and what that did to the model on dev."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.reports.pictures.canvas import BLACK, BLUE, GREY, HALF, MODELS, ORANGE, VERMILION, picture, put_legend
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
