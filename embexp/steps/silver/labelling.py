"""Silver labels: what a teacher gives, how certain it is, and which labelled pairs are kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.protocols import PairLabeller
from embexp.steps.silver.pool import Pair

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class SilverLabels:
    """Pairs with the labels that a teacher gave them.

    Attributes:
        labels, confidences: see `_labels_of` and `_confidences_of`, `(num_pairs,)` each.
    """

    pairs: Sequence[Pair]
    labels: "numpy.ndarray"
    confidences: "numpy.ndarray"

    def only(self, keep: "numpy.ndarray") -> "SilverLabels":
        """Those of the pairs where the mask is true."""
        places = keep.nonzero()[0].tolist()
        return SilverLabels([self.pairs[place] for place in places], self.labels[keep], self.confidences[keep])


def labelled(pairs: Sequence[Pair], labeller: PairLabeller, kind: str) -> SilverLabels:
    """The pairs with their labels; `kind` is score, binary or class."""
    outputs = labeller.label(pairs)
    return SilverLabels(pairs, _labels_of(outputs, kind), _confidences_of(outputs))


def _labels_of(outputs: "numpy.ndarray", kind: str) -> "numpy.ndarray":
    """The label of each pair: a score from 0 to 1, 0 or 1, or the most probable class; `(num_pairs,)`.

    Args:
        outputs: `(num_pairs, classes)`: probability of each class; with one column the score, or that of label 1.
        kind: score, binary or class, as `Shape.label_kind`.

    >>> import numpy
    >>> given = numpy.array([[0.25], [0.75]])
    >>> _labels_of(given, "score").tolist(), _labels_of(given, "binary").tolist()
    ([0.25, 0.75], [0, 1])
    >>> _labels_of(numpy.array([[0.1, 0.7, 0.2]]), "class").tolist()
    [1]
    """
    if kind == "class":
        return outputs.argmax(axis=1)
    values = outputs[:, 0].astype("float64").clip(0, 1)
    return (values >= 0.5).astype("int64") if kind == "binary" else values


def _confidences_of(outputs: "numpy.ndarray") -> "numpy.ndarray":
    """The probability of each pair's label; of a score s that of its side of 0.5, the larger of s and 1 - s.

    >>> import numpy
    >>> _confidences_of(numpy.array([[0.25], [0.5]])).tolist()
    [0.75, 0.5]
    >>> _confidences_of(numpy.array([[0.1, 0.7, 0.2]])).tolist()
    [0.7]
    """
    import numpy

    sides = outputs if outputs.shape[1] > 1 else numpy.concatenate([outputs, 1 - outputs], axis=1)
    return sides.max(axis=1)


_GRID = 513  # scores from 0 to 1 at which densities are computed


def are_like_gold(gold: "numpy.ndarray", silver: "numpy.ndarray", kind: str, seed: int) -> "numpy.ndarray":
    """Which silver pairs to keep so that their labels are spread as gold's are, bool `(num_silver,)`.

    Args:
        gold, silver: labels, `(num_gold,)` and `(num_silver,)`.
        kind: of the labels: score, binary or class.
    """
    import numpy

    draw = numpy.random.default_rng(seed)
    if kind == "score":
        return draw.random(len(silver)) < keep_probabilities(gold, silver)
    numbers = _class_numbers(gold, silver)
    keep = numpy.zeros(len(silver), bool)
    for label, number in numbers.items():
        keep[draw.permutation(numpy.flatnonzero(silver == label))[:number]] = True
    return keep


def keep_probabilities(gold: "numpy.ndarray", silver: "numpy.ndarray") -> "numpy.ndarray":
    """Q(s) = min(1, F_gold(s) / F_silver(s)) of each silver score s, by kernel density estimates F.

    All stay where one side has a single value, which has no density.
    """
    import numpy
    from scipy.stats import gaussian_kde

    if min(len(numpy.unique(gold)), len(numpy.unique(silver))) < 2:
        return numpy.ones(len(silver))
    grid = numpy.linspace(0, 1, _GRID)
    of_gold, of_silver = (gaussian_kde(scores)(grid) for scores in (gold, silver))
    ratios = of_gold / numpy.maximum(of_silver, numpy.finfo(float).tiny)
    return numpy.interp(silver, grid, ratios).clip(0, 1)


def _class_numbers(gold: "numpy.ndarray", silver: "numpy.ndarray") -> dict[int, int]:
    """How many pairs of each class to keep: as many as there are of the rarest, others in gold's proportion to it.

    >>> import numpy
    >>> _class_numbers(numpy.array([1, 0, 0]), numpy.array([1, 1, 0, 0, 0, 0, 0, 0, 0]))
    {0: 4, 1: 2}
    """
    import numpy

    labels = numpy.intersect1d(gold, silver)
    wanted, there = (numpy.array([(some == label).sum() for label in labels]) for some in (gold, silver))
    whole = (there / wanted).min(initial=numpy.inf)
    return {int(label): int(number * whole + 1e-9) for label, number in zip(labels, wanted, strict=True)}


@dataclass(frozen=True)
class SilverSelection:
    """The pairs that stay, and how many went for which reason."""

    silver: SilverLabels
    left_out: Counter[str]


def chosen(
    silver: SilverLabels, gold: "numpy.ndarray", kind: str, min_confidence: float | None, like_gold: bool, seed: int
) -> SilverSelection:
    """The silver pairs to train on.

    Args:
        gold: labels of the gold rows.
        kind: of the labels: score, binary or class.
        min_confidence: of a label, see `_confidences_of`; None for any.
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
    return SilverSelection(like, left_out)
