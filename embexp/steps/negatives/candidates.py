"""Candidates that retrievers find: how they are scored, fused (reciprocal rank) and re-scored (cross-encoder)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from embexp.errors import listed
from embexp.protocols import PairScorer
from embexp.steps.negatives.numbers_given import faults_of
from embexp.steps.negatives.pool import Pairs, Pool

if TYPE_CHECKING:
    import numpy

NOTHING = -1  # the place of a candidate that is none


@dataclass(frozen=True)
class Candidates:
    """The documents that a retriever found for each query, best first.

    Attributes:
        places: which documents, int64 `(queries, k)`; NOTHING where there are no more.
        scores: of each, higher is more similar, float64 `(queries, k)`; -inf where there are no more.
        positive_scores: of the known positive that scores lowest, float64 `(queries,)`; nan where a query has none.
            None from a retriever whose scores do not compare.
    """

    places: "numpy.ndarray"
    scores: "numpy.ndarray"
    positive_scores: "numpy.ndarray | None" = None


class Retriever(Protocol):
    """Finds candidates for negatives.

    Attributes:
        has_scores: whether its scores compare with those of the positives, so that guards can read them.
    """

    has_scores: bool

    def faults(self, key: str) -> Iterator[str]:
        """Arguments that cannot be meant, a line each; `key` is that of the retriever in the configuration."""

    def search(self, pool: Pool, k: int) -> Candidates:
        """The best k documents of each query; known positives may be among them."""


def lowest_scores(pairs: Pairs, scores: "numpy.ndarray", num_queries: int) -> "numpy.ndarray":
    """The lowest score of each query's pairs, float64 `(num_queries,)`; nan for a query without one.

    >>> import numpy
    >>> pairs = Pairs(numpy.array([0, 0, 2]), numpy.array([5, 6, 5]))
    >>> lowest_scores(pairs, numpy.array([0.9, 0.4, 0.7]), 3).tolist()
    [0.4, nan, 0.7]
    """
    import numpy

    lowest = numpy.full(num_queries, numpy.nan)
    numpy.fmin.at(lowest, pairs.left, scores)
    return lowest


def in_order(scores: "numpy.ndarray", places: "numpy.ndarray", k: int) -> Candidates:
    """Candidates by their scores, the best k; of one score the first document comes first."""
    import numpy

    order = numpy.lexsort((places, -scores), axis=1)[:, :k]
    return Candidates(numpy.take_along_axis(places, order, 1), numpy.take_along_axis(scores, order, 1))


@dataclass(frozen=True)
class FusedRetriever:
    """Ranks a document by the sum of 1 / (constant + rank) over the retrievers that find it (Cormack et al. 2009).

    Such sums order documents and do not compare with anything: guards that read scores need `cross_encoder` around it.

    Args:
        retrievers: by names of your choice; one that is null is left out.
        rank_constant: 0 or more; the larger it is, the less the first ranks stand out.
    """

    has_scores: ClassVar[bool] = False

    retrievers: Mapping[str, Retriever | None]
    rank_constant: float

    def faults(self, key: str) -> Iterator[str]:
        """No retriever at all, a constant that cannot be, and what is wrong with each retriever, a line each."""
        if all(retriever is None for retriever in self.retrievers.values()):
            name = next(iter(self.retrievers), "bm25")
            yield (
                f"{key}.retrievers are all null: {listed(self.retrievers)}. Expected at least one: leave out "
                f"{key}.retrievers.{name}=null."
            )
        yield from faults_of(f"{key}.rank_constant", self.rank_constant, least=0, such_as=60)
        for name, retriever in self.retrievers.items():
            if retriever is not None:
                yield from retriever.faults(f"{key}.retrievers.{name}")

    def search(self, pool: Pool, k: int) -> Candidates:
        """The k documents of each query that come out first; of one sum the first document comes first."""
        import numpy

        found = [retriever.search(pool, k).places for retriever in self.retrievers.values() if retriever is not None]
        ranks = numpy.concatenate([numpy.arange(1, places.shape[1] + 1) for places in found])
        places = numpy.concatenate(found, axis=1)
        sums = numpy.where(places == NOTHING, 0, 1 / (self.rank_constant + ranks))
        return in_order(*_added_up(places, sums), k)


def _added_up(places: "numpy.ndarray", sums: "numpy.ndarray") -> tuple["numpy.ndarray", "numpy.ndarray"]:
    """The sums of each document with itself, and its place; of one that stands there again nothing is left."""
    import numpy

    order = numpy.argsort(places, axis=1, kind="stable")
    places, sums = numpy.take_along_axis(places, order, 1), numpy.take_along_axis(sums, order, 1)
    added = sums.copy()
    for turn in range(1, places.shape[1]):  # a document found n times stands in n neighbouring columns
        again = places[:, turn] == places[:, turn - 1]
        added[again, turn] += added[again, turn - 1]
    ends = numpy.ones(places.shape, bool)
    ends[:, :-1] = places[:, 1:] != places[:, :-1]
    there = ends & (places != NOTHING)
    return numpy.where(there, added, -numpy.inf), numpy.where(there, places, NOTHING)


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
