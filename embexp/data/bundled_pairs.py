"""Pairs and triplets of a bundled corpus, made of its ranked and its scored rows."""

from collections.abc import Iterable, Iterator
from typing import Any

Rows = Iterator[dict[str, Any]]
MOST_UNLIKE = 0.3  # pairs scored at most this are not alike


def positive_pairs(ranked: Iterable[dict[str, Any]]) -> Rows:
    """Each query with each of its positives."""
    for row in ranked:
        for positive in row["positives"]:
            yield {"anchor": row["query"], "positive": positive}


def triplets(ranked: Iterable[dict[str, Any]]) -> Rows:
    """Each query with a positive and a negative, as long as there are both."""
    for row in ranked:
        for positive, negative in zip(row["positives"], row["negatives"], strict=False):
            yield {"anchor": row["query"], "positive": positive, "negative_1": negative}


def binary_pairs(scored: Iterable[dict[str, Any]]) -> Rows:
    """Pairs scored 1 are alike, those up to 0.3 are not; those between are left out."""
    for row in scored:
        if row["score"] == 1 or row["score"] <= MOST_UNLIKE:
            yield {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "label": int(row["score"] == 1)}
