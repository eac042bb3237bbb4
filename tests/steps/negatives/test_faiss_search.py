"""FAISS as the one who searches: the documents that the exact search finds, and what is said without it."""

import numpy
import pytest

from embexp.core.nearest_neighbours import nearest
from embexp.errors import ConfigError
from embexp.steps.negatives import faiss_search
from embexp.steps.negatives.faiss_search import index_for, nearest_by_faiss, nearest_by_lists
from embexp.steps.negatives.retrievers import EmbeddingRetriever


def vectors(number, seed):
    return numpy.random.default_rng(seed).standard_normal((number, 16), dtype="float32") * 3


@pytest.mark.parametrize("num_documents", [300, 4])
def test_faiss_finds_what_the_exact_search_finds(num_documents, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr("embexp.steps.negatives.faiss_search.BLOCK", 64)
    queries, documents = vectors(20, 1), vectors(num_documents, 2)
    found, exact = nearest_by_faiss(queries, documents, 7), nearest(queries, documents, 7, "cosine")
    assert found.places.tolist() == exact.places.tolist()
    numpy.testing.assert_allclose(found.scores, exact.scores, atol=1e-6)


def test_a_vector_of_zeros_is_like_nothing():
    pytest.importorskip("faiss")
    documents = numpy.array([[0, 0], [1, 0], [-1, 0]], "float32")
    found = nearest_by_faiss(numpy.array([[2, 0]], "float32"), documents, 3)
    assert (found.places.tolist(), found.scores.tolist()) == ([[1, 0, 2]], [[1, 0, -1]])


def test_another_index_and_faiss_where_it_is_not_installed_are_refused(without):
    with pytest.raises(ConfigError, match=r"retriever\.index=fais was given\. Expected one of.*Did you mean 'faiss'"):
        EmbeddingRetriever(None, "fais")
    without("faiss-cpu")
    with pytest.raises(ConfigError, match=r"needs faiss-cpu, which is not installed(.|\n)*type .*pip install .*faiss"):
        EmbeddingRetriever(None, "faiss")


def test_ivf_that_looks_at_all_lists_finds_what_the_exact_search_finds():
    pytest.importorskip("faiss")
    queries, documents = vectors(30, 1), vectors(900, 2)  # in 30 lists
    found, recall = nearest_by_lists(queries, documents, 7, num_probed=30)
    exact = nearest(queries, documents, 7, "cosine")
    assert (found.places.tolist(), recall) == (exact.places.tolist(), 1.0)
    numpy.testing.assert_allclose(found.scores, exact.scores, atol=1e-6)


def test_the_recall_of_ivf_is_what_it_finds_of_the_exact_search(caplog):
    pytest.importorskip("faiss")
    caplog.set_level("INFO")
    queries, documents = vectors(150, 3), vectors(2500, 4)
    found, recall = nearest_by_lists(queries, documents, 5, num_probed=2)  # of all queries: fewer than a sample
    exact = nearest(queries, documents, 5, "cosine")
    shared = sum(
        len({*one} & {*other}) for one, other in zip(found.places.tolist(), exact.places.tolist(), strict=True)
    )
    assert recall == pytest.approx(shared / exact.places.size)
    assert recall < 0.9
    assert f"2 of 50 lists are looked at, which have {100 * recall:.1f} % of the 5 documents" in caplog.text


def test_ivf_looks_at_more_lists_until_the_recall_is_reached():
    pytest.importorskip("faiss")
    queries, documents = vectors(600, 5), vectors(2500, 6)
    found, recall = nearest_by_lists(queries, documents, 5)
    exact = nearest(queries, documents, 5, "cosine")
    shared = sum(
        len({*one} & {*other}) for one, other in zip(found.places.tolist(), exact.places.tolist(), strict=True)
    )
    assert recall > 0.9
    assert shared / exact.places.size == pytest.approx(recall, abs=0.03)  # measured with others than it was chosen by


def test_auto_takes_ivf_for_many_texts_and_only_where_faiss_is_installed(without):
    pytest.importorskip("faiss")
    assert index_for("auto", 10_000, faiss_search.MANY // 10_000 - 1) == "exact"
    assert index_for("auto", 10_000, faiss_search.MANY // 10_000) == "ivf"
    assert index_for("faiss", 10**6, 10**6) == "faiss"
    without("faiss-cpu")
    assert index_for("auto", 10**6, 10**6) == "exact"
