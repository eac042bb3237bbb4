"""Pairs with a graded score: the user says from which score on a pair is a positive."""

from collections.abc import Iterator

from embexp.steps.conversions.conversion import ConversionInput, Row, prompt_of


def to_positive_pairs(source: ConversionInput) -> Iterator[Row]:
    """Pairs scored at least `min_score`."""
    lowest = source.settings.min_score
    for row in source.rows():
        if row["score"] >= lowest:
            yield {"anchor": row["sentence1"], "positive": row["sentence2"], **prompt_of(row)}
        else:
            source.left_out[f"below {lowest}"] += 1


def to_binary_pairs(source: ConversionInput) -> Iterator[Row]:
    """Pairs scored at least `min_score` are 1, those scored at most `max_score` 0; those between are left out."""
    lowest, highest = source.settings.min_score, source.settings.max_score
    for row in source.rows():
        if highest < row["score"] < lowest:
            source.left_out[f"between {highest} and {lowest}"] += 1
        else:
            label = int(row["score"] >= lowest)
            yield {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "label": label, **prompt_of(row)}
