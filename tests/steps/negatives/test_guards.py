"""Guards against false negatives, and the choice among what they leave, on scores one can check by hand."""

import numpy
import pytest
from mined_rows import guards, pool

from embexp.steps.negatives.candidates import Candidates
from embexp.steps.negatives.guards import HOLDING, KNOWN, NEAR_NEGATIVE, NEAR_POSITIVE, Selection
from embexp.steps.negatives.pool import Pairs

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


POSITIVE_TEXT = "shares are parts of a company"
SOME = pool(
    (
        "what are shares of a company?",
        [POSITIVE_TEXT],
        [
            "Shares are parts of a compan",  # near the positive: 20 of 21 trigrams
            "the market rose today",
            "the market rose toda",  # near the negative before it: 15 of 16 trigrams
            f"Be told: {POSITIVE_TEXT}; that is all there is to say about them, and there is nothing to add.",
            "He asked what are shares of a company, and nobody who sat there could tell him what they might be.",
            "gold",
            "silver",
        ],
    )
)
ORDER = Candidates(numpy.arange(1, 8)[None], -numpy.arange(7.0)[None])  # document 0 is the positive


def chosen(num_negatives, near_duplicate):
    selection = Selection(num_negatives, "top", near_duplicate, seed=1)
    columns, removed = selection.choose_columns(numpy.full((1, 7), True), ORDER, SOME)
    return columns, dict(removed)


def test_what_repeats_the_query_a_positive_or_an_earlier_negative_is_passed_over_and_counted():
    counts = {NEAR_POSITIVE: 1, NEAR_NEGATIVE: 1, HOLDING: 2}
    assert chosen(3, 0.8) == ([[1, 5, 6]], counts)
    assert chosen(1, 0.8) == ([[1]], {NEAR_POSITIVE: 1})  # what comes after the last one is not looked at
    assert chosen(3, None) == ([[0, 1, 2]], {})


def test_a_short_query_or_positive_may_be_held():
    some = pool(("gold", ["a metal"], ["gold is a metal that is heavy"]))
    found = Candidates(numpy.array([[1]]), numpy.array([[1.0]]))
    assert Selection(1, "top", 0.8, seed=1).choose_columns(numpy.array([[True]]), found, some) == ([[0]], {})


def test_random_negatives_come_from_all_that_may_be_taken():
    mask = numpy.tile([False, True, True, True, False], (200, 1))
    many = Candidates(numpy.tile(numpy.arange(5), (200, 1)), numpy.zeros((200, 5)))
    columns, _ = Selection(1, "random", None, seed=1).choose_columns(mask, many, SOME)
    counts = numpy.bincount([column for (column,) in columns], minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]
    assert counts[1:4].min() > 40
    assert Selection(1, "random", None, seed=1).choose_columns(mask, many, SOME)[0] == columns
