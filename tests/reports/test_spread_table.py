"""How similarities lie by gold: quantiles that can be read off the rows."""

import pytest

from embexp.reports.comparisons import _spread_of, spread_markdown


def test_scores_are_told_in_fifths_and_empty_ones_left_out():
    gold = [0.0, 0.1, 0.19, 0.5, 0.55, 0.59, 1.0, 0.95, 0.97, 0.98, 0.99]
    similarities = [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.9, 0.9, 0.9, 0.9, 0.9]
    lowest, middle, highest = _spread_of(gold, similarities)
    assert lowest == ("[0, 0.2)", 3, pytest.approx(0.11), pytest.approx(0.2), pytest.approx(0.29))
    assert middle == ("[0.4, 0.6)", 3, 0.4, 0.4, 0.4)
    assert highest == ("[0.8, 1]", 5, 0.9, 0.9, 0.9)


def test_the_six_grades_of_a_scale_from_0_to_5_keep_a_line_each():
    assert [name for name, *_ in _spread_of([0, 0.2, 0.4, 0.6, 0.8, 1], [0.5] * 6)] == [
        "0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1",
    ]


def test_labels_are_told_one_by_one_for_each_model():
    table = spread_markdown("cosine", [1, 0, 1], {"a": [0.5, 0.25, 0.5], "b": [1.0, 0.0, 1.0]})
    assert table.splitlines()[2:] == [
        "| model | gold | pairs | 5 % | median | 95 % |",
        "| --- | --- | --- | --- | --- | --- |",
        "| a | 0 | 1 | 0.250 | 0.250 | 0.250 |",
        "| a | 1 | 2 | 0.500 | 0.500 | 0.500 |",
        "| b | 0 | 1 | 0.000 | 0.000 | 0.000 |",
        "| b | 1 | 2 | 1.000 | 1.000 | 1.000 |",
    ]
