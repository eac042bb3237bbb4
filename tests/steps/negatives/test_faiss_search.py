"""FAISS as the one who searches: the documents that the exact search finds, and what is said without it."""

import numpy
import pytest

from embexp.core.nearest_neighbours import nearest
from embexp.errors import ConfigError
from embexp.steps.negatives.retrievers import EmbeddingRetriever, _nearest_by_faiss


def vectors(number, seed):
    return numpy.random.default_rng(seed).standard_normal((number, 16), dtype="float32") * 3


@pytest.mark.parametrize("num_documents", [300, 4])
def test_faiss_finds_what_the_exact_search_finds(num_documents, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr("embexp.steps.negatives.retrievers.BLOCK", 64)
    queries, documents = vectors(20, 1), vectors(num_documents, 2)
    found, exact = _nearest_by_faiss(queries, documents, 7), nearest(queries, documents, 7, "cosine")
    assert found.places.tolist() == exact.places.tolist()
    numpy.testing.assert_allclose(found.scores, exact.scores, atol=1e-6)


def test_a_vector_of_zeros_is_like_nothing():
    pytest.importorskip("faiss")
    documents = numpy.array([[0, 0], [1, 0], [-1, 0]], "float32")
    found = _nearest_by_faiss(numpy.array([[2, 0]], "float32"), documents, 3)
    assert (found.places.tolist(), found.scores.tolist()) == ([[1, 0, 2]], [[1, 0, -1]])


def test_another_index_and_faiss_where_it_is_not_installed_are_refused(without):
    with pytest.raises(ConfigError, match=r"retriever\.index=fais was given\. Expected one of.*Did you mean 'faiss'"):
        EmbeddingRetriever(None, "fais")
    without("faiss-cpu")
    with pytest.raises(ConfigError, match=r"needs faiss-cpu, which is not installed(.|\n)*type .*pip install .*faiss"):
        EmbeddingRetriever(None, "faiss")
