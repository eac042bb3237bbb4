"""Nearest documents by FAISS: all of them compared, or only those of the lists that lie nearest to a query (IVF)."""

import logging

import numpy

from embexp.core.environment import lack_of
from embexp.core.nearest_neighbours import Nearest, nearest

BLOCK = 2**16  # documents that are normalised and added at a time
MANY = 10**10  # queries times documents from which on `auto` looks at some only
RECALL = 0.95  # of the documents that the exact search finds: so many lists are looked at that a sample reaches it
_SAMPLE = 200  # queries that recall is measured with, and as many others that choose the number of lists
_TRAINED_ON = 50  # documents for each list, of which the middles are learned
_SEED = 1

logger = logging.getLogger(__name__)


def index_for(index: str, queries: int, documents: int) -> str:
    """What `auto` is for so many texts: exact, or ivf for many of them where faiss is installed; else `index` itself.

    >>> index_for("auto", 500, 20_000), index_for("exact", 10**6, 10**6)
    ('exact', 'exact')
    """
    if index != "auto":
        return index
    if queries * documents < MANY:
        return "exact"
    if lack := lack_of("faiss"):
        logger.info("Each of %s queries is compared with all %s documents: ivf needs %s", queries, documents, lack.text)
        return "exact"
    return "ivf"


def nearest_by_faiss(queries: numpy.ndarray, documents: numpy.ndarray, k: int) -> Nearest:
    """The k documents of each query with the highest cosine, from `(queries, dim)` and `(documents, dim)`, float32.

    IndexFlatIP sums in float32: documents whose cosines differ by less than 1e-6 may change places.
    """
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    _add(index, documents)
    return _searched(index, _unit_vectors(queries), min(k, len(documents)))


def nearest_by_lists(
    queries: numpy.ndarray, documents: numpy.ndarray, k: int, num_probed: int | None = None
) -> tuple[Nearest, float]:
    """The same among the documents of some lists only, and its recall: the share of what all of them would give.

    Documents are divided into as many lists as the root of their number, each about a middle (k-means; Sivic and
    Zisserman 2003). A query looks at the lists of the nearest middles. Recall is measured, with queries drawn for that
    alone.

    Args:
        num_probed: lists that a query looks at; None: doubled from 8 on until RECALL is reached with a sample.
    """
    import faiss

    num_lists, units = max(1, int(len(documents) ** 0.5)), _unit_vectors(queries)
    size, metric = documents.shape[1], faiss.METRIC_INNER_PRODUCT
    middles = faiss.IndexFlatIP(size)
    index = faiss.IndexIVFFlat(middles, size, num_lists, metric)
    random, k = numpy.random.default_rng(_SEED), min(k, len(documents))
    trained_on = min(len(documents), _TRAINED_ON * num_lists)
    index.train(_unit_vectors(documents[numpy.sort(random.choice(len(documents), trained_on, replace=False))]))
    _add(index, documents)
    drawn = random.permutation(len(units))
    choosing, measuring = drawn[_SAMPLE : 2 * _SAMPLE], drawn[:_SAMPLE]
    choosing = choosing if len(choosing) else measuring
    index.nprobe = min(num_lists, num_probed or 8)
    if num_probed is None:
        wanted = nearest(queries[choosing], documents, k, "cosine").places
        while index.nprobe < num_lists and _recall(index, units[choosing], wanted) < RECALL:
            index.nprobe = min(num_lists, 2 * index.nprobe)
    recall = _recall(index, units[measuring], nearest(queries[measuring], documents, k, "cosine").places)
    text = "ivf: %d of %d lists are looked at, which have %.1f %% of the %d documents that all have (%d queries)"
    logger.info(text, index.nprobe, num_lists, 100 * recall, k, len(measuring))
    return _searched(index, units, k), recall


def _recall(index, units: numpy.ndarray, wanted: numpy.ndarray) -> float:
    """The share of the wanted places that are found."""
    found = index.search(units, wanted.shape[1])[1]
    shared = [len(numpy.intersect1d(one, other)) for one, other in zip(found, wanted, strict=True)]
    return sum(shared) / wanted.size


def _searched(index, units: numpy.ndarray, k: int) -> Nearest:
    scores, places = index.search(units, k)
    return Nearest(places, numpy.where(places < 0, -numpy.inf, scores.astype(float)))


def _add(index, documents: numpy.ndarray) -> None:
    for start in range(0, len(documents), BLOCK):
        index.add(_unit_vectors(documents[start : start + BLOCK]))


def _unit_vectors(vectors: numpy.ndarray) -> numpy.ndarray:
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / numpy.where(lengths == 0, 1, lengths)).astype("float32", copy=False)
