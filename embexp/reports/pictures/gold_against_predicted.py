"""Gold score against predicted similarity: does the one rise with the other?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.reports.pictures.canvas import BLUE, HALF, MODELS, picture, range_of
from embexp.reports.tables import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 400  # more pairs are drawn as hexagons that are darker the more pairs they hold
_HEXAGONS = 18  # across
_BARELY = 0.001
_SCALE = "Blues"  # the more pairs, the darker
_WHITE = 0.4  # pairs of which a hexagon would be white, so that those of one pair are not


def draw_gold_against_predicted(
    path: Path,
    subject: str,
    gold: Sequence[float],
    base: Sequence[float],
    trained: Sequence[float],
    similarity: str,
    spearmans: tuple[float, float],
    models: tuple[str, str] = MODELS,
) -> None:
    """Every pair at its gold score (across) and its similarity (up), base and trained on the same axes; PNG.

    Args:
        gold, base, trained: true scores and each model's similarity, `(n,)`.
        similarity: its name, such as `cosine`.
        spearmans: Spearman's correlation of base and trained.
    """
    gold, base, trained = (numpy.asarray(values, dtype=float) for values in (gold, base, trained))
    with picture(path, "Similarity against gold score", subject, [*models, similarity]) as figure:
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        draw = _draw_hexagons if len(gold) > _MOST_POINTS else _draw_points
        draw(figure, axes, gold, (base, trained))
        for axis, model, spearman in zip(axes, models, spearmans, strict=True):
            axis.set(xlim=range_of(gold), ylim=range_of(base, trained), xlabel="gold score")
            axis.locator_params(axis="x", nbins=3)
            axis.xaxis.set_major_formatter("{x:g}")
            axis.set_title(f"{shortened(model, HALF)}\nSpearman {spearman:.3f}")
        axes[0].set_ylabel(f"{similarity} similarity")


def _draw_points(
    figure: "Figure",  # noqa: ARG001
    axes: Sequence["Axes"],
    gold: numpy.ndarray,
    models: Sequence[numpy.ndarray],
) -> None:
    for axis, values in zip(axes, models, strict=True):
        axis.scatter(gold, values, s=28, color=BLUE, alpha=0.4, linewidths=0)


def _draw_hexagons(
    figure: "Figure", axes: Sequence["Axes"], gold: numpy.ndarray, models: Sequence[numpy.ndarray]
) -> None:
    """Hexagons of both models with the same colour for the same number of pairs, and what the colours mean."""
    look = {"gridsize": _HEXAGONS, "mincnt": 1, "bins": "log", "cmap": _SCALE, "linewidths": 0}
    extent = (*range_of(gold, air=_BARELY), *range_of(*models, air=_BARELY))  # so that no hexagon is cut off
    hexagons = [axis.hexbin(gold, values, extent=extent, **look) for axis, values in zip(axes, models, strict=True)]
    most = max((count for found in hexagons for count in found.get_array()), default=1)
    for found in hexagons:
        found.set_clim(_WHITE, max(most, 2))
    bar = figure.colorbar(hexagons[0], ax=axes, location="bottom", label="pairs", format="%d", aspect=40)
    bar.minorticks_off()
