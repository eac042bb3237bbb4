"""Guards against false negatives: which candidates may become negatives, and how many each guard takes out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.steps.comparing.near import faults_of_search
from embexp.steps.negatives.candidates import NOTHING, Candidates
from embexp.steps.negatives.pool import Pairs

if TYPE_CHECKING:
    import numpy

KNOWN = "known positives or same texts"


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
        near_duplicate: of two negatives of a query whose character trigrams have this Jaccard similarity or more, the
            later one goes; None lets them stay.
    """

    skip: int
    within: int
    max_score: float | None
    margin: float | None
    relative_margin: float | None
    near_duplicate: float | None

    def faults(self, has_scores: bool, num_negatives: int) -> Iterator[str]:
        """What cannot be meant, a line each.

        Args:
            has_scores: whether the retriever's scores can be read by guards.
        """
        if self.skip < 0:
            yield f"guards.skip={self.skip} must be 0 or more."
        if self.within < num_negatives:
            yield (
                f"guards.within={self.within} candidates cannot give num_negatives={num_negatives}. "
                f"Expected at least as many, such as {10 * num_negatives}."
            )
        if self.near_duplicate is not None:
            yield from faults_of_search(self.near_duplicate, name="guards.near_duplicate")
        reading = [name for name in ("max_score", "margin", "relative_margin") if getattr(self, name) is not None]
        if reading and not has_scores:
            yield (
                f"guards.{reading[0]}={getattr(self, reading[0])} reads scores, and this retriever has none that "
                "compare. Type null, or choose negatives=bm25, embedding or cross_encoder."
            )

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
        return mask, Counter({KNOWN: int(is_known.sum()), f"among the first {self.skip}": int(skipped.sum())})

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
            yield f"above {self.max_score:g}", numpy.array([[float(self.max_score)]])
        if candidates.positive_scores is None:
            return
        positives = candidates.positive_scores[:, None]
        if self.margin is not None:
            yield f"less than {self.margin:g} below the positive", positives - self.margin
        if self.relative_margin is not None:
            share = f"less than {100 * self.relative_margin:g} % below the positive"
            yield share, positives - numpy.abs(positives) * self.relative_margin
