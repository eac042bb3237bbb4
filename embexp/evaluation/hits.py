"""Metrics of the first documents that a query finds, one value for each query.

All are those of sentence-transformers' InformationRetrievalEvaluator; nDCG with graded gains is that of trec_eval (the
gain is the grade itself), and average precision is divided by the relevant documents that fit into the cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.errors import ConfigError, listed

if TYPE_CHECKING:
    import numpy

Cuts = Mapping[str, Sequence[int]]  # by kind of metric, how many of the first documents it looks at


def check_cuts(evaluator: str, cuts: Cuts) -> None:
    """Raise ConfigError unless each cut is a whole number from 1."""
    wrong = [
        f"{kind}_at={cut}"
        for kind, each in cuts.items()
        for cut in each
        if not isinstance(cut, int) or isinstance(cut, bool) or cut < 1
    ]
    if wrong:
        raise ConfigError(f"evaluator.{evaluator} has {listed(wrong)}. Expected whole numbers from 1, as ndcg_at=[10].")


@dataclass(frozen=True)
class Hits:
    """What each query found, and what it could have found.

    Attributes:
        gains: grade of the document at each rank, 0 for one that is not relevant, `(queries, depth)`.
        best: grades of all relevant documents, highest first, filled up with 0, `(queries, most)`.
    """

    gains: "numpy.ndarray"
    best: "numpy.ndarray"

    @property
    def found(self) -> "numpy.ndarray":
        """Whether the document at each rank is relevant, bool `(queries, depth)`."""
        return self.gains > 0

    @property
    def num_relevant(self) -> "numpy.ndarray":
        """How many relevant documents each query has, `(queries,)`."""
        return (self.best > 0).sum(axis=1)


def hits_of(places: "numpy.ndarray", relevant: Sequence[dict[int, float]], num_documents: int) -> Hits:
    """The hits among the places that each query found, `(queries, depth)`; -1 is no document.

    Args:
        relevant: for each query the grade of each relevant document, by its place; above 0, at least one.
    """
    import numpy

    queries = numpy.repeat(numpy.arange(len(relevant)), [len(grades) for grades in relevant])
    pairs = numpy.array([place for grades in relevant for place in grades]) + queries * num_documents
    grades = numpy.array([grade for of_query in relevant for grade in of_query.values()], dtype=float)
    order = numpy.argsort(pairs)
    pairs, graded = pairs[order], grades[order]
    asked = places + numpy.arange(len(places))[:, None] * num_documents
    at = numpy.minimum(numpy.searchsorted(pairs, asked), len(pairs) - 1)
    gains = numpy.where((pairs[at] == asked) & (places >= 0), graded[at], 0)
    best = numpy.zeros((len(relevant), max(map(len, relevant))))
    for row, of_query in enumerate(relevant):
        best[row, : len(of_query)] = sorted(of_query.values(), reverse=True)
    return Hits(gains, best)


def ndcg(hits: Hits, cut: int) -> "numpy.ndarray":
    """Discounted cumulative gain as a share of that of the best order (Jarvelin & Kekalainen 2002)."""
    return _dcg(hits.gains[:, :cut]) / _dcg(hits.best[:, :cut])


def _dcg(gains: "numpy.ndarray") -> "numpy.ndarray":
    return gains @ discounts(gains.shape[1])


def discounts(number: int) -> "numpy.ndarray":
    """What the gain at each rank counts, `(number,)`."""
    import numpy

    return 1 / numpy.log2(numpy.arange(number) + 2)


def mrr(hits: Hits, cut: int) -> "numpy.ndarray":
    """One over the rank of the first relevant document, 0 where there is none within the cut."""
    import numpy

    ranks = first_ranks(hits)
    return numpy.where((ranks > 0) & (ranks <= cut), 1 / numpy.maximum(ranks, 1), 0)


def first_ranks(hits: Hits) -> "numpy.ndarray":
    """The rank of the first relevant document, from 1; 0 where none was found, `(queries,)`."""
    import numpy

    return numpy.where(hits.found.any(axis=1), hits.found.argmax(axis=1) + 1, 0)


def recall(hits: Hits, cut: int) -> "numpy.ndarray":
    """The share of the relevant documents that are within the cut."""
    return hits.found[:, :cut].sum(axis=1) / hits.num_relevant


def average_precision(hits: Hits, cut: int) -> "numpy.ndarray":
    """The precision at each relevant document within the cut, over as many as can be there."""
    import numpy

    found = hits.found[:, :cut]
    precision = numpy.cumsum(found, axis=1) / (numpy.arange(found.shape[1]) + 1)
    return (precision * found).sum(axis=1) / numpy.minimum(hits.num_relevant, cut)


def accuracy(hits: Hits, cut: int) -> "numpy.ndarray":
    """1 where a relevant document is within the cut, else 0."""
    return hits.found[:, :cut].any(axis=1).astype(float)


def precision(hits: Hits, cut: int) -> "numpy.ndarray":
    """The share of the documents within the cut that are relevant."""
    return hits.found[:, :cut].sum(axis=1) / cut


HIT_METRICS = {
    "ndcg": ndcg,
    "mrr": mrr,
    "recall": recall,
    "map": average_precision,
    "accuracy": accuracy,
    "precision": precision,
}
