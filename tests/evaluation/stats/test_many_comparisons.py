"""Holm's correction beside the definition written down naively, and who is tied with the best."""

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embexp.evaluation.stats.multiple_comparisons import (
    _correct_to_best,
    _resamples_needed,
    correct_verdicts,
    holm,
    tied_with_best,
)
from embexp.evaluation.stats.paired_tests import p_value_of
from embexp.evaluation.stats.seeds import Interval, Parts
from embexp.evaluation.stats.verdicts import verdict

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def rejected_at(level: float, p_values: list[float]) -> set[int]:
    """Holm 1979 as it stands: go from the smallest p up, and stop at the first that is above level / (number left)."""
    rejected: set[int] = set()
    for place in sorted(range(len(p_values)), key=lambda place: p_values[place]):
        if p_values[place] > level / (len(p_values) - len(rejected)):
            break
        rejected.add(place)
    return rejected


@given(P_VALUES, st.floats(0.001, 0.5))
def test_what_is_below_a_level_is_what_holms_procedure_rejects_at_it(p_values, level):
    corrected = holm(p_values)
    surely = {place for place, p in enumerate(corrected) if p < level - 1e-9}
    perhaps = {place for place, p in enumerate(corrected) if p <= level + 1e-9}
    assert surely <= rejected_at(level, p_values) <= perhaps  # apart from rounding they are the same


@given(P_VALUES)
def test_each_is_the_largest_of_those_up_to_it_each_times_the_number_that_is_left(p_values):
    corrected = holm(p_values)
    for p, found in zip(p_values, corrected, strict=True):
        ordered = sorted(p_values)
        expected = max((len(p_values) - already) * each for already, each in enumerate(ordered) if each <= p)
        assert found == pytest.approx(min(1, expected))


@given(P_VALUES)
def test_it_is_never_smaller_than_it_was_nor_larger_than_bonferronis(p_values):
    for p, found in zip(p_values, holm(p_values), strict=True):
        assert p <= found <= min(1, len(p_values) * p) + 1e-12


@given(P_VALUES, st.randoms())
def test_the_order_does_not_matter(p_values, random):
    shuffled = random.sample(range(len(p_values)), len(p_values))
    assert [holm(p_values)[place] for place in shuffled] == holm([p_values[place] for place in shuffled])


@given(P_VALUES, st.integers(0, 5))
def test_what_is_not_known_is_not_counted(p_values, number):
    corrected = holm([*p_values, *[math.nan] * number])
    assert corrected[: len(p_values)] == holm(p_values)
    assert all(math.isnan(p) for p in corrected[len(p_values) :])


def test_of_numbers_one_can_check():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, 0.02], comparisons=10) == pytest.approx([0.1, 0.18])
    assert holm([0.7, 0.9]) == [1, 1]
    assert holm([]) == []


@given(P_VALUES)
def test_comparisons_that_were_made_elsewhere_count_as_if_they_found_nothing(p_values):
    assert holm(p_values, len(p_values) + 3) == holm([*p_values, 1, 1, 1])[: len(p_values)]


def test_against_the_best_all_pairs_count():
    assert _correct_to_best([0.002, 0.02, 0.6]) == holm([0.002, 0.02, 0.6, 1, 1, 1])[:3]
    assert _correct_to_best([0.03]) == [0.03]  # of two there is one pair
    assert _correct_to_best([]) == []


@pytest.mark.parametrize("models", [2, 10, 25])
def test_with_the_resamples_that_are_needed_the_clearest_difference_shows_and_with_fewer_none_does(models):
    needed = _resamples_needed(models)
    clearest, fewer = (p_value_of(numpy.ones(resamples)) for resamples in (needed, needed - 3))
    assert _correct_to_best([clearest, *[0.9] * (models - 2)])[0] <= 0.05
    assert _correct_to_best([fewer, *[0.9] * (models - 2)])[0] > 0.05


def test_tied_with_the_best_are_those_that_cannot_be_told_from_it():
    values = {"c": 0.7, "a": 0.9, "d": 0.1, "b": 0.8}
    assert tied_with_best(values, {"b": 0.5, "c": 0.02, "d": 0.0001}) == ["a", "b", "c"]  # 0.02 times 5
    assert tied_with_best(values, {"b": 0.5, "c": 0.009, "d": 0.0001}) == ["a", "b"]
    assert tied_with_best(values, {"b": 0.5, "c": 0.02, "d": 0.0001}, level=0.2) == ["a", "b"]


def test_without_any_p_only_equals_are_tied():
    nothing = {"b": math.nan, "c": math.nan}
    assert tied_with_best({"a": 0.9, "b": 0.9, "c": 0.8}, nothing) == ["a", "b"]


def test_what_has_no_value_is_never_the_best():
    assert tied_with_best({"a": math.nan, "b": 0.5}, {"a": math.nan}) == ["b"]
    assert tied_with_best({"a": math.nan}, {}) == []


def test_one_alone_is_the_best():
    assert tied_with_best({"a": 0.5}, {}) == ["a"]


DIFFERENCES = st.lists(
    st.builds(
        lambda value, half, parts: Interval(value, value - half, value + half * 1.2, parts),
        st.floats(-0.1, 0.1),
        st.floats(0.001, 0.1),
        st.sampled_from([Parts(1, 2), Parts(1, 9), Parts(), Parts(1, 99, 2, 1), Parts(1, math.inf, 0.5, 8)]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25)
@given(DIFFERENCES, st.sampled_from([0.0, 0.005, 0.05]))
def test_a_corrected_verdict_is_that_of_its_interval_and_of_holms_p(found, margin):
    for each, corrected in zip(found, correct_verdicts(found, [margin] * len(found)), strict=True):
        assert corrected.verdict == verdict(corrected.low, corrected.high, margin)
        assert 0.05 / len(found) * (1 - 1e-9) <= corrected.level <= 0.05
        if corrected.verdict in ("better", "worse"):
            assert corrected.p < 0.05
        assert corrected.high - corrected.low >= (each.high - each.low) * (1 - 1e-9)


def test_one_verdict_stays_as_it_is_and_what_has_no_interval_does_not_count():
    alone, unknown = Interval(0.02, 0.001, 0.039), Interval(0.02, math.nan, math.nan)
    found = correct_verdicts([unknown, alone, unknown], [0.005] * 3)
    assert (found[1].verdict, found[1].low, found[1].high) == ("better", 0.001, 0.039)
    assert found[0].verdict == "no interval"


def test_equal_needs_the_interval_of_all_comparisons_and_better_that_of_those_left():
    clear, close, same = Interval(0.5, 0.4, 0.6), Interval(0.022, 0.001, 0.043), Interval(0.0, -0.004, 0.004)
    assert [each.verdict for each in correct_verdicts([clear, clear, close], [0.005] * 3)] == ["better"] * 3
    assert correct_verdicts([same], [0.005])[0].verdict == "equal within 0.005"
    assert correct_verdicts([clear, clear, same], [0.005] * 3)[2].verdict == "equal within 0.005"
    assert correct_verdicts([clear, clear, same], [0.0045] * 3)[2].verdict == "undecided"


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.3), (0.21, 0.3), (-0.1, 0.19), (0.2, 0.2)])
def test_an_interval_that_does_not_hold_its_value_is_stretched_about_its_middle(low, high):
    found = Interval(0.2, low, high)
    wider = found.at(0.01)
    assert wider[0] <= low <= high <= wider[1]
    assert (found.p < 0.05) == (low > 0 or high < 0)
