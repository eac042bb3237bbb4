"""Resamples of examples: the same ones as a plain loop draws, in chunks, and shared by all that ask."""

import numpy
import pytest

from embexp.evaluation.stats.resampling import CHUNK, Sample, bootstrap_samples, observed_sample


def all_counts(examples: int, resamples: int, seed: int = 0) -> numpy.ndarray:
    return numpy.concatenate([draw.counts for draw in bootstrap_samples(examples, resamples, seed)])


@pytest.mark.parametrize("resamples", [1, CHUNK, CHUNK + 1, 3 * CHUNK - 1])
def test_the_draws_are_those_of_a_loop_over_resamples(resamples):
    random = numpy.random.default_rng(4)
    expected = [numpy.bincount(random.integers(0, 7, 7), minlength=7) for _ in range(resamples)]
    assert all_counts(7, resamples, seed=4).tolist() == numpy.array(expected).tolist()


def test_no_chunk_is_larger_than_the_memory_that_is_meant_for_it():
    assert [len(draw.counts) for draw in bootstrap_samples(3, 2 * CHUNK + 5)] == [CHUNK, CHUNK, 5]


def test_every_resample_is_as_large_as_the_data():
    assert {draw.total.tolist()[0] for draw in bootstrap_samples(9, 1)} == {9}
    assert (all_counts(9, 100).sum(axis=1) == 9).all()


def test_every_example_is_drawn_as_often_as_any_other():
    shares = all_counts(5, 20_000).mean(axis=0)
    assert shares == pytest.approx([1] * 5, abs=0.03)  # four standard errors


def test_the_same_seed_draws_the_same_and_another_one_something_else():
    assert (all_counts(20, 10, seed=1) == all_counts(20, 10, seed=1)).all()
    assert (all_counts(20, 10, seed=1) != all_counts(20, 10, seed=2)).any()


def test_no_resamples_are_no_draws():
    assert list(bootstrap_samples(5, 0)) == []


def test_the_whole_draws_each_example_once():
    assert observed_sample(3).counts.tolist() == [[1, 1, 1]]
    assert observed_sample(3).total.tolist() == [3]


def test_what_a_draw_is_asked_twice_is_made_once():
    asked = []

    def rows_of(draw: Sample) -> float:
        asked.append(draw)
        return draw.counts.sum()

    draw = observed_sample(4)
    assert (draw.once(rows_of), draw.once(rows_of)) == (4, 4)
    assert asked == [draw]


def test_of_some_examples_only_their_counts_are_left():
    draw = Sample(numpy.array([[2.0, 0, 1], [0, 0, 3]]))
    rows = numpy.array([True, True, False])
    assert draw.only(rows).counts.tolist() == [[2, 0], [0, 0]]
    assert draw.only(rows).total.tolist() == [2, 0]
    assert draw.only(rows) is draw.only(rows)
