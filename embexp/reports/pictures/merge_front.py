"""The front between the untouched and the trained model: own gain against what other tasks gained or lost."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.reports.pictures.canvas import BLACK, BLUE, GREY, VERMILION, picture, put_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Point = Mapping[str, Any]  # share, dev, and rows `own` and `guard`: difference, low, high
_TITLE = "Between untouched and trained weights"
_AIR = 0.12  # share of the range that is left free around the points
_LABEL, _BELOW = (8, 8), (7, -18)  # points of type from a mark to its number, where the line rises: below it


def draw_merge_front(path: Path, subject: str, points: Sequence[_Point], kept: float) -> None:
    """The models between the untouched and the trained one, by the share of the trained weights; PNG.

    With a guard the own test's difference stands above that of the guard, so that up is better on the own test and
    right is better elsewhere. Without one the own test stands above the share.

    Args:
        points: in the order of their shares, the untouched model (0) and the trained one (1) among them.
        kept: the share of the model that is exported; it gets a ring.
    """
    has_guard = all(each["guard"] for each in points)
    with picture(path, _TITLE, subject) as figure:
        axis = figure.subplots()
        places = [_place(each, has_guard) for each in points]
        axis.axhline(0, color=GREY, linewidth=1)
        if has_guard:
            axis.axvline(0, color=GREY, linewidth=1)
        axis.plot(*zip(*places, strict=True), color=GREY, linewidth=1.5, zorder=1)
        for each, place in zip(points, places, strict=True):
            _draw_point(axis, each, place, has_guard)
        chosen = next(place for each, place in zip(points, places, strict=True) if each["share"] == kept)
        look = {"facecolors": "none", "edgecolors": VERMILION, "linewidths": 2.5, "zorder": 4}
        axis.scatter(*chosen, s=220, label=_exported(kept), **look)
        _frame(axis, points, has_guard)
        put_legend(figure, axis, 1)


def _place(point: _Point, has_guard: bool) -> tuple[float, float]:
    return (point["guard"]["difference"] if has_guard else point["share"]), point["own"]["difference"]


def _draw_point(axis: "Axes", point: _Point, place: tuple[float, float], has_guard: bool) -> None:
    """A mark with the share beside it, and its intervals; the ends of the front are black."""
    is_end = point["share"] in (0, 1)
    colour = BLACK if is_end else BLUE
    whiskers = {"yerr": _whisker(point["own"])}
    if has_guard:
        whiskers["xerr"] = _whisker(point["guard"])
    axis.errorbar(*place, **whiskers, fmt="o", color=colour, elinewidth=1, alpha=0.45, markersize=0, zorder=2)
    axis.scatter(*place, s=55, color=colour, zorder=3)
    axis.annotate(
        _name(point["share"]),
        place,
        xytext=_LABEL if has_guard else _BELOW,
        textcoords="offset points",
        fontsize=12,
        color=colour,
    )


def _exported(share: float) -> str:
    return "exported: the trained model" if share == 1 else f"exported: {share:g} of the trained weights"


def _name(share: float) -> str:
    """What stands beside a point.

    >>> [_name(share) for share in (0, 0.35, 1.0)]
    ['untouched', '0.35', 'trained']
    """
    return {0: "untouched", 1: "trained"}.get(share, f"{share:g}")


def _whisker(row: Mapping[str, float]) -> list[list[float]] | None:
    """The lengths below and above a difference; None where it has no interval.

    >>> _whisker({"difference": 0.5, "low": 0.25, "high": 1.0}), _whisker({"difference": 0.5, "low": float("nan")})
    ([[0.25], [0.5]], None)
    """
    if math.isnan(row["low"]):
        return None
    return [[max(0.0, row["difference"] - row["low"])], [max(0.0, row["high"] - row["difference"])]]


def _frame(axis: "Axes", points: Sequence[_Point], has_guard: bool) -> None:
    """Name the axes, and leave room for whiskers and numbers."""
    axis.set_ylabel("own test, difference")
    axis.set_ylim(*_limits([each["own"] for each in points]))
    if has_guard:
        axis.set_xlabel("other tasks (mean of the guard), difference")
        axis.set_xlim(*_limits([each["guard"] for each in points]))
    else:
        axis.set_xlabel("share of the trained weights")
        axis.set_xlim(-_AIR, 1 + 2 * _AIR)
        axis.set_xticks([each["share"] for each in points])


def _limits(rows: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """The range of differences and the ends of their intervals, with air; never empty."""
    values = [row[key] for row in rows for key in ("difference", "low", "high") if math.isfinite(row[key])]
    low, high = min([0.0, *values]), max([0.0, *values])
    air = _AIR * ((high - low) or 0.01)
    return low - air, high + 1.5 * air
