"""Queries with their relevant documents, and metrics of the first documents that each query finds.

The metrics are those of sentence-transformers' InformationRetrievalEvaluator; nDCG with graded gains is that of
trec_eval (the gain is the grade itself), and average precision is divided by the relevant documents that fit into the
cut.

Documents with the same score stand in an order that does not depend on the data: that of a hash of their texts.
trec_eval orders them by their ids, which know nothing of relevance either (Cabanac et al. 2010, "Tie-breaking bias",
CLEF). In the order of the rows, where a positive comes before its negatives, a model that gives all texts one embedding
would find positives first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse

if TYPE_CHECKING:
    from datasets import Dataset

NO_EXAMPLE = -1  # of a row that is part of no example


@dataclass(frozen=True)
class _Columns:
    """The columns of a shape: the query, the documents that answer it, and those that do not."""

    query: str
    positives: str
    negatives: str | None = None


SHAPES = {"ranked": _Columns("query", "positives", "negatives"), "positive_pair": _Columns("anchor", "positive")}


@dataclass(frozen=True)
class Qrels:
    """One row: a query, the documents that answer it with their grades, and those that do not."""

    query: str
    positives: Sequence[str]
    grades: Sequence[float]
    negatives: Sequence[str]

    @property
    def documents(self) -> list[str]:
        """The positives, then the negatives."""
        return [*self.positives, *self.negatives]


@dataclass(frozen=True)
class SearchTask:
    """Queries and documents, each text once.

    Attributes:
        relevant: for each query the grade of each document that answers it, by the document's place; at least one.
        identical: for each query the place of the document with the same text, -1 where there is none.
        example_of: the query of each row, NO_EXAMPLE for a row without a positive.
    """

    queries: list[str]
    documents: list[str]
    relevant: list[dict[int, float]]
    identical: list[int]
    example_of: list[int]


def qrels_of(rows: "Dataset", columns: _Columns, graded: bool = False) -> Iterator[Qrels]:
    """The rows one by one; every grade is 1 without grades or unless `graded`."""
    positives = rows[columns.positives][:]
    negatives = rows[columns.negatives][:] if columns.negatives else [()] * len(positives)
    has_grades = graded and "positive_scores" in rows.column_names
    scores = rows["positive_scores"][:] if has_grades else [None] * len(positives)
    for query, answers, grades, others in zip(rows[columns.query][:], positives, scores, negatives, strict=True):
        texts = [answers] if isinstance(answers, str) else answers
        yield Qrels(query, texts, [1.0] * len(texts) if grades is None else grades, others)


def search_in(
    rows: "Dataset", columns: _Columns, others: Iterable[str], graded: bool, ignore_identical: bool
) -> SearchTask:
    """The search that rows describe, in their own documents and the others.

    Args:
        ignore_identical: a document that equals the query does not answer it.
    """
    own = (text for qrels in qrels_of(rows, columns) for text in qrels.documents)
    documents = {text: place for place, text in enumerate(dict.fromkeys((*others, *own)))}
    relevant: dict[str, dict[int, float]] = {}
    numbers: dict[str, int] = {}  # of the queries
    example_of = []
    for qrels in qrels_of(rows, columns, graded):
        answers = zip(qrels.positives, qrels.grades, strict=True)
        answers = [(documents[text], grade) for text, grade in answers if not ignore_identical or text != qrels.query]
        for place, grade in answers:
            grades = relevant.setdefault(qrels.query, {})
            grades[place] = max(grade, grades.get(place, grade))
        example_of.append(numbers.setdefault(qrels.query, len(numbers)) if answers else NO_EXAMPLE)
    identical = [documents.get(query, -1) for query in relevant]
    return SearchTask([*relevant], [*documents], [*relevant.values()], identical, example_of)


Cuts = Mapping[str, Sequence[int]]  # by kind of metric, the numbers of first documents that it considers


def check_cuts(evaluator: str, cuts: Cuts) -> None:
    """Raise ConfigError unless each cut is a whole number from 1."""
    legal = LegalValues(many=True, least=1, whole=True)
    some = [(f"{kind}_at", given) for kind, given in cuts.items() if given]
    problems = (each for key, given in some for each in problems_with(key, given, legal, such_as="[10]"))
    refuse(problems, under=f"evaluator.{evaluator}")


@dataclass(frozen=True)
class _RankedRelevance:
    """The relevance of the documents at the ranks of each query, and the best order there could be."""

    gains: numpy.ndarray  # grade of the document at each rank, 0 if it is not relevant, `(queries, depth)`
    best: numpy.ndarray  # grades of all relevant documents, highest first, filled up with 0, `(queries, most)`

    @property
    def found(self) -> numpy.ndarray:
        """Whether the document at each rank is relevant, bool `(queries, depth)`."""
        return self.gains > 0

    @property
    def num_relevant(self) -> numpy.ndarray:
        """How many relevant documents each query has, `(queries,)`."""
        return (self.best > 0).sum(axis=1)

    @property
    def first_ranks(self) -> numpy.ndarray:
        """The rank of the first relevant document, from 1; 0 if none was found, `(queries,)`."""
        return numpy.where(self.found.any(axis=1), self.found.argmax(axis=1) + 1, 0)


def rank_relevance(places: numpy.ndarray, relevant: Sequence[dict[int, float]], num_documents: int) -> _RankedRelevance:
    """The relevance of the documents that each query found, by their places, `(queries, depth)`; -1 is no document.

    Args:
        relevant: for each query the grade of each relevant document, by its place; above 0, at least one.
    """
    queries = numpy.repeat(numpy.arange(len(relevant)), [len(grades) for grades in relevant])
    pairs = numpy.array([place for grades in relevant for place in grades]) + queries * num_documents
    grades = numpy.array([grade for of_query in relevant for grade in of_query.values()], dtype=float)
    order = numpy.argsort(pairs)
    pairs, graded = pairs[order], grades[order]
    searched = places + numpy.arange(len(places))[:, None] * num_documents
    at = numpy.minimum(numpy.searchsorted(pairs, searched), len(pairs) - 1)
    gains = numpy.where((pairs[at] == searched) & (places >= 0), graded[at], 0)
    best = numpy.zeros((len(relevant), max(map(len, relevant))))
    for row, of_query in enumerate(relevant):
        best[row, : len(of_query)] = sorted(of_query.values(), reverse=True)
    return _RankedRelevance(gains, best)


def _ndcg(ranked: _RankedRelevance, cut: int) -> numpy.ndarray:
    """Discounted cumulative gain as a share of that of the best order (Jarvelin & Kekalainen 2002)."""
    gains, best = ranked.gains[:, :cut], ranked.best[:, :cut]
    return (gains @ discounts(gains.shape[1])) / (best @ discounts(best.shape[1]))


def discounts(number: int) -> numpy.ndarray:
    """The weight of the gain at each rank, `(number,)`."""
    return 1 / numpy.log2(numpy.arange(number) + 2)


def _mrr(ranked: _RankedRelevance, cut: int) -> numpy.ndarray:
    """One over the rank of the first relevant document, 0 if there is none within the cut."""
    ranks = ranked.first_ranks
    return numpy.where((ranks > 0) & (ranks <= cut), 1 / numpy.maximum(ranks, 1), 0)


def _recall(ranked: _RankedRelevance, cut: int) -> numpy.ndarray:
    """The share of the relevant documents within the cut."""
    return ranked.found[:, :cut].sum(axis=1) / ranked.num_relevant


def _average_precision(ranked: _RankedRelevance, cut: int) -> numpy.ndarray:
    """The precision at each relevant document within the cut, divided by as many as fit into it."""
    found = ranked.found[:, :cut]
    precision = numpy.cumsum(found, axis=1) / (numpy.arange(found.shape[1]) + 1)
    return (precision * found).sum(axis=1) / numpy.minimum(ranked.num_relevant, cut)


def _accuracy(ranked: _RankedRelevance, cut: int) -> numpy.ndarray:
    """1 if a relevant document is within the cut, else 0."""
    return ranked.found[:, :cut].any(axis=1).astype(float)


def _precision(ranked: _RankedRelevance, cut: int) -> numpy.ndarray:
    """The share of the documents within the cut that are relevant."""
    return ranked.found[:, :cut].sum(axis=1) / cut


RANKING_METRICS = {
    "ndcg": _ndcg,
    "mrr": _mrr,
    "recall": _recall,
    "map": _average_precision,
    "accuracy": _accuracy,
    "precision": _precision,
}
