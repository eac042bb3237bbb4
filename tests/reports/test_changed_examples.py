"""Changed examples: errors by hand for every kind, what broke, what was mended, what is still wrong."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr  # here: Hypothesis would count the import in the first example's time
from sklearn.metrics import roc_auc_score

from embexp.evaluation.metrics import STATISTICS
from embexp.reports.changed_examples import (
    _EXPLANATIONS,
    ERRORS,
    KIND_OF,
    _binary_errors,
    _class_errors,
    _rank_errors,
    _share_errors,
    _worst,
    broken,
    mended,
    rows_of,
    with_errors,
)

NAN = float("nan")


def errors(function, gold, values) -> list[float]:
    return function(numpy.array(gold), numpy.array(values)).tolist()


def test_rank_errors_are_distances_from_the_ranks_that_gold_allows():
    assert errors(_rank_errors, [0.0, 0.0, 1.0, 1.0], [0.1, 0.9, 0.2, 0.95]) == pytest.approx([0, 1 / 3, 1 / 3, 0])
    assert errors(_rank_errors, [0.1, 0.2, 0.3], [9.0, 5.0, 1.0]) == pytest.approx([1, 0, 1])
    assert errors(_rank_errors, [0.1, 0.2, 0.3], [5.0, 5.0, 5.0]) == pytest.approx([0.5, 0, 0.5])


def test_rank_errors_of_values_that_are_missing_do_not_exist():
    assert errors(_rank_errors, [0.1, 0.2, 0.3], [5.0, NAN, 1.0]) == pytest.approx([1, NAN, 1], nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-1, 1)), min_size=3, max_size=40))
def test_without_rank_errors_no_other_order_of_the_values_correlates_better(pairs):
    gold, values = (numpy.array(side, dtype=float) for side in zip(*pairs, strict=True))
    values = numpy.unique(values)  # without ties
    gold = numpy.sort(gold[: len(values)])
    assert not _rank_errors(gold, values).any()
    if numpy.ptp(gold) and len(values) > 1:
        shuffled = numpy.random.default_rng(0).permutation(values)
        assert spearmanr(gold, values).statistic >= spearmanr(gold, shuffled).statistic - 1e-12
        assert _rank_errors(gold, shuffled).any() == (
            spearmanr(gold, shuffled).statistic < spearmanr(gold, values).statistic - 1e-12
        )


def test_binary_errors_are_the_shares_of_the_other_class_on_the_wrong_side():
    assert errors(_binary_errors, [1, 1, 0, 0], [0.9, 0.2, 0.5, 0.2]) == pytest.approx([0, 0.75, 0.5, 0.25])
    assert errors(_binary_errors, [1, 1], [0.9, 0.2]) == pytest.approx([NAN, NAN], nan_ok=True)
    assert errors(_binary_errors, [1, 0, 0], [0.9, NAN, 0.1]) == pytest.approx([0, NAN, 0], nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=2, max_size=50))
def test_the_mean_binary_error_of_a_class_is_what_auc_lacks(pairs):
    gold, values = (numpy.array(side) for side in zip(*pairs, strict=True))
    if len(set(gold)) == 2:
        found = _binary_errors(gold, values / 9)
        lacks = pytest.approx(1 - roc_auc_score(gold, values))
        assert found[gold == 1].mean() == lacks
        assert found[gold == 0].mean() == lacks


def test_shares_and_classes():
    assert errors(_share_errors, [None, None], [1.0, 0.25]) == [0, 0.75]
    assert errors(_class_errors, ["NUM", "LOC"], ["NUM", "NUM"]) == [0, 1]
    assert errors(_class_errors, [1, 2], [2, 2]) == [1, 0]


def test_every_statistic_but_that_of_clusters_has_a_kind_that_has_an_error():
    assert {*STATISTICS} - {*KIND_OF} == {"v_measure"}
    assert {*KIND_OF.values()} == {*ERRORS} == {*_EXPLANATIONS}


def test_columns_become_rows_with_their_texts():
    examples = {"id": ["test-0", "test-1"], "sentence1": ["a", "b"], "gold": [0.5, 1.0], "no_leaks": [True, False]}
    assert rows_of(examples, [0.1, 0.2], [0.3, 0.4]) == [
        {"id": "test-0", "texts": ["a"], "gold": 0.5, "base": 0.1, "trained": 0.3},
        {"id": "test-1", "texts": ["b"], "gold": 1.0, "base": 0.2, "trained": 0.4},
    ]
    assert rows_of({"query": ["a"]}, [0.1], [0.3]) == [
        {"id": "0", "texts": ["a"], "gold": None, "base": 0.1, "trained": 0.3}
    ]
    triplets = {"anchor": ["a", "b"], "negative_2": [None, "c"]}
    assert [row["texts"] for row in rows_of(triplets, [0, 1], [1, 1])] == [["a"], ["b", "c"]]
    assert rows_of({"text": ["a"], "label": ["NUM"]}, ["NUM"], ["LOC"], gold="label")[0]["texts"] == ["a"]


def of_metric(*values) -> list[dict]:
    rows = [{"texts": [str(place)], "base": base, "trained": trained} for place, (base, trained) in enumerate(values)]
    return with_errors(rows, "share")


def named(rows) -> list[str]:
    return [row["texts"][0] for row in rows]


def test_examples_are_ranked_by_how_much_their_error_changed():
    rows = of_metric((1.0, 0.5), (0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (0.5, 0.75), (0.5, 0.5 + 1e-15))
    assert named(broken(rows)) == ["3", "0"]
    assert named(mended(rows)) == ["1", "4"]
    assert named(broken(rows, 1)) == ["3"]
    assert rows[3] == {"texts": ["3"], "base": 1.0, "trained": 0.0, "base_error": 0, "trained_error": 1, "change": -1}


def test_the_worst_errors_are_those_of_the_trained_model():
    rows = of_metric((1.0, 0.5), (0.0, 1.0), (0.0, 0.0), (0.5, 0.75))
    assert named(_worst(rows)) == ["2", "0", "3"]
    assert named(_worst(rows, 2)) == ["2", "0"]


def test_rows_without_an_error_are_left_out_but_no_other_ones():
    assert named(of_metric((1.0, NAN), (0.0, 1.0), (NAN, 0.5))) == ["1"]


def test_pairs_of_one_gold_score_may_swap_places():
    rows = [
        {"texts": [name], "gold": gold, "base": base, "trained": trained}
        for name, gold, base, trained in (
            ("a", 0, 0.1, 0.2),
            ("b", 0, 0.2, 0.1),
            ("c", 1, 0.9, 0.15),
            ("d", 1, 0.8, 0.7),
        )
    ]
    found = with_errors(rows, "rank")
    assert named(broken(found)) == ["a", "c"]
    assert [row["change"] for row in found] == pytest.approx([-1 / 3, 0, -1 / 3, 0])
