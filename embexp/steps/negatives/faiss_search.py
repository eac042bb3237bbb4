"""Nearest neighbours by FAISS, for those who have it: the same search as `nearest`, by its own products."""

import importlib.util
from typing import TYPE_CHECKING

from embexp.errors import ConfigError
from embexp.nearest import Nearest

if TYPE_CHECKING:
    import numpy

BLOCK = 2**16  # documents that are brought to unit length and handed over at a time


def check_faiss() -> None:
    """Raise ConfigError unless FAISS is installed."""
    if importlib.util.find_spec("faiss") is None:
        raise ConfigError(
            "retriever.index=faiss was given; FAISS is not installed. Expected the package faiss-cpu: type pip install "
            "'embexp[faiss]', or index=exact, which finds the same documents without it."
        )


def nearest_by_faiss(queries: "numpy.ndarray", documents: "numpy.ndarray", k: int) -> Nearest:
    """The k documents of each query with the highest cosine, all of them where there are fewer.

    Found by IndexFlatIP, which compares with every document, too. Its sums are float32 to the end: documents whose
    cosines differ by less than 1e-6 may change places.

    Args:
        queries, documents: `(queries, dim)` and `(documents, dim)`, float32.
    """
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    for start in range(0, len(documents), BLOCK):
        index.add(_unit_vectors(documents[start : start + BLOCK]))
    scores, places = index.search(_unit_vectors(queries), min(k, len(documents)))
    return Nearest(places, scores.astype(float))


def _unit_vectors(vectors: "numpy.ndarray") -> "numpy.ndarray":
    import numpy

    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / numpy.where(lengths == 0, 1, lengths)
