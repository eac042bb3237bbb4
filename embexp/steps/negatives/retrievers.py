"""Candidates by BM25 (documents that share rare words with the query) and by embeddings (near ones)."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.environment import lack_of
from embexp.core.nearest_neighbours import nearest
from embexp.data.arrow import with_progress
from embexp.errors import ConfigError, Problem
from embexp.protocols import Encoder
from embexp.steps.negatives.candidates import NOTHING, Candidates, lowest_scores
from embexp.steps.negatives.faiss_search import index_for, nearest_by_faiss, nearest_by_lists
from embexp.steps.negatives.pool import Pairs, Pool
from embexp.steps.word_tokenizer import Terms

if TYPE_CHECKING:
    import scipy.sparse

SCORES_HELD = 2**23  # scores of a block of queries, about: 100 MB
_PAIRS_SCORED = 2**16  # queries with a positive that are scored at a time


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
    for start in range(0, len(scores), _PAIRS_SCORED):
        some = slice(start, start + _PAIRS_SCORED)
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


_OF_FAISS = ("faiss", "ivf")
_INDEXES = ("auto", "exact", *_OF_FAISS)
_PAIRS_HELD = 2**13  # pairs that are scored at a time


@dataclass(frozen=True)
class EmbeddingRetriever:
    """Ranks documents by the cosine of their embedding and the query's: all of them in blocks, or by an index.

    sentence-transformers' `mine_hard_negatives` does this search and most of the guards, too. It is not called here,
    because what it finds cannot be handed on: a step must be able to rerank, to fuse with BM25 and to report what each
    guard removed, row by row. Texts are equal to it only if every character is, so that a positive in other case or
    punctuation becomes a negative; it holds the scores of 16,384 queries with all documents at once (65 GB for a
    million) where this holds 64 MB; and it needs a SentenceTransformer, where this takes any encoder. A test compares
    the results where both can do the same.

    Args:
        encoder: of queries and documents, each with the prompt of its column; prompts of single rows are ignored.
        index: exact; faiss, which finds the same documents and is faster the more there are; ivf, which looks at some
            of them and logs which share of the nearest it finds (`faiss_search`); auto: exact, and ivf for many texts.

    Raises:
        ConfigError: another index, or faiss where it is not installed.
    """

    has_scores: ClassVar[bool] = True

    encoder: Encoder
    index: str = "auto"

    def __post_init__(self) -> None:
        refuse(problems_with("retriever.index", self.index, LegalValues(one_of=_INDEXES), such_as="auto"))
        if self.index in _OF_FAISS and (lack := lack_of("faiss")):
            fix = ("retriever.index=exact", lack.fix)
            expected = f"exact, which finds the same documents, or {self.index} once it is installed"
            text = f"needs {lack.text}"
            raise ConfigError(text, key="retriever.index", given=self.index, expected=expected, fix=fix)

    def problems(self) -> Iterator[Problem]:
        """None: the arguments are checked when it is made."""
        return iter(())

    def search(self, pool: Pool, k: int) -> Candidates:
        """The k nearest documents of each query; of equal scores the first document comes first."""
        query_prompt, document_prompt = pool.prompts
        queries = self.encoder.encode(pool.queries, prompt=query_prompt)
        documents = self.encoder.encode(pool.documents, prompt=document_prompt)
        index = index_for(self.index, len(queries), len(documents))
        if index == "ivf":
            found, _ = nearest_by_lists(queries, documents, k)
        elif index == "faiss":
            found = nearest_by_faiss(queries, documents, k)
        else:
            found = nearest(queries, documents, k, "cosine")
        positives = lowest_scores(pool.positives, cosines(pool.positives, queries, documents), len(queries))
        return Candidates(found.places, found.scores, positives)


def cosines(pairs: Pairs, queries: numpy.ndarray, documents: numpy.ndarray) -> numpy.ndarray:
    """The cosine of each pair of a query and a document, float64 `(num_pairs,)`; 0 where a vector is all zeros."""
    scores = numpy.zeros(len(pairs.left))
    for start in range(0, len(scores), _PAIRS_HELD):
        some = slice(start, start + _PAIRS_HELD)
        left, right = (
            vectors[places[some]].astype(float) for vectors, places in ((queries, pairs.left), (documents, pairs.right))
        )
        lengths = numpy.linalg.norm(left, axis=1) * numpy.linalg.norm(right, axis=1)
        scores[some] = (left * right).sum(axis=1) / numpy.where(lengths == 0, 1, lengths)
    return scores
