"""Guards against false negatives: which candidates may become negatives, and how many each guard takes out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from embexp.steps.negatives.candidates import NOTHING, Candidates
from embexp.steps.negatives.near_copies import HOLDING, NEAR_NEGATIVE, NEAR_POSITIVE
from embexp.steps.negatives.numbers_given import faults_of
from embexp.steps.negatives.pool import Pairs

if TYPE_CHECKING:
    import numpy

KNOWN = "known positives or same texts"
READING_SCORES = {"max_score": (-inf, 0.9), "margin": (-inf, 0.05), "relative_margin": (0, 0.05)}  # least, such as


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
        for name, (least, such_as) in READING_SCORES.items():
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
        return next((name for name in ("skip", *READING_SCORES) if self._counted_as(name) == removing), None)

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
