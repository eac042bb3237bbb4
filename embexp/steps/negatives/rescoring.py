"""Candidates of another retriever in the order in which a cross-encoder puts them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from embexp.protocols import PairScorer
from embexp.steps.negatives.candidates import NOTHING, Candidates, Retriever, in_order, lowest_scores
from embexp.steps.negatives.numbers_given import faults_of
from embexp.steps.negatives.pool import Pairs, Pool


@dataclass(frozen=True)
class RescoredRetriever:
    """Scores each query with each of its candidates, and with its known positives; guards then read these scores.

    Args:
        retriever: finds the candidates.
        scorer: reads query and document together, such as a cross-encoder.
        most: candidates of each query that are scored; what it costs grows with it.
    """

    has_scores: ClassVar[bool] = True

    retriever: Retriever
    scorer: PairScorer
    most: int

    def faults(self, key: str) -> Iterator[str]:
        """A number of candidates that cannot be, and what is wrong with their retriever, a line each."""
        yield from faults_of(f"{key}.most", self.most, whole=True, least=1, such_as=30)
        yield from self.retriever.faults(f"{key}.retriever")

    def search(self, pool: Pool, k: int) -> Candidates:
        """The best candidates of each query by their new scores, k of them or `most`."""
        import numpy

        places = self.retriever.search(pool, min(k, self.most)).places
        rows, columns = numpy.nonzero(places != NOTHING)
        scores = numpy.full(places.shape, -numpy.inf)
        scores[rows, columns] = self._scores(pool, Pairs(rows, places[rows, columns]))
        positives = lowest_scores(pool.positives, self._scores(pool, pool.positives), len(pool.queries))
        found = in_order(scores, places, k)
        return Candidates(found.places, found.scores, positives)

    def _scores(self, pool: Pool, pairs: Pairs):
        numbers = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
        return self.scorer.score([(pool.queries[query], pool.documents[document]) for query, document in numbers])
