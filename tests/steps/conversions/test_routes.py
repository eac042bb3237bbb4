"""route: the shortest way, none that guesses a number, none that makes labels up again."""

import pytest

from embexp.data.shapes import SHAPES
from embexp.steps.conversions.conversion import default_settings
from embexp.steps.conversions.convert import route, unmet_needs, within_reach

BOTH = default_settings(min_score=0.8, max_score=0.2)


@pytest.mark.parametrize(
    ("offered", "accepted", "start", "targets"),
    [
        (["class_pair", "positive_pair"], ["triplet", "positive_pair"], "positive_pair", []),  # as it is comes first
        (["class_pair"], ["triplet", "positive_pair"], "class_pair", ["triplet"]),  # then the loss's order
        (["class_pair"], ["positive_pair", "triplet"], "class_pair", ["positive_pair"]),
        (["labelled_text"], ["binary_pair", "positive_pair"], "labelled_text", ["positive_pair"]),  # one beats two
        (["labelled_text"], ["scored_pair"], "labelled_text", ["triplet", "binary_pair", "scored_pair"]),
        (["ranked", "binary_pair"], ["scored_pair"], "binary_pair", ["scored_pair"]),
        (["ranked"], ["scored_triplet"], "ranked", ["scored_triplet"]),  # whether it has scores is known once read
        (["scored_pair"], ["noised_text"], "scored_pair", ["text", "noised_text"]),
        (["embedded_text"], ["twin_text"], "embedded_text", ["text", "twin_text"]),
    ],
)
def test_the_shortest_way_is_taken(offered, accepted, start, targets):
    begins_with, conversions = route(offered, accepted)
    assert (begins_with, [conversion.target for conversion in conversions]) == (start, targets)


@pytest.mark.parametrize("offered", [["scored_pair"], ["text"], ["positive_pair", "text"], []])
def test_without_a_way_there_is_none(offered):
    assert route(offered, ["triplet", "binary_pair"]) is None


@pytest.mark.parametrize("start", SHAPES)
def test_no_way_leads_from_texts_back_to_labels(start):
    reached = within_reach(start, BOTH)
    assert len(reached) == len({*reached})
    for shape in ("text", "twin_text", "noised_text"):
        assert {*within_reach(shape, BOTH)} <= {"twin_text", "noised_text"}
    assert ("text" in reached) == (start not in ("text", "twin_text", "noised_text"))


@pytest.mark.parametrize(
    ("accepted", "set_ones", "missing"),
    [
        (["triplet", "positive_pair"], {}, ["min_score"]),
        (["binary_pair"], {}, ["min_score", "max_score"]),
        (["binary_pair"], {"min_score": 0.8}, ["max_score"]),
        (["triplet"], {}, []),  # no number leads there
    ],
)
def test_a_way_that_needs_a_number_is_closed_until_it_is_given(accepted, set_ones, missing):
    settings = default_settings(**set_ones)
    assert route(["scored_pair"], accepted, settings=settings) is None
    assert unmet_needs(["scored_pair"], accepted, settings=settings) == missing
    opened = route(["scored_pair"], accepted, settings=BOTH)
    assert (opened is not None) == bool(missing)


def test_the_number_of_conversions_can_be_limited():
    assert route(["ranked"], ["scored_pair"], most=2) is None
    assert len(route(["ranked"], ["scored_pair"], most=3)[1]) == 3
