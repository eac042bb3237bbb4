"""Candidates that say again what a query, one of its positives or another of its negatives says."""

import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from embexp.steps.comparing.near import NGRAM, ngrams
from embexp.steps.comparing.row_keys import comparable
from embexp.steps.negatives.pool import Pool

if TYPE_CHECKING:
    import pyarrow

NEAR_POSITIVE = "near-duplicates of a positive"
HOLDING = "that hold the query or a positive word for word"
NEAR_NEGATIVE = "near-duplicates of another negative"
LONG_ENOUGH = 20  # bytes of a comparable text that says something where it is held: four words, seven Chinese signs


class Copies:
    """Finds candidates that repeat others, one candidate after the other: only those about to be chosen are read.

    Args:
        threshold: Jaccard similarity of character trigrams from which two texts are near.
    """

    def __init__(self, pool: Pool, threshold: float) -> None:
        import numpy

        self._threshold, self._positives = threshold, pool.positives.right
        self._queries, self._documents = _comparable(pool.queries), _comparable(pool.documents)
        self._starts = numpy.searchsorted(pool.positives.left, numpy.arange(len(pool.queries) + 1)).tolist()

    def of(self, query: int) -> "CopiesOfQuery":
        """Those of a query that has no negatives yet."""
        places = self._positives[self._starts[query] : self._starts[query + 1]].tolist()
        positives = [self._documents[place].as_py() for place in places]
        return CopiesOfQuery(self._queries[query].as_py(), positives, self._documents, self._threshold)


class CopiesOfQuery:
    """What was said of one query so far; texts are comparable ones (see row_keys)."""

    def __init__(self, query: str, positives: list[str], documents: "pyarrow.Array", threshold: float) -> None:
        self._documents, self._threshold = documents, threshold
        self._held = [text for text in (query, *positives) if _num_bytes(text) >= LONG_ENOUGH]
        self._positives = [ngrams(text, NGRAM) for text in positives]
        self._negatives: list[set[str]] = []

    def fault_of(self, place: int) -> str | None:
        """What a document repeats; None for one that repeats nothing, which is one of the negatives from now on."""
        text = self._documents[place].as_py()
        grams = ngrams(text, NGRAM)
        if self._near(grams, self._positives):
            return NEAR_POSITIVE
        if any(held in text for held in self._held):
            return HOLDING
        if self._near(grams, self._negatives):
            return NEAR_NEGATIVE
        self._negatives.append(grams)
        return None

    def _near(self, grams: set[str], others: Iterable[set[str]]) -> bool:
        return any(self._similarity(grams, other) >= self._threshold for other in others)

    def _similarity(self, one: set[str], other: set[str]) -> float:
        """The Jaccard similarity; where sizes rule out that it reaches the threshold, only that it does not."""
        if min(len(one), len(other)) < self._threshold * max(len(one), len(other)):
            return 0.0
        common = len(one & other)
        return common / (len(one) + len(other) - common)


def _num_bytes(text: str) -> int:
    """Length in UTF-8, composed: a sign of Korean counts as one of Chinese does."""
    return len(unicodedata.normalize("NFC", text).encode())


def _comparable(texts: list[str]) -> "pyarrow.Array":
    import pyarrow

    return comparable(pyarrow.array(texts, pyarrow.string()))
