"""Exact nearest neighbours by cosine or inner product, block by block: the scores of all are never held at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse

_SIMILARITIES = ("cosine", "dot")
_QUERIES = 256  # queries that are compared at a time
_FIRST = 2048  # documents they are compared with first: of all others only those are looked at that score higher
_BLOCK = 2**16  # documents they are then compared with at a time: 64 MB of scores
_RESCORED = 2**22  # numbers of documents held at once in float64


@dataclass(frozen=True)
class Nearest:
    """The nearest documents of each query, nearest first; of documents with one score the first one comes first.

    Attributes:
        places: which documents, int64 `(queries, k)`; -1 where there are no more.
        scores: their similarities, float64 `(queries, k)`; -inf where there are no more.
    """

    places: numpy.ndarray
    scores: numpy.ndarray


def check_similarity(evaluator: str, name: str) -> None:
    """Raise ConfigError unless neighbours can be searched by this similarity."""
    legal = LegalValues(one_of=_SIMILARITIES)
    refuse(problems_with(f"evaluator.{evaluator}.similarity", name, legal, such_as=_SIMILARITIES[0]))


def nearest(
    queries: numpy.ndarray,
    documents: numpy.ndarray,
    k: int,
    similarity: str,
    excluded: numpy.ndarray | None = None,
) -> Nearest:
    """The k most similar documents of each query, all of them where there are fewer.

    They are chosen by float32 products, then scored and ordered in float64, so that documents with one vector have one
    score, wherever they stand.

    Args:
        queries, documents: `(queries, dim)` and `(documents, dim)`, at least one of each.
        similarity: cosine (0 where a vector is all zeros) or dot.
        excluded: for each query the place of a document that is no candidate, -1 for none.
    """
    k = min(k, len(documents))
    length_of = _lengths if similarity == "cosine" else lambda vectors: numpy.ones(len(vectors))
    query_lengths, document_lengths = length_of(queries), length_of(documents)
    excluded = numpy.full(len(queries), -1) if excluded is None else excluded
    scale = (1 / document_lengths).astype("float32")
    chosen = [_chosen(queries[some], documents, scale, k, excluded[some]) for some in _slices(len(queries), _QUERIES)]
    places = numpy.concatenate(chosen)
    size = max(1, _RESCORED // max(1, k * documents.shape[1]))
    scored = [
        _scored(queries[some], documents, places[some], query_lengths[some, None] * document_lengths[places[some]])
        for some in _slices(len(queries), size)
    ]
    return Nearest(*(numpy.concatenate(parts) for parts in zip(*scored, strict=True)))


def _lengths(vectors: numpy.ndarray) -> numpy.ndarray:
    """The length of each vector, float64; 1 for one of zeros."""
    squares = numpy.einsum("ij,ij->i", vectors, vectors, dtype=float)
    return numpy.sqrt(numpy.where(squares == 0, 1, squares))


def _slices(number: int, size: int, first: int | None = None) -> Iterator[slice]:
    """Slices of at most that size that cover a number of rows; `first` is the size of the first one."""
    stop = first or size
    start = 0
    while start < number:
        yield slice(start, min(stop, number))
        start, stop = stop, stop + size


def _chosen(
    queries: numpy.ndarray, documents: numpy.ndarray, scale: numpy.ndarray, k: int, excluded: numpy.ndarray
) -> numpy.ndarray:
    """The places of some queries' k best documents by products times `scale`, `(queries, k)`; -1: there are no more."""
    best = _Best(len(queries), k)
    for some in _slices(len(documents), _BLOCK, max(_FIRST, 2 * k)):
        scores = queries @ documents[some].T
        scores *= scale[some]
        inside = numpy.flatnonzero((excluded >= some.start) & (excluded < some.stop))
        scores[inside, excluded[inside] - some.start] = -numpy.inf
        best.take(scores, some.start)
    return best.places


class _Best:
    """The best documents of some queries so far, best first."""

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self.scores = numpy.full((queries, k), -numpy.inf, dtype="float32")
        self.places = numpy.full((queries, k), -1)

    def take(self, scores: numpy.ndarray, start: int) -> None:
        """Look at the scores of the documents from `start` on; at equal scores those that came before stay."""
        better = scores > self.scores[:, -1:]
        if scores.shape[1] > self.k and numpy.isneginf(self.scores[:, -1]).all():  # the first look: most go at once
            better &= scores >= numpy.partition(scores, -self.k, axis=1)[:, -self.k, None]
        rows, columns = better.nonzero()
        if not len(rows):
            return
        counts = numpy.bincount(rows, minlength=len(scores))
        turns = self.k + numpy.arange(len(rows)) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
        shape = (len(scores), self.k + counts.max())
        values, places = numpy.full(shape, -numpy.inf, dtype="float32"), numpy.full(shape, -1)
        values[:, : self.k], places[:, : self.k] = self.scores, self.places
        values[rows, turns], places[rows, turns] = scores[rows, columns], columns + start
        order = numpy.argsort(-values, axis=1, kind="stable")[:, : self.k]
        self.scores, self.places = numpy.take_along_axis(values, order, 1), numpy.take_along_axis(places, order, 1)


def _scored(
    queries: numpy.ndarray, documents: numpy.ndarray, places: numpy.ndarray, lengths: numpy.ndarray
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Places and similarities of some queries' documents, in order."""
    scores = (documents[places].astype(float) * queries[:, None, :]).sum(axis=2) / lengths
    scores[places < 0] = -numpy.inf
    order = numpy.lexsort((places, -scores))
    return numpy.take_along_axis(places, order, 1), numpy.take_along_axis(scores, order, 1)
