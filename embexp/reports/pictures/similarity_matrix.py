"""The similarity of a handful of sentences, each with each, as two heat maps: what training pulled apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.reports.pictures.canvas import HALF, MODELS, PALE_GREY, SCALE, picture
from embexp.reports.tables import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_MOST_WITH_VALUES = 8  # sentences: more cells are too small for their numbers
_TEXT_COLUMNS = 66  # that fit below the heat maps
_LINE = 0.26  # inches for each sentence below them
_MAPS = 3.6  # inches for all else


def draw_similarity_matrix(
    path: Path,
    subject: str,
    texts: Sequence[str],
    base: numpy.ndarray,
    trained: numpy.ndarray,
    similarity: str,
    models: tuple[str, str] = MODELS,
) -> None:
    """Heat maps of both models with the same colours for the same values, the numbered sentences below; PNG.

    The diagonal is left out: every text is most similar to itself.

    Args:
        texts: 2 to 12 of them; more become too small to see.
        base, trained: each model's similarity of every text with every other, `(texts, texts)`.
        similarity: its name, such as `cosine`.
    """
    is_diagonal = numpy.eye(len(texts), dtype=bool)
    matrices = [numpy.where(is_diagonal, numpy.nan, numpy.asarray(matrix, dtype=float)) for matrix in (base, trained)]
    scale = {"vmin": numpy.nanmin(matrices), "vmax": numpy.nanmax(matrices)}
    height = _MAPS + _LINE * len(texts)
    title = "Similarity of sentences with each other"
    with picture(path, title, subject, [*texts, *models, similarity], height) as figure:
        ratios = (_MAPS - 0.8, _LINE * len(texts))
        axes = figure.subplot_mosaic([["base", "trained"], ["texts", "texts"]], height_ratios=ratios)
        maps = [axes["base"], axes["trained"]]
        for axis, model, matrix in zip(maps, models, matrices, strict=True):
            axis.set_title(shortened(model, HALF))
            image = _draw_map(axis, matrix, scale)
        figure.colorbar(image, ax=maps, label=similarity, shrink=0.9)
        _list_texts(axes["texts"], texts)


def _draw_map(axis: "Axes", matrix: numpy.ndarray, scale: dict[str, float]) -> "AxesImage":
    size = len(matrix)
    image = axis.imshow(matrix, cmap=SCALE, **scale)
    axis.set_facecolor(PALE_GREY)
    axis.spines[:].set_visible(False)
    axis.set_xticks(range(size), range(1, size + 1))
    axis.set_yticks(range(size), range(1, size + 1))
    axis.tick_params(length=0, labelsize=13 if size < 10 else 10)
    if size <= _MOST_WITH_VALUES:
        _write_values(axis, matrix, image)
    return image


def _write_values(axis: "Axes", matrix: numpy.ndarray, image: "AxesImage") -> None:
    """The number in every cell: black on light colours, white on dark ones."""
    size = 10 if len(matrix) > 6 else 12
    for row, column in numpy.argwhere(numpy.isfinite(matrix)):
        value = matrix[row, column]
        colour = "black" if image.norm(value) > 0.5 else "white"
        axis.text(column, row, _short_number(value), ha="center", va="center", fontsize=size, color=colour)


def _short_number(value: float) -> str:
    """A number in about three characters.

    >>> [_short_number(value) for value in (0.874, -0.123, -0.001, 1.0, -3.14159, 250.4)]
    ['.87', '-.12', '.00', '1.0', '-3.1', '250']
    """
    if abs(value) < 0.995:
        return f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1)
    return f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"


def _list_texts(axis: "Axes", texts: Sequence[str]) -> None:
    axis.axis("off")
    for place, text in enumerate(texts):
        line = f"{place + 1}  {shortened(text, _TEXT_COLUMNS)}"
        height = 1 - (place + 0.5) / len(texts)
        axis.text(0, height, line, va="center", fontsize=12, transform=axis.transAxes).set_in_layout(False)
