"""Candidates by embeddings: documents near the query for a model, searched exactly or by FAISS."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.nearest_neighbours import Nearest, nearest
from embexp.errors import ConfigError, Problem
from embexp.protocols import Encoder
from embexp.steps.negatives.candidates import Candidates, lowest_scores
from embexp.steps.negatives.pool import Pairs, Pool

BLOCK = 2**16  # documents that are normalised and added at a time


def _nearest_by_faiss(queries: numpy.ndarray, documents: numpy.ndarray, k: int) -> Nearest:
    """The k documents of each query with the highest cosine, from `(queries, dim)` and `(documents, dim)`, float32.

    IndexFlatIP sums in float32: documents whose cosines differ by less than 1e-6 may change places.
    """
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    for start in range(0, len(documents), BLOCK):
        index.add(_unit_vectors(documents[start : start + BLOCK]))
    scores, places = index.search(_unit_vectors(queries), min(k, len(documents)))
    return Nearest(places, scores.astype(float))


def _unit_vectors(vectors: numpy.ndarray) -> numpy.ndarray:
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / numpy.where(lengths == 0, 1, lengths)


_PAIRS_HELD = 2**13  # pairs that are scored at a time


@dataclass(frozen=True)
class EmbeddingRetriever:
    """Ranks all documents by the cosine of their embedding and the query's, exactly, in blocks.

    sentence-transformers' `mine_hard_negatives` does this search and most of the guards, too. It is not called here,
    because what it finds cannot be handed on: a step must be able to rerank, to fuse with BM25 and to report what each
    guard removed, row by row. Texts are equal to it only if every character is, so that a positive in other case or
    punctuation becomes a negative; it holds the scores of 16,384 queries with all documents at once (65 GB for a
    million) where this holds 64 MB; and it needs a SentenceTransformer, where this takes any encoder. A test compares
    the results where both can do the same.

    Args:
        encoder: of queries and documents, each with the prompt of its column; prompts of single rows are ignored.
        index: exact, or faiss, which finds the same documents and is faster the more there are.

    Raises:
        ConfigError: another index, or faiss where it is not installed.
    """

    has_scores: ClassVar[bool] = True

    encoder: Encoder
    index: str = "exact"

    def __post_init__(self) -> None:
        refuse(problems_with("retriever.index", self.index, LegalValues(one_of=("exact", "faiss")), such_as="exact"))
        if self.index == "faiss" and importlib.util.find_spec("faiss") is None:
            fix = ("retriever.index=exact", "pip install 'embexp[faiss]'")
            expected = "exact, which finds the same documents, or faiss once it is installed"
            text = "needs the package faiss-cpu, which is not installed"
            raise ConfigError(text, key="retriever.index", given=self.index, expected=expected, fix=fix)

    def problems(self) -> Iterator[Problem]:
        """None: the arguments are checked when it is made."""
        return iter(())

    def search(self, pool: Pool, k: int) -> Candidates:
        """The k nearest documents of each query; of equal scores the first document comes first."""
        query_prompt, document_prompt = pool.prompts
        queries = self.encoder.encode(pool.queries, prompt=query_prompt)
        documents = self.encoder.encode(pool.documents, prompt=document_prompt)
        by_faiss = self.index == "faiss"
        found = _nearest_by_faiss(queries, documents, k) if by_faiss else nearest(queries, documents, k, "cosine")
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
