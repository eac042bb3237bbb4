"""Candidates by BM25: documents that share rare words with the query."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy

from embexp.core.arguments import LegalValues, problems_with
from embexp.data.arrow import with_progress
from embexp.errors import Problem
from embexp.steps.negatives.candidates import NOTHING, Candidates, lowest_scores
from embexp.steps.negatives.pool import Pairs, Pool
from embexp.steps.word_tokenizer import Terms

if TYPE_CHECKING:
    import scipy.sparse

SCORES_HELD = 2**23  # scores of a block of queries, about: 100 MB
_PAIRS_HELD = 2**16  # queries with a positive that are scored at a time


@dataclass(frozen=True)
class Bm25Retriever:
    """Ranks documents by BM25 (Robertson and Zaragoza 2009, in Lucene's form), as bm25s computes it.

    A document that shares no term with the query is no candidate. bm25s makes the index, whose scores are a sparse
    matrix of terms by documents (Lù 2024, arXiv:2407.03618); queries are multiplied with it block by block, by scipy,
    which looks only at documents that share a term (bm25s takes one query after the other and sorts all documents).

    Args:
        language: of the words in letters, for stems and stop words (see `Terms`); None: neither.
        k1: how slowly a term that repeats counts less, 0 or more.
        b: how much long documents count less, 0 to 1.
    """

    has_scores: ClassVar[bool] = True

    language: str | None
    k1: float
    b: float

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the numbers."""
        yield from problems_with("k1", self.k1, LegalValues(least=0), such_as=1.5)
        yield from problems_with("b", self.b, LegalValues(least=0, most=1), such_as=0.75)

    def search(self, pool: Pool, k: int) -> Candidates:
        """The k documents of each query that score highest; of one score the first document comes first."""
        terms = Terms(self.language)
        weights = self._weights(pool, terms)
        counts = terms.counts(pool.queries, weights.shape[0])
        positives = lowest_scores(pool.positives, _scores_of(pool.positives, counts, weights), len(pool.queries))
        return Candidates(*_best(counts, weights, k), positives)

    def _weights(self, pool: Pool, terms: Terms) -> "scipy.sparse.csr_array":
        """What a term adds to the score of a document, float32 `(terms, documents)`."""
        import bm25s
        import scipy.sparse
        from bm25s.tokenization import Tokenized

        documents = with_progress(pool.documents, "terms of documents", lambda _: 1, len(pool.documents))
        numbers = [terms.numbers_of(text) for text in documents]
        if not any(numbers):
            return scipy.sparse.csr_array((len(terms.numbers), len(numbers)), dtype="float32")
        logging.getLogger(bm25s.__name__).setLevel(logging.WARNING)  # it logs every index that it builds
        index = bm25s.BM25(k1=self.k1, b=self.b, method="lucene")
        index.index(Tokenized(ids=numbers, vocab=terms.numbers), show_progress=False)
        scores = index.scores
        parts = (scores["data"], scores["indices"], scores["indptr"])
        return scipy.sparse.csr_array(parts, shape=(len(terms.numbers), len(numbers)))


def _scores_of(pairs: Pairs, counts: "scipy.sparse.csr_array", weights: "scipy.sparse.csr_array") -> numpy.ndarray:
    """The score of each pair of a query and a document, float64 `(num_pairs,)`."""
    by_document = weights.T.tocsr()
    scores = numpy.zeros(len(pairs.left))
    for start in range(0, len(scores), _PAIRS_HELD):
        some = slice(start, start + _PAIRS_HELD)
        products = counts[pairs.left[some]].multiply(by_document[pairs.right[some]])
        scores[some] = products.sum(axis=1)
    return scores


def _best(
    counts: "scipy.sparse.csr_array", weights: "scipy.sparse.csr_array", k: int
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Places and scores of the k best documents of each query, `(queries, k)` each."""
    k = min(k, weights.shape[1])
    places = numpy.full((counts.shape[0], k), NOTHING)
    scores = numpy.full((counts.shape[0], k), -numpy.inf)
    for start, end in with_progress(_blocks(counts, weights), "bm25", lambda block: block[1] - block[0], len(places)):
        block = counts[start:end] @ weights
        for row, (first, last) in enumerate(zip(block.indptr, block.indptr[1:], strict=False), start):
            documents, values = block.indices[first:last], block.data[first:last]
            if len(values) > k:
                high = values >= numpy.partition(values, len(values) - k)[len(values) - k]
                documents, values = documents[high], values[high]
            order = numpy.lexsort((documents, -values))[:k]
            places[row, : len(order)], scores[row, : len(order)] = documents[order], values[order]
    return places, scores


def _blocks(counts: "scipy.sparse.csr_array", weights: "scipy.sparse.csr_array") -> Iterator[tuple[int, int]]:
    """Ranges of queries that come to about SCORES_HELD scores together, at least one query each."""
    sharing = (counts != 0).astype("int64") @ numpy.diff(weights.indptr).astype("int64")
    start, held = 0, 0
    for row, size in enumerate(sharing.tolist()):
        if held and held + size > SCORES_HELD:
            yield start, row
            start, held = row, 0
        held += size
    if start < len(sharing):
        yield start, len(sharing)
