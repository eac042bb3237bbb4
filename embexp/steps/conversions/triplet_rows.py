"""Triplets, with a teacher's scores or without."""

from collections.abc import Iterator

from embexp.data.shapes import text_columns
from embexp.steps.conversions.conversion import ConversionInput, Row, prompt_of


def to_positive_pairs(source: ConversionInput) -> Iterator[Row]:
    """Anchor and positive; the negatives are left out."""
    for row in source.rows():
        yield {"anchor": row["anchor"], "positive": row["positive"], **prompt_of(row)}


def to_binary_pairs(source: ConversionInput) -> Iterator[Row]:
    """Anchor and positive are 1, anchor and each negative 0."""
    others = source.dataset.text_columns[1:]
    for row in source.rows():
        for column in others:
            label = int(column == "positive")
            yield {"sentence1": row["anchor"], "sentence2": row[column], "label": label, **prompt_of(row)}


def without_scores(source: ConversionInput) -> Iterator[Row]:
    """The texts without scores."""
    columns = text_columns(source.dataset.shape, source.table.column_names)
    for row in source.rows():
        yield {column: row[column] for column in columns} | prompt_of(row)
