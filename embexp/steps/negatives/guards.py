"""Which candidates become negatives: guards against false negatives, near-duplicates, and the selection."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import COUNT, COUNT_FROM_0, LegalValues, problems_with
from embexp.errors import Problem
from embexp.steps.dedup.near import NGRAM, ngrams
from embexp.steps.dedup.row_keys import comparable
from embexp.steps.negatives.candidates import NOTHING, Candidates
from embexp.steps.negatives.pool import Pairs, Pool

if TYPE_CHECKING:
    import pyarrow

NEAR_POSITIVE = "near-duplicates of a positive"
HOLDING = "that hold the query or a positive word for word"
NEAR_NEGATIVE = "near-duplicates of another negative"
_LONG_ENOUGH = 20  # bytes of a composed text that says something where it is held: four words, seven Chinese signs
KNOWN = "known positives or same texts"
_OF_SCORES = {  # what each may be, and an example
    "max_score": (LegalValues(number=True, optional=True), 0.9),
    "margin": (LegalValues(number=True, optional=True), 0.05),
    "relative_margin": (LegalValues(least=0, optional=True), 0.05),
}


@dataclass(frozen=True)
class Guards:
    """What rules a candidate out, besides being a known positive of its query or the same text (which always does).

    Scores are those of the retriever; s is that of the query's known positive, the lowest where there are several.

    Args:
        skip: the first so many candidates are passed over: the likeliest unknown positives.
        within: of those that follow so many are looked at.
        max_score: no candidate above this score; None for no limit.
        margin: none above s - margin; None for no limit.
        relative_margin: none above s - |s| * relative_margin (0.05: TopK-PercPos 95 % of NV-Retriever, de Souza P.
            Moreira et al. 2024, arXiv:2407.15831); None for no limit.
        near_duplicate: leaves out candidates whose character trigrams have this Jaccard similarity or more with those
            of a positive of the query or of a negative before it, and candidates that hold the query or a positive
            word for word; None lets them stay.
    """

    skip: int
    within: int
    max_score: float | None
    margin: float | None
    relative_margin: float | None
    near_duplicate: float | None

    def problems(self, has_scores: bool, num_negatives: Any) -> Iterator[Problem]:
        """What is wrong with the arguments; `has_scores` says whether guards can read the retriever's scores."""
        yield from problems_with("skip", self.skip, COUNT_FROM_0, such_as=0)
        yield from problems_with("within", self.within, COUNT, such_as=50)
        if COUNT.allow(self.within) and COUNT.allow(num_negatives) and self.within < num_negatives:
            text, fix = f"candidates cannot give num_negatives={num_negatives}", (f"within={10 * num_negatives}",)
            yield Problem(text, key="within", given=self.within, expected="at least as many", fix=fix)
        near = LegalValues(least=0.01, most=1, optional=True)
        yield from problems_with("near_duplicate", self.near_duplicate, near, such_as=0.8)
        for name, (legal, such_as) in _OF_SCORES.items():
            if getattr(self, name) is not None and not has_scores:
                text = "reads scores, and those of this retriever cannot be compared"
                expected = "null, or another retriever: bm25, embedding or cross_encoder"
                yield Problem(text, key=name, given=getattr(self, name), expected=expected, fix=(f"{name}=null",))
            else:
                yield from problems_with(name, getattr(self, name), legal, such_as=such_as)

    def key_of(self, removing: str) -> str | None:
        """The argument that took candidates out, by the name they are counted under; None: they may never stay."""
        if removing in (NEAR_POSITIVE, HOLDING, NEAR_NEGATIVE):
            return "near_duplicate"
        return next((name for name in ("skip", *_OF_SCORES) if self._counted_as(name) == removing), None)

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
        """Which candidates are looked at, bool `(queries, k)`, and how many are not, by the guard; no `known` one."""
        there = candidates.places != NOTHING
        codes = numpy.arange(len(there))[:, None] * num_documents + candidates.places
        is_known = there & numpy.isin(codes, known.left * num_documents + known.right)
        others = there & ~is_known
        rank = numpy.cumsum(others, axis=1) - 1
        skipped = others & (rank < self.skip)
        mask = others & ~skipped & (rank < self.skip + self.within)
        return mask, Counter({KNOWN: int(is_known.sum()), self._counted_as("skip"): int(skipped.sum())})

    def by_score(self, mask: numpy.ndarray, candidates: Candidates) -> "tuple[numpy.ndarray, Counter[str]]":
        """Those of the mask whose score is low enough, and how many are not, each under its first guard."""
        removed: Counter[str] = Counter()
        for name, highest in self._limits(candidates):
            above = mask & (candidates.scores > highest) & ~numpy.isnan(highest)
            removed[name] += int(above.sum())
            mask = mask & ~above
        return mask, removed

    def _limits(self, candidates: Candidates) -> Iterator[tuple[str, numpy.ndarray]]:
        if self.max_score is not None:
            yield self._counted_as("max_score"), numpy.array([[float(self.max_score)]])
        if candidates.positive_scores is None:
            return
        positives = candidates.positive_scores[:, None]
        if self.margin is not None:
            yield self._counted_as("margin"), positives - self.margin
        if self.relative_margin is not None:
            yield self._counted_as("relative_margin"), positives - numpy.abs(positives) * self.relative_margin


class _QueryTexts:
    """The texts of one query that its next negative must not repeat, all of them comparable ones (see row_keys)."""

    def __init__(self, query: str, positives: list[str], documents: "pyarrow.Array", threshold: float) -> None:
        self._documents, self._threshold = documents, threshold
        composed = ((text, unicodedata.normalize("NFC", text)) for text in (query, *positives))
        self._held = [text for text, signs in composed if len(signs.encode()) >= _LONG_ENOUGH]
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
        self, mask: numpy.ndarray, candidates: Candidates, pool: Pool
    ) -> tuple[list[list[int]], Counter[str]]:
        """For each query the columns of its negatives; and how many candidates repeat a text, by which one.

        Only candidates of the mask, `(queries, k)`, may be taken, and only those about to be chosen are compared.
        """
        import pyarrow

        removed: Counter[str] = Counter()
        if self.near_duplicate is None:
            return [columns[: self.num_negatives] for columns in self._in_turn(mask)], removed
        texts, positives = (pool.queries, pool.documents), pool.positives
        queries, documents = (comparable(pyarrow.array(some, pyarrow.string())) for some in texts)
        starts = numpy.searchsorted(positives.left, numpy.arange(len(queries) + 1)).tolist()
        rows = []
        for query, columns in enumerate(self._in_turn(mask)):
            of_query = documents.take(pyarrow.array(positives.right[starts[query] : starts[query + 1]])).to_pylist()
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

    def _in_turn(self, mask: numpy.ndarray) -> Iterator[list[int]]:
        """The columns of each row of the mask in the order in which they are tried."""
        random = numpy.random.default_rng(self.seed)
        for row in mask:
            columns = numpy.flatnonzero(row)
            yield (random.permutation(columns) if self.choose == "random" else columns).tolist()
