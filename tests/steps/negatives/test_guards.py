"""Guards against false negatives, and the choice among what they leave, on scores one can check by hand."""

import numpy
import pytest
from mined_rows import guards

from embexp.steps.negatives.candidates import Candidates
from embexp.steps.negatives.guards import KNOWN
from embexp.steps.negatives.pool import Pairs
from embexp.steps.negatives.selection import Selection

# One query; its positive is document 2, which scores 0.8. Place 9 is no candidate.
FOUND = Candidates(
    numpy.array([[0, 1, 2, 3, 4, -1]]), numpy.array([[0.95, 0.9, 0.8, 0.77, 0.3, -numpy.inf]]), numpy.array([0.8])
)
POSITIVE = Pairs(numpy.array([0]), numpy.array([2]))


def left(**changes):
    """The documents that the guards leave, and what they took out."""
    some = guards(**changes)
    mask, removed = some.window(FOUND, POSITIVE, num_documents=5)
    mask, by_score = some.by_score(mask, FOUND)
    counts = {guard: count for guard, count in (removed + by_score).items() if guard != KNOWN}
    assert removed[KNOWN] == 1
    return FOUND.places[mask].tolist(), counts


@pytest.mark.parametrize(
    ("changes", "documents", "counts"),
    [
        ({}, [0, 1, 3, 4], {}),
        ({"skip": 1}, [1, 3, 4], {"among the first 1": 1}),
        ({"skip": 1, "within": 2}, [1, 3], {"among the first 1": 1}),  # the positive has no rank
        ({"max_score": 0.9}, [1, 3, 4], {"above 0.9": 1}),
        ({"margin": 0.0}, [3, 4], {"less than 0 below the positive": 2}),
        ({"margin": 0.1}, [4], {"less than 0.1 below the positive": 3}),
        ({"relative_margin": 0.05}, [4], {"less than 5 % below the positive": 3}),  # 0.77 > 0.8 * 0.95
        ({"max_score": 0.9, "margin": 0.0}, [3, 4], {"above 0.9": 1, "less than 0 below the positive": 1}),
    ],
)
def test_each_guard_takes_out_what_it_says_and_counts_it(changes, documents, counts):
    assert left(**changes) == (documents, counts)


def test_a_relative_margin_is_below_a_positive_that_scores_below_zero_too():
    found = Candidates(numpy.array([[0, 1]]), numpy.array([[-2.05, -2.2]]), numpy.array([-2.0]))
    mask, _ = guards(relative_margin=0.05).by_score(numpy.array([[True, True]]), found)
    assert mask.tolist() == [[False, True]]


def test_margins_say_nothing_of_a_query_without_a_positive():
    found = Candidates(numpy.array([[0]]), numpy.array([[1.0]]), numpy.array([numpy.nan]))
    mask, removed = guards(margin=0.5).by_score(numpy.array([[True]]), found)
    assert mask.tolist() == [[True]]
    assert sum(removed.values()) == 0


DOCUMENTS = ["the market rose today", "The market rose today!!", "the market rose toda", "gold", "silver"]
SOME = Candidates(numpy.arange(5)[None], -numpy.arange(5.0)[None])


def test_near_duplicates_of_an_earlier_negative_are_passed_over():
    columns, near = Selection(3, "top", 0.8, seed=1).of(numpy.full((1, 5), True), SOME, DOCUMENTS)
    assert (columns, near) == ([[0, 3, 4]], 2)
    columns, near = Selection(3, "top", None, seed=1).of(numpy.full((1, 5), True), SOME, DOCUMENTS)
    assert (columns, near) == ([[0, 1, 2]], 0)


def test_random_negatives_come_from_all_that_may_be_taken():
    mask = numpy.tile([False, True, True, True, False], (200, 1))
    many = Candidates(numpy.tile(numpy.arange(5), (200, 1)), numpy.zeros((200, 5)))
    columns, _ = Selection(1, "random", None, seed=1).of(mask, many, DOCUMENTS)
    counts = numpy.bincount([column for (column,) in columns], minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]
    assert counts[1:4].min() > 40
    assert Selection(1, "random", None, seed=1).of(mask, many, DOCUMENTS)[0] == columns
