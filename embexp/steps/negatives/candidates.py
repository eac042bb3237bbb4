"""Candidates that retrievers find, random retrievers, and two ways to combine others: rank fusion and reranking."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy

from embexp.core.arguments import COUNT, LegalValues, problems_with
from embexp.errors import ConfigError, Problem, did_you_mean, listed
from embexp.protocols import PairScorer
from embexp.steps.negatives.pool import Pairs, Pool

NOTHING = -1  # the place of a candidate that is none


@dataclass(frozen=True)
class Candidates:
    """The documents that a retriever found for each query, best first.

    Attributes:
        places: which documents, int64 `(queries, k)`; NOTHING where there are no more.
        scores: of each, higher is more similar, float64 `(queries, k)`; -inf where there are no more.
        positive_scores: of the known positive that scores lowest, float64 `(queries,)`; nan where a query has none.
            None from a retriever whose scores cannot be compared.
    """

    places: numpy.ndarray
    scores: numpy.ndarray
    positive_scores: numpy.ndarray | None = None


class Retriever(Protocol):
    """Finds candidates for negatives.

    Attributes:
        has_scores: whether its scores can be compared with those of the positives, so that guards can read them.
    """

    has_scores: bool

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the arguments; keys are those below the retriever's own."""

    def search(self, pool: Pool, k: int) -> Candidates:
        """The best k documents of each query; known positives may be among them."""


def lowest_scores(pairs: Pairs, scores: numpy.ndarray, num_queries: int) -> numpy.ndarray:
    """The lowest score of each query's pairs, float64 `(num_queries,)`; nan for a query without one.

    >>> import numpy
    >>> pairs = Pairs(numpy.array([0, 0, 2]), numpy.array([5, 6, 5]))
    >>> lowest_scores(pairs, numpy.array([0.9, 0.4, 0.7]), 3).tolist()
    [0.4, nan, 0.7]
    """
    lowest = numpy.full(num_queries, numpy.nan)
    numpy.fmin.at(lowest, pairs.left, scores)
    return lowest


def _best_first(scores: numpy.ndarray, places: numpy.ndarray, k: int) -> Candidates:
    """The k candidates with the highest scores; of equal scores the first document comes first."""
    order = numpy.lexsort((places, -scores), axis=1)[:, :k]
    return Candidates(numpy.take_along_axis(places, order, 1), numpy.take_along_axis(scores, order, 1))


@dataclass(frozen=True)
class RandomRetriever:
    """Samples documents uniformly from all; a control for the others, as easy as in-batch negatives."""

    has_scores: ClassVar[bool] = False

    seed: int

    def problems(self) -> Iterator[Problem]:
        """None: every seed is valid."""
        return iter(())

    def search(self, pool: Pool, k: int) -> Candidates:
        """k documents of each query, none twice; all in random order where there are fewer."""
        random, number = numpy.random.default_rng(self.seed), len(pool.documents)
        return _candidates(random.choice(number, min(k, number), replace=False) for _ in pool.queries)


@dataclass(frozen=True)
class RuleRetriever:
    """Samples documents from rows whose column has the query's value: same category, other item.

    Args:
        column: `type`, which `dataset.reader.columns` fills with a category of yours, or another one that rows have.
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
        members = self._documents_by_category(pool)
        random, wanted = numpy.random.default_rng(self.seed), [set() for _ in pool.queries]
        for query, category in zip(pool.query_of_row.tolist(), pool.rows[self.column][:], strict=True):
            wanted[query].add(category)
        none = numpy.zeros(0, "int64")
        found = ([members.get(category, none) for category in sorted(some - {None})] for some in wanted)
        return _candidates(random.permutation(numpy.unique(numpy.concatenate([none, *some])))[:k] for some in found)

    def _documents_by_category(self, pool: Pool) -> dict[str, numpy.ndarray]:
        names = pool.rows.column_names
        if self.column not in names:
            key, fix = "dataset.steps.negatives.retriever.column", "+dataset.reader.columns.type=<your column>"
            expected = f"a column with the category of each row, one of: {listed(names)}"
            text, note = "is no column of the rows", did_you_mean(str(self.column), names)
            raise ConfigError(text, key=key, given=self.column, expected=expected, note=note, fix=fix)
        values = numpy.array(pool.rows[self.column][:], dtype=object)[pool.row_documents.left]
        names = {name for name in values.tolist() if name is not None}
        return {name: pool.row_documents.right[values == name] for name in names}


def _candidates(documents: Iterator[numpy.ndarray]) -> Candidates:
    """Candidates in the order in which they were sampled, which is all that their scores mean."""
    rows = list(documents)
    places = numpy.full((len(rows), max(map(len, rows), default=0)), NOTHING)
    for row, found in enumerate(rows):
        places[row, : len(found)] = found
    scores = numpy.where(places == NOTHING, -numpy.inf, -numpy.arange(places.shape[1], dtype=float))
    return Candidates(places, scores)


@dataclass(frozen=True)
class RankFusionRetriever:
    """Ranks a document by the sum of 1 / (constant + rank) over the retrievers that find it (Cormack et al. 2009).

    Such sums order documents and mean nothing else: for guards that read scores put a `RerankingRetriever` around it.

    Args:
        retrievers: by names of your choice; one that is null is left out.
        rank_constant: 0 or more; the larger it is, the less the first ranks stand out.
    """

    has_scores: ClassVar[bool] = False

    retrievers: Mapping[str, Retriever | None]
    rank_constant: float

    def problems(self) -> Iterator[Problem]:
        """No retriever at all, and what is wrong with the constant and with each retriever."""
        if all(retriever is None for retriever in self.retrievers.values()):
            names = listed(self.retrievers)
            yield Problem(f"are all null: {names}", key="retrievers", expected="at least one that is not null")
        yield from problems_with("rank_constant", self.rank_constant, LegalValues(least=0), such_as=60)
        for name, retriever in self.retrievers.items():
            if retriever is not None:
                yield from (problem.under(f"retrievers.{name}") for problem in retriever.problems())

    def search(self, pool: Pool, k: int) -> Candidates:
        """The k documents of each query with the highest sums; of equal sums the first document comes first."""
        found = [retriever.search(pool, k).places for retriever in self.retrievers.values() if retriever is not None]
        ranks = numpy.concatenate([numpy.arange(1, places.shape[1] + 1) for places in found])
        places = numpy.concatenate(found, axis=1)
        sums = numpy.where(places == NOTHING, 0, 1 / (self.rank_constant + ranks))
        return _best_first(*_add_up(places, sums), k)


def _add_up(places: numpy.ndarray, sums: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """One sum for each document, and its place; -inf and NOTHING where a document is there again."""
    order = numpy.argsort(places, axis=1, kind="stable")
    places, sums = numpy.take_along_axis(places, order, 1), numpy.take_along_axis(sums, order, 1)
    added = sums.copy()
    for turn in range(1, places.shape[1]):  # a document found n times is in n neighbouring columns
        again = places[:, turn] == places[:, turn - 1]
        added[again, turn] += added[again, turn - 1]
    ends = numpy.ones(places.shape, bool)
    ends[:, :-1] = places[:, 1:] != places[:, :-1]
    there = ends & (places != NOTHING)
    return numpy.where(there, added, -numpy.inf), numpy.where(there, places, NOTHING)


@dataclass(frozen=True)
class RerankingRetriever:
    """Reranks the first candidates of another retriever; known positives are scored, too, so that guards can compare.

    Args:
        retriever: finds the candidates.
        scorer: reads query and document together, such as a cross-encoder.
        most: candidates of each query that are scored; what it costs grows with it.
    """

    has_scores: ClassVar[bool] = True

    retriever: Retriever
    scorer: PairScorer
    most: int

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the number of candidates and with their retriever."""
        yield from problems_with("most", self.most, COUNT, such_as=30)
        yield from (problem.under("retriever") for problem in self.retriever.problems())

    def search(self, pool: Pool, k: int) -> Candidates:
        """The best candidates of each query by their new scores, k of them or `most`."""
        places = self.retriever.search(pool, min(k, self.most)).places
        rows, columns = numpy.nonzero(places != NOTHING)
        scores = numpy.full(places.shape, -numpy.inf)
        scores[rows, columns] = self._scores(pool, Pairs(rows, places[rows, columns]))
        positives = lowest_scores(pool.positives, self._scores(pool, pool.positives), len(pool.queries))
        found = _best_first(scores, places, k)
        return Candidates(found.places, found.scores, positives)

    def _scores(self, pool: Pool, pairs: Pairs):
        numbers = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
        return self.scorer.score([(pool.queries[query], pool.documents[document]) for query, document in numbers])
