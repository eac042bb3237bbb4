"""Correlations on resamples: those of scipy on the rows that were drawn, each as often as it was."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from embexp.evaluation.metrics import _Correlation, _Ranks, _Values
from embexp.evaluation.stats.resampling import CHUNK, Sample, bootstrap_samples, observed_sample

KINDS = pytest.mark.parametrize(("kind", "scipys"), [(_Values, pearsonr), (_Ranks, spearmanr)], ids=["values", "ranks"])


def of_scipy(scipys, gold, predicted, counts) -> float:
    rows = numpy.repeat(numpy.arange(len(gold)), counts.astype(int))
    gold, predicted = gold[rows], predicted[rows]
    if numpy.ptp(gold) == 0 or numpy.ptp(predicted) == 0:
        return numpy.nan
    return scipys(gold, predicted).statistic


@KINDS
def test_on_resamples_it_is_scipys_on_the_repeated_rows(kind, scipys):
    random = numpy.random.default_rng(2)
    gold = random.integers(0, 6, 60) / 5  # many ties
    predicted = (gold + random.normal(0, 0.5, 60)).round(1)
    (draw,) = bootstrap_samples(60, CHUNK, seed=5)
    expected = [of_scipy(scipys, gold, predicted, counts) for counts in draw.counts]
    assert _Correlation(kind(gold), kind(predicted))(draw) == pytest.approx(expected, abs=1e-12)


@KINDS
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 3)), min_size=2, max_size=12))
def test_it_exists_where_scipys_does_and_is_the_same_there(kind, scipys, rows):
    gold, predicted, counts = numpy.array(rows, dtype=float).T
    if not counts.any():
        counts[0] = 1
    found = _Correlation(kind(gold), kind(predicted))(Sample(counts[None, :]))
    expected = of_scipy(scipys, gold, predicted, counts)
    assert found == pytest.approx([expected], abs=1e-9, nan_ok=True)


@KINDS
@pytest.mark.parametrize("offset", [0, 1e6])
def test_far_from_zero_it_is_as_exact(kind, scipys, offset):
    random = numpy.random.default_rng(3)
    gold, predicted = random.normal(size=(2, 200)) + offset
    expected = scipys(gold, predicted).statistic
    assert _Correlation(kind(gold), kind(predicted))(observed_sample(200)) == pytest.approx([expected], abs=1e-9)


@KINDS
def test_of_equal_values_there_is_none(kind, scipys):  # noqa: ARG001
    gold = numpy.arange(5.0)
    for first, second in ((gold, gold * 0 + 0.1), (gold * 0 + 0.1, gold)):
        assert numpy.isnan(_Correlation(kind(first), kind(second))(observed_sample(5))).all()


@KINDS
def test_of_resamples_without_different_values_there_is_none(kind, scipys):  # noqa: ARG001
    gold, predicted = numpy.array([0.1, 0.7, 0.7]), numpy.array([0.3, 0.1, 0.9])
    draw = Sample(numpy.array([[0.0, 2, 1], [3, 0, 0], [1, 1, 1]]))
    assert numpy.isnan(_Correlation(kind(gold), kind(predicted))(draw)).tolist() == [True, True, False]


def test_ranks_and_values_of_gold_are_taken_once_for_all_models():
    gold, draw = _Ranks(numpy.arange(6.0)), observed_sample(6)
    first, second = (_Correlation(gold, _Ranks(values)) for values in numpy.random.default_rng(1).normal(size=(2, 6)))
    first(draw)
    ranks = draw.once(gold)
    second(draw)
    assert draw.once(gold) is ranks
