"""Texts without labels: the distinct ones of any data, and the pairs that unsupervised losses make of them."""

import random
import re
from collections.abc import Iterator

from embexp.data.arrow import batches_of
from embexp.steps.comparing.text_hashes import first_places, texts_of_batch
from embexp.steps.conversions.conversion import Row, Source

# A word with the space after it; scripts without spaces (Chinese characters, kana) fall into characters.
_UNSPACED = "\u3001-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
WORD = re.compile(rf"(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)\s*")


def to_texts(source: Source) -> Iterator[Row]:
    """Every distinct text, row by row; texts are the same when all their characters are."""
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


def to_twins(source: Source) -> Iterator[Row]:
    """Each text twice: dropout makes the two encodings differ (Gao et al. 2021, SimCSE)."""
    for row in source.rows():
        yield {"text": row["text"], "twin": row["text"]}


def to_noised_texts(source: Source) -> Iterator[Row]:
    """Each text with words deleted, and whole (Wang et al. 2021, TSDAE)."""
    for row in source.rows():
        damaged = without_words(row["text"], source.settings.deletion_ratio, source.settings.seed)
        yield {"damaged": damaged, "original": row["text"]}


def without_words(text: str, ratio: float, seed: int) -> str:
    """The text without a share of its words (of its characters in scripts without spaces); at least one stays.

    Seed and text alone decide, so the order of the rows changes nothing.

    >>> without_words("the bank raised the rate again", 0.6, seed=1)
    'the again'
    """
    draw = random.Random(f"{seed} {text}")
    words = WORD.findall(text)
    kept = [word for word in words if draw.random() >= ratio]
    return "".join(kept or [draw.choice(words)]).strip()
