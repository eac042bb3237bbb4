"""Texts in several rows, found without holding the texts: how many rows share one, and which is the most common."""

import numpy
import pytest

from embexp.data.row_checks import dataset_of
from embexp.experiment.data_checks import _keys_of_texts


@pytest.mark.parametrize(
    ("rows", "sharing", "most"),
    [
        ([("a", "b"), ("c", "d")], 0, 1),
        ([("a", "b"), ("a", "c"), ("d", "a"), ("e", "f")], 3, 3),
        ([("a", "a"), ("b", "c")], 0, 1),  # twice in a row is once
        ([("利率", "银行"), ("银行", "基金"), ("é", "e")], 2, 2),
    ],
)
def test_a_text_counts_once_in_a_row(rows, sharing, most):
    anchors, positives = zip(*rows, strict=True)
    pairs = dataset_of("toy", "positive_pair", {"train": {"anchor": [*anchors], "positive": [*positives]}})
    keys, values, counts = _keys_of_texts(pairs.training_rows())
    assert keys.shape == (len(rows), 2)
    assert int(numpy.isin(keys, values[counts > 1]).any(axis=1).sum()) == sharing
    assert counts.max() == most
