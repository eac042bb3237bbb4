"""Texts without labels: the distinct ones of any data, and the pairs that unsupervised losses make from them."""

from collections.abc import Iterator

from embexp.data.arrow import batches_of
from embexp.steps.augment.text_changes import Deletion, TextChange, change_text
from embexp.steps.conversions.conversion import ConversionInput, Row
from embexp.steps.dedup.row_keys import first_places, texts_of_batch


def to_texts(source: ConversionInput) -> Iterator[Row]:
    """Every distinct text, row by row; texts are equal when all their characters are."""
    import pyarrow

    columns, start = source.dataset.text_columns, 0
    is_first = first_places(source.table, columns)
    for batch in batches_of(source.table):
        texts, _ = texts_of_batch(batch, columns)
        kept = texts.filter(pyarrow.array(is_first[start : start + len(texts)]))
        source.left_out["repeated texts"] += len(texts) - len(kept)
        start += len(texts)
        for text in kept.to_pylist():
            yield {"text": text}


def to_twins(source: ConversionInput) -> Iterator[Row]:
    """Each text twice: dropout makes the two encodings differ (Gao et al. 2021, SimCSE)."""
    for row in source.rows():
        yield {"text": row["text"], "twin": row["text"]}


def to_noised_texts(source: ConversionInput, noise: TextChange | None = None, seed: int | None = None) -> Iterator[Row]:
    """Each text with noise, and whole. The shipped noise deletes words (Wang et al. 2021, TSDAE).

    Args:
        noise, seed: None takes those of the settings.
    """
    noise = noise or Deletion(source.settings.deletion_ratio)
    seed = source.settings.seed if seed is None else seed
    for row in source.rows():
        yield {"damaged": change_text(row["text"], noise, seed), "original": row["text"]}
