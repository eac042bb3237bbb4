"""The history of a study: what each trial reached, the best so far, and how the dev scores went inside of trials."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.reports.pictures.canvas import BLACK, BLUE, GREY, HALF, ORANGE, PALE_GREY, picture, put_legend
from embexp.reports.tables import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Points = Sequence[tuple[int, float]]
NOTHING = "no trial has come to its end"


def draw_study_history(
    path: Path, subject: str, done: _Points, pruned: _Points, curves: Mapping[int, _Points], metric: str
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


def _best_so_far(done: _Points) -> list[tuple[int, float]]:
    """The highest value up to each trial.

    >>> _best_so_far([(0, 0.5), (2, 0.4), (3, 0.6)])
    [(0, 0.5), (2, 0.5), (3, 0.6)]
    """
    return [(trial, max(value for _, value in done[: place + 1])) for place, (trial, _) in enumerate(done)]


def _draw_trials(axis: "Axes", done: _Points, pruned: _Points, best: tuple[int, float] | None) -> None:
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


def _draw_curves(axis: "Axes", curves: Mapping[int, _Points], best: tuple[int, float] | None) -> None:
    for trial, curve in curves.items():
        if curve and (best is None or trial != best[0]):
            axis.plot(*zip(*curve, strict=True), color=PALE_GREY, linewidth=1.5)
    if best is not None and curves.get(best[0]):
        axis.plot(*zip(*curves[best[0]], strict=True), color=ORANGE, marker="o")
    axis.set_title("inside of trials")
