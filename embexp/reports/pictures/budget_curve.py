"""The best of the budget: what a race had found on dev by what it had spent, and where candidates were dropped."""

from collections.abc import Sequence
from pathlib import Path

from embexp.reports.leaderboard_content import short_number
from embexp.reports.pictures.canvas import BLACK, BLUE, GREY, MODELS, ORANGE, VERMILION, picture, put_legend
from embexp.reports.tables import shortened

_Point = tuple[float, float]  # what was spent, value on dev
_MINUTES_FROM = 300  # seconds
_TITLE, _COLUMNS = "The best of the budget", 48
EMPTY = "nothing was measured"


def draw_budget_curve(
    path: Path,
    subject: str,
    best: Sequence[_Point],
    tried: Sequence[_Point],
    dropped: Sequence[_Point],
    base: float | None,
    metric: str,
    unit: str,
    budget: float | None = None,
) -> None:
    """The best value so far as steps, what candidates had in each round, and crosses where some were dropped; PNG.

    Args:
        best: so far, after each round.
        tried: what each candidate had after each round.
        dropped: the last values of those that were dropped, at the end of that round.
        base: the best untouched model's value, a dashed line; None where it was not measured.
        metric: the name of the dev metric, higher is better.
        unit: of what was spent: seconds or examples.
        budget: all that may be spent, a line; None: no limit, or it is far beyond what was spent.
    """
    scale = 60.0 if unit == "seconds" and max([0.0, *(spent for spent, _ in best)]) >= _MINUTES_FROM else 1.0
    with picture(path, _TITLE, subject, [metric]) as figure:
        axis = figure.subplots()
        if base is not None:
            axis.axhline(base, color=GREY, linestyle="--", label=f"{MODELS[0]} {base:.3f}")
        if not best:
            axis.text(0.5, 0.5, EMPTY, ha="center", transform=axis.transAxes)
        for points, look in (
            (tried, {"color": BLACK, "marker": "o", "markersize": 4, "label": "candidate"}),
            (dropped, {"color": VERMILION, "marker": "x", "markersize": 9, "markeredgewidth": 2, "label": "dropped"}),
        ):
            if points:
                axis.plot([spent / scale for spent, _ in points], [value for _, value in points], ls="", **look)
        if best:
            spent, values = zip(*best, strict=True)
            axis.step([each / scale for each in spent], values, where="post", color=BLUE, label="best so far")
        if budget is not None:
            axis.axvline(budget / scale, color=ORANGE, linewidth=1.5, label="budget")
        axis.set_title(shortened(f"dev {metric}", _COLUMNS))
        axis.set_xlabel("minutes" if scale > 1 else unit)
        axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter(lambda value, _: short_number(value))
        axis.locator_params(axis="x", nbins=6)
        axis.margins(y=0.1)
        put_legend(figure, axis, columns=2)
