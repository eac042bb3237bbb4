"""Exact nearest neighbours: equal to sorting all scores, in blocks of any size, with ties in the order of documents."""

import time
import tracemalloc

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embexp.core import nearest_neighbours as searching
from embexp.core.nearest_neighbours import check_similarity, nearest
from embexp.errors import ConfigError


def sorted_scores(queries, documents, k, similarity, excluded=None):
    """The same by all scores at once, in float64."""
    queries, documents = queries.astype(float), documents.astype(float)
    scores = queries @ documents.T
    if similarity == "cosine":
        norms = [numpy.linalg.norm(vectors, axis=1) for vectors in (queries, documents)]
        scores /= numpy.where(norms[0] == 0, 1, norms[0])[:, None] * numpy.where(norms[1] == 0, 1, norms[1])
    if excluded is not None:
        for row, place in enumerate(excluded):
            if place >= 0:
                scores[row, place] = -numpy.inf
    places = numpy.argsort(-scores, axis=1, kind="stable")[:, :k]
    return places, numpy.take_along_axis(scores, places, 1)


def vectors(number, dim=24, seed=0):
    return numpy.random.default_rng(seed).normal(size=(number, dim)).astype("float32")


@pytest.fixture(params=[(256, 2048, 2**16), (3, 7, 11), (5, 1, 1), (1, 50, 2)], ids=str)
def blocks(request, monkeypatch):
    for name, size in zip(("_QUERIES", "_FIRST", "_BLOCK"), request.param, strict=True):
        monkeypatch.setattr(searching, name, size)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("k", [1, 3, 90, 200])
def test_neighbours_are_those_of_sorting_everything(similarity, k):
    queries, documents = vectors(13), vectors(90, seed=1)
    found = nearest(queries, documents, k, similarity)
    places, scores = sorted_scores(queries, documents, k, similarity)
    assert found.places.tolist() == places.tolist()
    assert found.scores == pytest.approx(scores, abs=1e-6)


@pytest.mark.usefixtures("blocks")
def test_documents_with_one_vector_stay_in_their_order():
    few = vectors(6, dim=40)
    documents = few[numpy.random.default_rng(2).integers(0, 6, 80)]
    queries = vectors(9, dim=40, seed=3)
    found = nearest(queries, documents, 30, "cosine")
    for places, scores in zip(found.places, found.scores, strict=True):
        assert len(set(scores)) <= 6
        for score in set(scores):
            run = places[scores == score]
            assert run.tolist() == sorted(run)


@pytest.mark.usefixtures("blocks")
def test_where_all_are_equal_the_first_documents_are_the_nearest():
    same = numpy.ones((70, 5), "float32")
    assert nearest(same[:4], same, 12, "cosine").places.tolist() == [[*range(12)]] * 4


@given(
    values=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=40),
    k=st.integers(1, 50),
    block=st.integers(1, 9),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_small_whole_numbers_with_many_ties_are_sorted_exactly(values, k, block, data):
    documents = numpy.array(values, dtype="float32")
    excluded = numpy.array(data.draw(st.lists(st.integers(-1, len(values) - 1), min_size=4, max_size=4)))
    queries = documents[: 4 % (len(values) + 1) or 1]
    queries = numpy.resize(queries, (4, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "_BLOCK", block)
        patch.setattr(searching, "_FIRST", block)
        found = nearest(queries, documents, k, "dot", excluded)
    places, scores = sorted_scores(queries, documents, k, "dot", excluded)
    places[numpy.isinf(scores)] = -1
    assert found.places.tolist() == places.tolist()
    assert found.scores.tolist() == scores.tolist()


@pytest.mark.usefixtures("blocks")
def test_an_excluded_document_is_no_candidate():
    documents = vectors(40)
    found = nearest(documents, documents, 40, "cosine", excluded=numpy.arange(40))
    assert (found.places != numpy.arange(40)[:, None]).all()
    assert (found.places[:, -1] == -1).all()
    assert numpy.isneginf(found.scores[:, -1]).all()
    assert (nearest(documents, documents, 1, "cosine").places[:, 0] == numpy.arange(40)).all()


def test_the_cosine_with_a_vector_of_zeros_is_zero():
    found = nearest(vectors(2), numpy.zeros((3, 24), "float32"), 3, "cosine")
    assert found.scores.tolist() == [[0, 0, 0]] * 2


def test_the_cosine_is_the_same_seen_from_either_side():
    documents = vectors(30) * numpy.linspace(0.1, 3, 30, dtype="float32")[:, None]
    found = nearest(documents, documents, 30, "cosine")
    scores = numpy.take_along_axis(found.scores, numpy.argsort(found.places, axis=1), 1)
    assert (scores == scores.T).all()


def test_an_unknown_similarity_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"evaluator\.r\.similarity=cosin .*one of: cosine, dot\. Did you mean .*\nhint: type .*=cosine",
    ):
        check_similarity("r", "cosin")


@pytest.mark.slow
def test_a_thousand_queries_and_a_hundred_thousand_documents_take_seconds_and_little_memory():
    queries, documents = vectors(1000, 384), vectors(100_000, 384, seed=1)
    start = time.perf_counter()
    tracemalloc.start()
    found = nearest(queries, documents, 100, "cosine")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.perf_counter() - start < 60
    assert most < 300 * 2**20  # all scores would be 400 MB
    some = slice(0, 1000, 100)
    places, scores = sorted_scores(queries[some], documents, 100, "cosine")
    assert found.scores[some] == pytest.approx(scores, abs=1e-6)
    assert (found.places[some] == places).mean() > 0.999
