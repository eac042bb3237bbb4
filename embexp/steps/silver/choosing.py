"""Which labelled pairs stay: those that the teacher is sure of, and as many of each label as gold has."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.steps.silver.labelling import Silver
from embexp.steps.silver.likeness import are_like_gold

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Choice:
    """The pairs that stay, and how many went for which reason."""

    silver: Silver
    left_out: Counter[str]


def chosen(
    silver: Silver, gold: "numpy.ndarray", kind: str, min_confidence: float | None, like_gold: bool, seed: int
) -> Choice:
    """The silver pairs to train on.

    Args:
        gold: labels of the gold rows.
        kind: of the labels: score, binary or class.
        min_confidence: of a label, see `confidences_of`; None for any.
        like_gold: whether the labels of those that stay are to be spread as gold's are.
    """
    left_out, sure = Counter(), silver
    if min_confidence is not None:
        sure = silver.only(silver.confidences >= min_confidence)
        left_out[f"less sure than {min_confidence}"] = len(silver.pairs) - len(sure.pairs)
    like = sure
    if like_gold and sure.pairs:
        like = sure.only(are_like_gold(gold, sure.labels, kind, seed))
        left_out["to be spread like gold"] = len(sure.pairs) - len(like.pairs)
    return Choice(like, left_out)
