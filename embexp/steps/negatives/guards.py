"""Candidates that say again what a query, one of its positives or another of its negatives says."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.errors import listed
from embexp.steps.dedup.near import NGRAM, ngrams
from embexp.steps.dedup.row_keys import comparable
from embexp.steps.negatives.candidates import NOTHING, Candidates, Retriever
from embexp.steps.negatives.numbers_given import faults_of
from embexp.steps.negatives.pool import Pairs, Pool

if TYPE_CHECKING:
    import numpy
    import pyarrow

NEAR_POSITIVE = "near-duplicates of a positive"
HOLDING = "that hold the query or a positive word for word"
NEAR_NEGATIVE = "near-duplicates of another negative"
_LONG_ENOUGH = 20  # bytes of a comparable text that says something where it is held: four words, seven Chinese signs


class NearCopies:
    """Finds candidates that repeat others, one candidate after the other: only those about to be chosen are read.

    Args:
        threshold: Jaccard similarity of character trigrams from which two texts are near.
    """

    def __init__(self, pool: Pool, threshold: float) -> None:
        import numpy

        self._threshold, self._positives = threshold, pool.positives.right
        self._queries, self._documents = _comparable(pool.queries), _comparable(pool.documents)
        self._starts = numpy.searchsorted(pool.positives.left, numpy.arange(len(pool.queries) + 1)).tolist()

    def of(self, query: int) -> "_CopiesOfQuery":
        """Those of a query that has no negatives yet."""
        places = self._positives[self._starts[query] : self._starts[query + 1]].tolist()
        positives = [self._documents[place].as_py() for place in places]
        return _CopiesOfQuery(self._queries[query].as_py(), positives, self._documents, self._threshold)


class _CopiesOfQuery:
    """What was said of one query so far; texts are comparable ones (see row_keys)."""

    def __init__(self, query: str, positives: list[str], documents: "pyarrow.Array", threshold: float) -> None:
        self._documents, self._threshold = documents, threshold
        self._held = [text for text in (query, *positives) if _num_bytes(text) >= _LONG_ENOUGH]
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


KNOWN = "known positives or same texts"
_READING_SCORES = {"max_score": (-inf, 0.9), "margin": (-inf, 0.05), "relative_margin": (0, 0.05)}  # least, such as


@dataclass(frozen=True)
class Guards:
    """What a candidate must not be, besides a known positive of its query or the same text (which none ever is).

    Scores are those of the retriever; s is that of the query's known positive, the lowest where there are several.

    Args:
        skip: the first so many candidates are passed over: the likeliest unknown positives.
        within: of those that follow so many are looked at.
        max_score: no candidate above this score; None for no limit.
        margin: none above s - margin; None for no limit.
        relative_margin: none above s - |s| * relative_margin (0.05: TopK-PercPos 95 % of NV-Retriever, de Souza P.
            Moreira et al. 2024, arXiv:2407.15831); None for no limit.
        near_duplicate: a candidate goes whose character trigrams have this Jaccard similarity or more with those of a
            positive of the query or of a negative before it, and one that holds the query or a positive word for word;
            None lets them stay.
    """

    skip: int
    within: int
    max_score: float | None
    margin: float | None
    relative_margin: float | None
    near_duplicate: float | None

    def faults(self, key: str, has_scores: bool, num_negatives: int) -> Iterator[str]:
        """What cannot be meant, a line each.

        Args:
            key: that of the guards in the configuration.
            has_scores: whether the retriever's scores can be read by guards.
        """
        yield from faults_of(f"{key}.skip", self.skip, whole=True, least=0, such_as=0)
        within = [*faults_of(f"{key}.within", self.within, whole=True, least=1, such_as=50)]
        yield from within
        if not within and self.within < num_negatives:
            yield (
                f"{key}.within={self.within} candidates cannot give num_negatives={num_negatives}. Expected at least "
                f"as many: type {key}.within={10 * num_negatives}."
            )
        if self.near_duplicate is not None:
            yield from faults_of(f"{key}.near_duplicate", self.near_duplicate, least=0.01, most=1, such_as=0.8)
        for name, (least, such_as) in _READING_SCORES.items():
            value = getattr(self, name)
            if value is not None and not has_scores:
                yield (
                    f"{key}.{name}={value} reads scores, and this retriever has none that compare. Expected null: type "
                    f"{key}.{name}=null, or choose negatives=bm25, embedding or cross_encoder."
                )
            elif value is not None:
                yield from faults_of(f"{key}.{name}", value, least=least, such_as=such_as)

    def key_of(self, removing: str) -> str | None:
        """The argument by which candidates were taken out, as they are counted; None for those that never may stay."""
        if removing in (NEAR_POSITIVE, HOLDING, NEAR_NEGATIVE):
            return "near_duplicate"
        return next((name for name in ("skip", *_READING_SCORES) if self._counted_as(name) == removing), None)

    def _counted_as(self, name: str) -> str | None:
        """How candidates that an argument takes out are counted; None where it is not set."""
        value = getattr(self, name)
        if value is None:
            return None
        below = "less than {} below the positive"
        return {
            "skip": f"among the first {value}",
            "max_score": f"above {value:g}",
            "margin": below.format(f"{value:g}"),
            "relative_margin": below.format(f"{100 * value:g} %"),
        }[name]

    def window(self, candidates: Candidates, known: Pairs, num_documents: int) -> "tuple[numpy.ndarray, Counter[str]]":
        """Which candidates are looked at, bool `(queries, k)`, and how many are not, by the guard.

        Args:
            known: each query with the documents that are none of its negatives.
        """
        import numpy

        there = candidates.places != NOTHING
        codes = numpy.arange(len(there))[:, None] * num_documents + candidates.places
        is_known = there & numpy.isin(codes, known.left * num_documents + known.right)
        others = there & ~is_known
        rank = numpy.cumsum(others, axis=1) - 1
        skipped = others & (rank < self.skip)
        mask = others & ~skipped & (rank < self.skip + self.within)
        return mask, Counter({KNOWN: int(is_known.sum()), self._counted_as("skip"): int(skipped.sum())})

    def by_score(self, mask: "numpy.ndarray", candidates: Candidates) -> "tuple[numpy.ndarray, Counter[str]]":
        """Those of the mask whose score is low enough, and how many are not, each under its first guard."""
        import numpy

        removed: Counter[str] = Counter()
        for name, highest in self._limits(candidates):
            above = mask & (candidates.scores > highest) & ~numpy.isnan(highest)
            removed[name] += int(above.sum())
            mask = mask & ~above
        return mask, removed

    def _limits(self, candidates: Candidates) -> "Iterator[tuple[str, numpy.ndarray]]":
        import numpy

        if self.max_score is not None:
            yield self._counted_as("max_score"), numpy.array([[float(self.max_score)]])
        if candidates.positive_scores is None:
            return
        positives = candidates.positive_scores[:, None]
        if self.margin is not None:
            yield self._counted_as("margin"), positives - self.margin
        if self.relative_margin is not None:
            yield self._counted_as("relative_margin"), positives - numpy.abs(positives) * self.relative_margin


KEY = "dataset.steps.negatives"
_GIVEN = ("replace", "keep")
_TOO_FEW = ("keep", "drop")


def faults_of_search(retriever: Retriever, guards: Guards, num_negatives: Any) -> Iterator[str]:
    """Those of the retriever and of the guards, a line each."""
    yield from retriever.faults(f"{KEY}.retriever")
    fewest = num_negatives if isinstance(num_negatives, int) else 1
    yield from guards.faults(f"{KEY}.guards", retriever.has_scores, fewest)


def faults_of_rows(
    dataset: EmbeddingDataset, given: str, too_few: str, splits: Sequence[str], corpus: Any
) -> Iterator[str]:
    """Those that say which rows get negatives, and from where, a line each."""
    if given not in _GIVEN:
        yield f"{KEY}.given={given} is none of: {listed(_GIVEN)}."
    if too_few not in _TOO_FEW:
        yield f"{KEY}.too_few={too_few} is none of: {listed(_TOO_FEW)}."
    if isinstance(splits, str) or not splits or not {*splits} <= {*SPLITS}:
        yield f"{KEY}.splits={splits} must be a list of some of: {listed(SPLITS)}; type {KEY}.splits=[train]."
    elif missing := [split for split in splits if split not in dataset.splits]:
        yield f"{KEY}.splits={listed(splits)}: {dataset.name} has no {listed(missing)}, only {listed(dataset.splits)}."
    if corpus is not None and not isinstance(corpus, str):
        yield f"{KEY}.corpus={corpus} was given. Expected one file or null: type {KEY}.corpus=<file>."
