"""Histograms of similarity before and after training: does it separate alike texts from others?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.reports.pictures.canvas import BLACK, BLUE, GREY, MODELS, VERMILION, picture, put_legend, range_of
from embexp.reports.tables import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUM_BINS = 40
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
    base: Sequence[float],
    trained: Sequence[float],
    similarity: str,
    models: tuple[str, str] = MODELS,
) -> None:
    """Similarity of scored pairs, by low, middle and high gold score (thirds of 0 to 1); PNG, base above trained.

    The heading of each panel gives the overlap of the low and the high group: the common area of both histograms,
    0 % if they are disjoint, 100 % if they are equal (the overlap coefficient).

    Args:
        gold: in [0, 1], `(n,)`; base, trained: each model's similarity, `(n,)`.
        similarity: its name, such as `cosine`.
    """
    gold, base, trained = (numpy.asarray(values, dtype=float) for values in (gold, base, trained))
    groups = (
        _Group("low gold score", VERMILION, gold < _LOW),
        _Group("middle", GREY, (gold >= _LOW) & (gold < _HIGH)),
        _Group("high", BLUE, gold >= _HIGH),
    )
    edges = _edges(base, trained)
    headings = [
        f"{shortened(model, _NAME)}: low and high overlap {_overlap_of(groups, values, edges)}"
        for model, values in zip(models, (base, trained), strict=True)
    ]
    _draw(path, "Similarity by gold score", subject, groups, (base, trained), edges, headings, similarity, (None, None))


def draw_binary_histogram(
    path: Path,
    subject: str,
    gold: Sequence[int],
    base: Sequence[float],
    trained: Sequence[float],
    similarity: str,
    aucs: tuple[float, float],
    thresholds: tuple[float, float],
    models: tuple[str, str] = MODELS,
) -> None:
    """Similarity of positive and negative pairs, with the best threshold as a line; PNG, base above trained.

    Args:
        gold: 1 for positive, 0 for negative, `(n,)`; base, trained: each model's similarity, `(n,)`.
        similarity: its name, such as `cosine`.
        aucs: area under the ROC curve of base and trained, in [0, 1].
        thresholds: the best similarity thresholds of base and trained for positive pairs.
    """
    gold, base, trained = (numpy.asarray(values, dtype=float) for values in (gold, base, trained))
    groups = (_Group("negative pairs", VERMILION, gold == 0), _Group("positive pairs", BLUE, gold != 0))
    headings = [
        f"{shortened(model, _NAME)}: AUC {auc:.3f}, best threshold {threshold:.3f}"
        for model, auc, threshold in zip(models, aucs, thresholds, strict=True)
    ]
    title, edges = "Similarity of positives and negatives", _edges(base, trained)
    _draw(path, title, subject, groups, (base, trained), edges, headings, similarity, thresholds)


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


def _edges(base: numpy.ndarray, trained: numpy.ndarray) -> numpy.ndarray:
    return numpy.linspace(*range_of(base, trained, air=0.001), _NUM_BINS + 1)


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
    with picture(path, title, subject, [*headings, similarity]) as figure:
        axes = figure.subplots(2, 1, sharex=True, sharey=True)
        for axis, values, heading, threshold in zip(axes, models, headings, thresholds, strict=True):
            for group in groups:
                _fill(axis, values[group.member], edges, group)
            if threshold is not None:
                axis.axvline(threshold, color=BLACK, linestyle="--")
            axis.set_title(heading)
            axis.yaxis.set_major_formatter("{x:.0%}")
            axis.locator_params(axis="y", nbins=3)
        axes[1].set_xlabel(f"{similarity} similarity")
        figure.supylabel("share of the group")
        put_legend(figure, axes[0], columns=len(groups))


def _fill(axis: "Axes", values: numpy.ndarray, edges: numpy.ndarray, group: _Group) -> None:
    """A histogram whose columns add up to one, so that small groups show next to large ones."""
    label = f"{group.label} ({group.member.sum():,})"
    values = values[numpy.isfinite(values)]
    weights = numpy.full(len(values), 1 / max(len(values), 1))
    axis.hist(values, edges, weights=weights, color=group.colour, alpha=0.45, label=label)
    axis.hist(values, edges, weights=weights, color=group.colour, histtype="step", linewidth=1.8)
