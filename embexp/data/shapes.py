"""The shapes that data can have: which columns, in which order, with which kind of label."""

import re
from dataclasses import dataclass

from embexp.errors import ShapeError, did_you_mean, listed

ROW_PROMPT = "prompt"  # a column that any shape may have: goes before the first text of its row
# Two more, once rows were made of others: the id that a row shares with those made of it, and how it was made (null for
# the original).
MADE_FROM, MADE_BY = "made_from", "made_by"
ROW_GROUP = "group"  # rows with the same value belong together: a user, a document
PART = "part_of"  # what a row is of, where a sweep asks which parts of the rows help: a source, a category
OF_ANY_SHAPE = (ROW_PROMPT, MADE_FROM, MADE_BY, ROW_GROUP, PART)


@dataclass(frozen=True)
class Shape:
    """What a row of a data set means.

    Attributes:
        texts: the text columns in the order in which a loss reads them.
        label: name of the label column, None when there is none.
        label_kind: "score" (float in [0, 1]), "binary" (0 or 1), "class" (int with names), "scores" (a list: teacher
            scores, one per text after the anchor, or their margins, one per negative) or "embedding" (a list).
        negatives: whether columns negative_1, negative_2, ... follow the texts.
        text_lists: those of the texts that hold a list of texts in each row.
        extras: columns that a row may have besides: teacher scores of ranked rows, the type (a category) of a row.
    """

    name: str
    texts: tuple[str, ...]
    label: str | None = None
    label_kind: str | None = None
    negatives: bool = False
    text_lists: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def required_negatives(self) -> tuple[str, ...]:
        """The negative column that every row must have."""
        return ("negative_1",) if self.negatives else ()


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("scored_pair", ("sentence1", "sentence2"), "score", "score"),
        Shape("binary_pair", ("sentence1", "sentence2"), "label", "binary"),
        Shape("class_pair", ("sentence1", "sentence2"), "label", "class"),
        Shape("positive_pair", ("anchor", "positive"), extras=("type",)),
        Shape("triplet", ("anchor", "positive"), negatives=True, extras=("type",)),
        Shape("labelled_text", ("text",), "label", "class"),
        Shape(
            "ranked",
            ("query", "positives", "negatives"),
            text_lists=("positives", "negatives"),
            extras=("positive_scores", "negative_scores", "type"),
        ),
        Shape("scored_triplet", ("anchor", "positive"), "label", "scores", negatives=True),
        Shape("embedded_text", ("text",), "label", "embedding"),
        Shape("text", ("text",)),
        Shape("twin_text", ("text", "twin")),
        Shape("noised_text", ("damaged", "original")),
    )
}


def shape_named(name: str) -> Shape:
    """The shape of that name.

    Raises:
        ShapeError: there is no such shape.
    """
    if name not in SHAPES:
        expected, note = f"one of: {listed(SHAPES)}", did_you_mean(name, SHAPES)
        raise ShapeError(f"{name!r} is not a shape", expected=expected, note=note)
    return SHAPES[name]


def text_columns(shape: Shape, columns: list[str]) -> list[str]:
    """The text columns among `columns`, in the order of the shape, negatives by their number.

    >>> text_columns(SHAPES["triplet"], ["negative_2", "positive", "negative_1", "anchor"])
    ['anchor', 'positive', 'negative_1', 'negative_2']
    """
    negatives = [name for name in columns if re.fullmatch(r"negative_[1-9]\d*", name)] if shape.negatives else []
    return [*shape.texts, *sorted(negatives, key=lambda name: int(name.rpartition("_")[2]))]


def training_columns(shape: Shape, columns: list[str]) -> list[str]:
    """All columns that a loss reads: the texts in order, then the label."""
    return [*text_columns(shape, columns), *([shape.label] if shape.label else [])]


def described(shape: str) -> str:
    """A shape with its columns.

    >>> described("triplet")
    'triplet (anchor, positive, negative_1)'
    """
    return f"{shape} ({listed(training_columns(shape_named(shape), ['negative_1']))})"
