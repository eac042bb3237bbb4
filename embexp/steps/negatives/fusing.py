"""Candidates of several retrievers in one list, by reciprocal-rank fusion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from embexp.errors import listed
from embexp.steps.negatives.candidates import NOTHING, Candidates, Retriever, in_order
from embexp.steps.negatives.numbers_given import faults_of
from embexp.steps.negatives.pool import Pool

if TYPE_CHECKING:
    import numpy


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
