"""Candidates drawn by chance: from all documents, or from those that rows of one category share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from embexp.errors import ConfigError, did_you_mean, listed
from embexp.steps.negatives.candidates import NOTHING, Candidates
from embexp.steps.negatives.pool import Pool

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class RandomRetriever:
    """Draws documents evenly from all; a control for the others, as easy as in-batch negatives.

    Args:
        seed: another one draws others.
    """

    has_scores: ClassVar[bool] = False

    seed: int

    def faults(self, key: str) -> Iterator[str]:
        """None: whatever is drawn is drawn."""
        return iter(())

    def search(self, pool: Pool, k: int) -> Candidates:
        """k documents of each query, none twice; all in random order where there are fewer."""
        import numpy

        draw, number = numpy.random.default_rng(self.seed), len(pool.documents)
        return _drawn(draw.choice(number, min(k, number), replace=False) for _ in pool.queries)


@dataclass(frozen=True)
class RuleRetriever:
    """Draws documents from rows whose column has the query's value: same category, other item.

    Args:
        column: `type`, which `dataset.reader.columns` fills with a category of yours, or another one that rows have.
        seed: another one draws others.
    """

    has_scores: ClassVar[bool] = False

    column: str
    seed: int

    def faults(self, key: str) -> Iterator[str]:
        """None: whatever is drawn is drawn."""
        return iter(())

    def search(self, pool: Pool, k: int) -> Candidates:
        """k documents of the categories of each query, none twice; fewer where there are no more.

        Raises:
            ConfigError: the rows have no such column.
        """
        import numpy

        members = self._documents_by_category(pool)
        draw, wanted = numpy.random.default_rng(self.seed), [set() for _ in pool.queries]
        for query, category in zip(pool.query_of_row.tolist(), pool.rows[self.column][:], strict=True):
            wanted[query].add(category)
        found = (
            numpy.unique(numpy.concatenate([members.get(category, _none()) for category in sorted(some - {None})]))
            if some - {None}
            else _none()
            for some in wanted
        )
        return _drawn(draw.permutation(documents)[:k] for documents in found)

    def _documents_by_category(self, pool: Pool) -> "dict[str, numpy.ndarray]":
        import numpy

        names = pool.rows.column_names
        if self.column not in names:
            hint = did_you_mean(str(self.column), names) or "Type +dataset.reader.columns.type=<your column>."
            raise ConfigError(
                f"retriever.column={self.column} is none of the columns {listed(names)}. Expected a category of each "
                f"row in the column type. {hint}"
            )
        values = numpy.array(pool.rows[self.column][:], dtype=object)[pool.row_documents.left]
        names = {name for name in values.tolist() if name is not None}
        return {name: pool.row_documents.right[values == name] for name in names}


def _none() -> "numpy.ndarray":
    import numpy

    return numpy.zeros(0, "int64")


def _drawn(documents: "Iterator[numpy.ndarray]") -> Candidates:
    """Candidates as they were drawn; their scores tell nothing but the order."""
    import numpy

    rows = list(documents)
    places = numpy.full((len(rows), max(map(len, rows), default=0)), NOTHING)
    for row, found in enumerate(rows):
        places[row, : len(found)] = found
    scores = numpy.where(places == NOTHING, -numpy.inf, -numpy.arange(places.shape[1], dtype=float))
    return Candidates(places, scores)
