"""Pairs labelled 0 or 1."""

from collections.abc import Iterator

from embexp.steps.conversions.conversion import ConversionInput, Row, prompt_of


def to_positive_pairs(source: ConversionInput) -> Iterator[Row]:
    """Pairs labelled 1; those labelled 0 are left out."""
    for row in source.rows():
        if row["label"] == 1:
            yield {"anchor": row["sentence1"], "positive": row["sentence2"], **prompt_of(row)}
        else:
            source.left_out["labelled 0"] += 1


def to_scored_pairs(source: ConversionInput) -> Iterator[Row]:
    """The label becomes the score: 1.0 or 0.0."""
    for row in source.rows():
        pair = {"sentence1": row["sentence1"], "sentence2": row["sentence2"]}
        yield pair | {"score": float(row["label"])} | prompt_of(row)
