"""Embeddings in two dimensions, coloured by label: which texts training brought together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
from rich.cells import cell_len

from embexp.reports.pictures.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    HALF,
    LEGEND_LINE,
    MODELS,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    legend_lines,
    picture,
    put_legend,
    range_of,
)
from embexp.reports.tables import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 1500  # of more some are sampled, always the same ones
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
_MARKERS = "o^sDvPX*"
_HOLLOW = "oD"  # of the labels that come after all colours
_OTHER = "all others"
_NAME_COLUMNS = 14
_LEGEND_WIDTH = 58  # Latin letters that a line of the legend has room for
_MARKER = 4  # letters that a marker takes
_PANELS = 4.1  # inches for all but the legend


@dataclass(frozen=True)
class _Projection:
    """Points in the plane and the share of the variance along each of its two axes, in [0, 1]."""

    points: numpy.ndarray
    explained: numpy.ndarray


def draw_projection(
    path: Path,
    subject: str,
    labels: Sequence[str],
    base: numpy.ndarray,
    trained: numpy.ndarray,
    models: tuple[str, str] = MODELS,
) -> None:
    """The two directions in which each model's embeddings differ most (PCA), base and trained at the same scale; PNG.

    Embeddings are brought to length 1 first, as cosine similarity sees them. The ten most frequent labels have
    colours, all others are grey.

    Args:
        labels: a name for each text, `(n,)`.
        base, trained: embeddings of the texts, `(n, dim)`; the two may differ in dim.
    """
    chosen = numpy.arange(len(labels))
    if len(labels) > _MOST_POINTS:
        chosen = numpy.sort(numpy.random.default_rng(0).choice(len(labels), _MOST_POINTS, replace=False))
    names = numpy.array([str(label) for label in labels])[chosen]
    found = [_project(numpy.asarray(vectors, dtype=float)[chosen]) for vectors in (base, trained)]
    found[1] = _turned_like(found[1], found[0])
    low, high = range_of(found[0].points, found[1].points)
    styles = _styles_of(names)
    columns = _legend_columns(styles)
    height = _PANELS + LEGEND_LINE * legend_lines(len(styles), columns)
    with picture(path, "Embeddings by label, two main directions", subject, [*styles, *models], height) as figure:
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for axis, model, projection in zip(axes, models, found, strict=True):
            _draw_points(axis, projection.points, names, styles)
            first, second = projection.explained
            axis.set(title=shortened(model, HALF), xlabel=f"1st: {first:.0%} of variance", ylabel=f"2nd: {second:.0%}")
            axis.set(xlim=(low, high), ylim=(low, high), xticks=[], yticks=[], aspect="equal")
        put_legend(figure, axes[0], columns, enlarged=1.6)


def _project(vectors: numpy.ndarray) -> _Projection:
    """The first two principal components of the vectors at length 1, `(n, 2)`."""
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / numpy.where(lengths == 0, 1, lengths)
    left, values, _ = numpy.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    points, shares = numpy.zeros((len(vectors), 2)), numpy.zeros(2)
    some = min(2, len(values))
    points[:, :some] = left[:, :some] * values[:some]
    shares[:some] = values[:some] ** 2 / ((values**2).sum() or 1.0)
    return _Projection(points, shares)


def _turned_like(second: _Projection, first: _Projection) -> _Projection:
    """The second one, mirrored where that brings its points nearer to those of the first: a direction has no sign."""
    signs = numpy.where((first.points * second.points).sum(axis=0) < 0, -1, 1)
    return _Projection(second.points * signs, second.explained)


def _styles_of(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """How the points of each label look, the most frequent one first; `other` stands for all that have no colour."""
    ranked = [name for name, _ in Counter(map(str, names)).most_common()]
    looks = [{"c": colour, "marker": marker} for colour, marker in zip(_COLOURS, _MARKERS, strict=True)]
    looks += [
        {"facecolors": "none", "edgecolors": colour, "marker": marker, "linewidths": 1.5}
        for colour, marker in zip(_COLOURS, _HOLLOW, strict=False)
    ]
    styles = dict(zip(ranked, looks, strict=False))
    return styles | {_OTHER: {"c": GREY, "marker": "."}} if len(ranked) > len(looks) else styles


def _legend_columns(names: Iterable[str]) -> int:
    """How many columns of names fit side by side, four at most."""
    widest = max(cell_len(shortened(name, _NAME_COLUMNS)) for name in names)
    return min(_LEGEND_WIDTH // (widest + _MARKER), 4)


def _draw_points(axis: "Axes", points: numpy.ndarray, names: numpy.ndarray, styles: dict) -> None:
    """The points of every label; those of other labels below all."""
    for name, look in styles.items():
        is_other = name == _OTHER
        chosen = ~numpy.isin(names, [*styles]) if is_other else names == name
        label = shortened(name, _NAME_COLUMNS)
        axis.scatter(*points[chosen].T, s=22, alpha=0.6, label=label, zorder=1 if is_other else 2, **look)
