"""Choosing negatives among the candidates: in which order they are tried, and which near-duplicates are left out."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.core.arguments import COUNT, LegalValues, problems_with
from embexp.errors import Problem
from embexp.steps.dedup.near import NGRAM, ngrams
from embexp.steps.dedup.row_keys import comparable
from embexp.steps.negatives.candidates import Candidates
from embexp.steps.negatives.pool import Pool

if TYPE_CHECKING:
    import numpy
    import pyarrow

NEAR_POSITIVE = "near-duplicates of a positive"
HOLDING = "that hold the query or a positive word for word"
NEAR_NEGATIVE = "near-duplicates of another negative"
_LONG_ENOUGH = 20  # bytes of a comparable text that says something where it is held: four words, seven Chinese signs


class _QueryTexts:
    """The texts of one query that its next negative must not repeat, all of them comparable ones (see row_keys)."""

    def __init__(self, query: str, positives: list[str], documents: "pyarrow.Array", threshold: float) -> None:
        self._documents, self._threshold = documents, threshold
        self._held = [text for text in (query, *positives) if _num_bytes(text) >= _LONG_ENOUGH]
        self._positives = [ngrams(text, NGRAM) for text in positives]
        self._negatives: list[set[str]] = []

    def repeated_by(self, place: int) -> str | None:
        """What a document repeats. A document that repeats nothing gives None and counts as a negative from then on."""
        text = self._documents[place].as_py()
        grams = ngrams(text, NGRAM)
        if self._is_near(grams, self._positives):
            return NEAR_POSITIVE
        if any(held in text for held in self._held):
            return HOLDING
        if self._is_near(grams, self._negatives):
            return NEAR_NEGATIVE
        self._negatives.append(grams)
        return None

    def _is_near(self, grams: set[str], others: Iterable[set[str]]) -> bool:
        return any(self._similarity(grams, other) >= self._threshold for other in others)

    def _similarity(self, one: set[str], other: set[str]) -> float:
        """The Jaccard similarity; 0 where the sizes alone keep it below the threshold."""
        if min(len(one), len(other)) < self._threshold * max(len(one), len(other)):
            return 0.0
        common = len(one & other)
        return common / (len(one) + len(other) - common)


def _num_bytes(text: str) -> int:
    """Length in UTF-8, composed: a Korean sign counts as much as a Chinese one."""
    return len(unicodedata.normalize("NFC", text).encode())


def _comparable(texts: list[str]) -> "pyarrow.Array":
    import pyarrow

    return comparable(pyarrow.array(texts, pyarrow.string()))


@dataclass(frozen=True)
class Selection:
    """How negatives are chosen.

    Attributes:
        num_negatives: of each query, at most.
        choose: top: the best ranked; random: sampled from all that may be taken.
        near_duplicate: Jaccard similarity of character trigrams from which a text is too near to a positive or to an
            earlier negative; None for no such limit.
    """

    num_negatives: int
    choose: str
    near_duplicate: float | None
    seed: int

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the arguments."""
        yield from problems_with("num_negatives", self.num_negatives, COUNT, such_as=1)
        yield from problems_with("choose", self.choose, LegalValues(one_of=("top", "random")), such_as="top")

    def choose_columns(
        self, mask: "numpy.ndarray", candidates: Candidates, pool: Pool
    ) -> tuple[list[list[int]], Counter[str]]:
        """For each query the columns of its negatives; and how many candidates repeat a text, by which one.

        Args:
            mask: which candidates may be taken, `(queries, k)`. Only those about to be chosen are compared.
        """
        import numpy

        removed: Counter[str] = Counter()
        if self.near_duplicate is None:
            return [columns[: self.num_negatives] for columns in self._in_turn(mask)], removed
        queries, documents, positives = _comparable(pool.queries), _comparable(pool.documents), pool.positives
        starts = numpy.searchsorted(positives.left, numpy.arange(len(queries) + 1)).tolist()
        rows = []
        for query, columns in enumerate(self._in_turn(mask)):
            of_query = [
                documents[place].as_py() for place in positives.right[starts[query] : starts[query + 1]].tolist()
            ]
            texts, taken = _QueryTexts(queries[query].as_py(), of_query, documents, self.near_duplicate), []
            for column in columns:
                if repeated := texts.repeated_by(int(candidates.places[query, column])):
                    removed[repeated] += 1
                    continue
                taken.append(column)
                if len(taken) == self.num_negatives:
                    break
            rows.append(taken)
        return rows, removed

    def _in_turn(self, mask: "numpy.ndarray") -> Iterator[list[int]]:
        """The columns of each row of the mask in the order in which they are tried."""
        import numpy

        random = numpy.random.default_rng(self.seed)
        for row in mask:
            columns = numpy.flatnonzero(row)
            yield (random.permutation(columns) if self.choose == "random" else columns).tolist()
