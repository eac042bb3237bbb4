"""What retrievers find: documents for each query that may become its negatives, and how they are scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
