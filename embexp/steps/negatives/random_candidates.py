"""Random candidates: sampled from all documents, or from those of rows with the same category."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from embexp.errors import ConfigError, Problem, did_you_mean, listed
from embexp.steps.negatives.candidates import NOTHING, Candidates
from embexp.steps.negatives.pool import Pool

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class RandomRetriever:
    """Samples documents uniformly from all; a control for the others, as easy as in-batch negatives.

    Args:
        seed: of the sampling.
    """

    has_scores: ClassVar[bool] = False

    seed: int

    def problems(self) -> Iterator[Problem]:
        """None: every seed is valid."""
        return iter(())

    def search(self, pool: Pool, k: int) -> Candidates:
        """k documents of each query, none twice; all in random order where there are fewer."""
        import numpy

        random, number = numpy.random.default_rng(self.seed), len(pool.documents)
        return _candidates(random.choice(number, min(k, number), replace=False) for _ in pool.queries)


@dataclass(frozen=True)
class RuleRetriever:
    """Samples documents from rows whose column has the query's value: same category, other item.

    Args:
        column: `type`, which `dataset.reader.columns` fills with a category of yours, or another one that rows have.
        seed: of the sampling.
    """

    has_scores: ClassVar[bool] = False

    column: str
    seed: int

    def problems(self) -> Iterator[Problem]:
        """None: every seed is valid."""
        return iter(())

    def search(self, pool: Pool, k: int) -> Candidates:
        """k documents of the categories of each query, none twice; fewer where there are no more.

        Raises:
            ConfigError: the rows have no such column.
        """
        import numpy

        members = self._documents_by_category(pool)
        random, wanted = numpy.random.default_rng(self.seed), [set() for _ in pool.queries]
        for query, category in zip(pool.query_of_row.tolist(), pool.rows[self.column][:], strict=True):
            wanted[query].add(category)
        none = numpy.zeros(0, "int64")
        found = (
            numpy.unique(
                numpy.concatenate([none, *(members.get(category, none) for category in sorted(some - {None}))])
            )
            for some in wanted
        )
        return _candidates(random.permutation(documents)[:k] for documents in found)

    def _documents_by_category(self, pool: Pool) -> "dict[str, numpy.ndarray]":
        import numpy

        names = pool.rows.column_names
        if self.column not in names:
            raise ConfigError(
                "is no column of the rows",
                key="dataset.steps.negatives.retriever.column",
                given=self.column,
                expected=f"a column with the category of each row, one of: {listed(names)}",
                note=did_you_mean(str(self.column), names),
                fix="+dataset.reader.columns.type=<your column>",
            )
        values = numpy.array(pool.rows[self.column][:], dtype=object)[pool.row_documents.left]
        names = {name for name in values.tolist() if name is not None}
        return {name: pool.row_documents.right[values == name] for name in names}


def _candidates(documents: "Iterator[numpy.ndarray]") -> Candidates:
    """Candidates in the order in which they were sampled, which is all that their scores mean."""
    import numpy

    rows = list(documents)
    places = numpy.full((len(rows), max(map(len, rows), default=0)), NOTHING)
    for row, found in enumerate(rows):
        places[row, : len(found)] = found
    scores = numpy.where(places == NOTHING, -numpy.inf, -numpy.arange(places.shape[1], dtype=float))
    return Candidates(places, scores)
