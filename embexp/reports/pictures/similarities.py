"""Pictures of pairs' similarity for each model: its histogram, and how it rises with the gold score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.reports.pictures.canvas import BLACK, BLUE, GREY, HALF, HEIGHT, VERMILION, picture, put_legend, range_of
from embexp.reports.tables import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUM_BINS = 40
_PANEL = 1.7  # inches that one more model takes
_NAME = 20  # Latin letters of a model's name that fit into a heading
_LOW, _HIGH = 1 / 3, 2 / 3  # gold scores below the one and above the other are low and high


@dataclass(frozen=True)
class _Group:
    """Pairs that are drawn in one colour."""

    label: str
    colour: str
    member: numpy.ndarray  # bool `(n,)`


def draw_scored_histogram(
    path: Path,
    subject: str,
    gold: Sequence[float],
    models: Mapping[str, Sequence[float]],
    similarity: str,
) -> None:
    """Similarity of scored pairs, by low, middle and high gold score (thirds of 0 to 1); PNG, models below each other.

    The heading of each panel gives the overlap of the low and the high group: the common area of both histograms,
    0 % if they are disjoint, 100 % if they are equal (the overlap coefficient).

    Args:
        gold: in [0, 1], `(n,)`.
        models: each model's similarity by its name, `(n,)`.
        similarity: its name, such as `cosine`.
    """
    gold, values = _as_numbers(gold, models)
    groups = (
        _Group("low gold score", VERMILION, gold < _LOW),
        _Group("middle", GREY, (gold >= _LOW) & (gold < _HIGH)),
        _Group("high", BLUE, gold >= _HIGH),
    )
    edges = _edges(values)
    headings = [
        f"{shortened(model, _NAME)}: low and high overlap {_overlap_of(groups, each, edges)}"
        for model, each in zip(models, values, strict=True)
    ]
    thresholds = [None] * len(values)
    _draw(path, "Similarity by gold score", subject, groups, values, edges, headings, similarity, thresholds)


def draw_binary_histogram(
    path: Path,
    subject: str,
    gold: Sequence[int],
    models: Mapping[str, Sequence[float]],
    similarity: str,
    aucs: Sequence[float],
    thresholds: Sequence[float],
) -> None:
    """Similarity of positive and negative pairs, with the best threshold as a line; PNG, models below each other.

    Args:
        gold: 1 for positive, 0 for negative, `(n,)`.
        models: each model's similarity by its name, `(n,)`.
        similarity: its name, such as `cosine`.
        aucs: area under the ROC curve of each model, in [0, 1].
        thresholds: the best similarity threshold of each model for positive pairs.
    """
    gold, values = _as_numbers(gold, models)
    groups = (_Group("negative pairs", VERMILION, gold == 0), _Group("positive pairs", BLUE, gold != 0))
    headings = [
        f"{shortened(model, _NAME)}: AUC {auc:.3f}, best threshold {threshold:.3f}"
        for model, auc, threshold in zip(models, aucs, thresholds, strict=True)
    ]
    title, edges = "Similarity of positives and negatives", _edges(values)
    _draw(path, title, subject, groups, values, edges, headings, similarity, thresholds)


def _as_numbers(
    gold: Sequence[float], models: Mapping[str, Sequence[float]]
) -> tuple[numpy.ndarray, list[numpy.ndarray]]:
    return numpy.asarray(gold, dtype=float), [numpy.asarray(values, dtype=float) for values in models.values()]


def _overlap(first: numpy.ndarray, second: numpy.ndarray, edges: numpy.ndarray) -> float:
    """The share of area that two histograms have in common, in [0, 1]; nan where one of them is empty."""
    counts = [numpy.histogram(values, edges)[0] for values in (first, second)]
    if not all(count.any() for count in counts):
        return float("nan")
    return float(numpy.minimum(*(count / count.sum() for count in counts)).sum())


def _overlap_of(groups: Sequence[_Group], values: numpy.ndarray, edges: numpy.ndarray) -> str:
    """The overlap of the first and the last group in percent."""
    share = _overlap(values[groups[0].member], values[groups[-1].member], edges)
    return "unknown" if math.isnan(share) else f"{share:.0%}"


def _edges(models: Sequence[numpy.ndarray]) -> numpy.ndarray:
    return numpy.linspace(*range_of(*models, air=0.001), _NUM_BINS + 1)


def _draw(
    path: Path,
    title: str,
    subject: str,
    groups: Sequence[_Group],
    models: Sequence[numpy.ndarray],
    edges: numpy.ndarray,
    headings: Sequence[str],
    similarity: str,
    thresholds: Sequence[float | None],
) -> None:
    height = HEIGHT + _PANEL * (len(models) - 2)
    with picture(path, title, subject, [*headings, similarity], height) as figure:
        axes = figure.subplots(len(models), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axis, values, heading, threshold in zip(axes, models, headings, thresholds, strict=True):
            for group in groups:
                _fill(axis, values[group.member], edges, group)
            if threshold is not None:
                axis.axvline(threshold, color=BLACK, linestyle="--")
            axis.set_title(heading)
            axis.yaxis.set_major_formatter("{x:.0%}")
            axis.locator_params(axis="y", nbins=3)
        axes[-1].set_xlabel(f"{similarity} similarity")
        figure.supylabel("share of the group")
        put_legend(figure, axes[0], columns=len(groups))


def _fill(axis: "Axes", values: numpy.ndarray, edges: numpy.ndarray, group: _Group) -> None:
    """A histogram whose columns add up to one, so that small groups show next to large ones."""
    label = f"{group.label} ({group.member.sum():,})"
    values = values[numpy.isfinite(values)]
    weights = numpy.full(len(values), 1 / max(len(values), 1))
    axis.hist(values, edges, weights=weights, color=group.colour, alpha=0.45, label=label)
    axis.hist(values, edges, weights=weights, color=group.colour, histtype="step", linewidth=1.8)


_MOST_POINTS = 400  # more pairs are drawn as hexagons that are darker the more pairs they hold
_HEXAGONS = 18  # across
_BARELY = 0.001
_SCALE = "Blues"  # the more pairs, the darker
_WHITE = 0.4  # pairs of which a hexagon would be white, so that those of one pair are not


def draw_gold_against_predicted(
    path: Path,
    subject: str,
    gold: Sequence[float],
    models: Mapping[str, Sequence[float]],
    similarity: str,
    spearmans: Sequence[float],
) -> None:
    """Every pair at its gold score (across) and its similarity (up), two models in a line, on the same axes; PNG.

    Args:
        gold: true scores, `(n,)`.
        models: each model's similarity by its name, `(n,)`.
        similarity: its name, such as `cosine`.
        spearmans: Spearman's correlation of each model.
    """
    gold, values = _as_numbers(gold, models)
    lines, across = -(-len(models) // 2), min(len(models), 2)
    title, height = "Similarity against gold score", HEIGHT + (HEIGHT - 1.2) * (lines - 1)
    with picture(path, title, subject, [*models, similarity], height) as figure:
        grid = figure.subplots(lines, across, sharex=True, sharey=True, squeeze=False)
        axes = grid.ravel()[: len(models)]
        for axis in grid.ravel()[len(models) :]:
            axis.remove()
        draw = _draw_hexagons if len(gold) > _MOST_POINTS else _draw_points
        draw(figure, axes, gold, values)
        for axis, model, spearman in zip(axes, models, spearmans, strict=True):
            axis.set(xlim=range_of(gold), ylim=range_of(*values), xlabel="gold score")
            axis.locator_params(axis="x", nbins=3)
            axis.xaxis.set_major_formatter("{x:g}")
            axis.set_title(f"{shortened(model, HALF)}\nSpearman {spearman:.3f}")
            axis.label_outer()
        for axis in grid[:, 0]:
            axis.set_ylabel(f"{similarity} similarity")


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
