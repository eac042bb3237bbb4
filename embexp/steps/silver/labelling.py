"""Silver labels: a teacher's labels of pairs, its confidence, and which labelled pairs are kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from embexp.protocols import PairLabeller
from embexp.steps.silver.sampling import Pair


@dataclass(frozen=True)
class SilverLabels:
    """Pairs with a teacher's labels.

    Attributes:
        labels: as `label_pairs` gives them, `(num_pairs,)`.
        confidences: the probability of each label, `(num_pairs,)`; of a score s the larger of s and 1 - s.
    """

    pairs: Sequence[Pair]
    labels: numpy.ndarray
    confidences: numpy.ndarray

    def where(self, keep: numpy.ndarray) -> "SilverLabels":
        """The pairs where the mask is true."""
        places = keep.nonzero()[0].tolist()
        return SilverLabels([self.pairs[place] for place in places], self.labels[keep], self.confidences[keep])


def label_pairs(pairs: Sequence[Pair], labeller: PairLabeller, kind: str) -> SilverLabels:
    """The pairs with their labels: scores from 0 to 1, 0 or 1, or the most probable class.

    Args:
        kind: score, binary or class, as `Shape.label_kind`.
    """
    outputs = labeller.label(pairs)
    values = outputs[:, 0].astype("float64").clip(0, 1)
    labels = outputs.argmax(axis=1) if kind == "class" else (values >= 0.5).astype("int64")
    sides = outputs if outputs.shape[1] > 1 else numpy.concatenate([outputs, 1 - outputs], axis=1)
    return SilverLabels(pairs, values if kind == "score" else labels, sides.max(axis=1))


_GRID = 513  # scores from 0 to 1 at which densities are computed


def _sample_like_gold(gold: numpy.ndarray, silver: numpy.ndarray, kind: str, seed: int) -> numpy.ndarray:
    """Which silver pairs to keep so that their labels have the distribution of gold's, bool `(num_silver,)`."""
    random = numpy.random.default_rng(seed)
    if kind == "score":
        return random.random(len(silver)) < _keep_probabilities(gold, silver)
    keep = numpy.zeros(len(silver), bool)
    for label, number in _class_numbers(gold, silver).items():
        keep[random.permutation(numpy.flatnonzero(silver == label))[:number]] = True
    return keep


def _keep_probabilities(gold: numpy.ndarray, silver: numpy.ndarray) -> numpy.ndarray:
    """Q(s) = min(1, F_gold(s) / F_silver(s)) of each silver score s, F being kernel density estimates."""
    from scipy.stats import gaussian_kde

    if min(len(numpy.unique(gold)), len(numpy.unique(silver))) < 2:  # a single value has no density
        return numpy.ones(len(silver))
    grid = numpy.linspace(0, 1, _GRID)
    of_gold, of_silver = (gaussian_kde(scores)(grid) for scores in (gold, silver))
    ratios = of_gold / numpy.maximum(of_silver, numpy.finfo(float).tiny)
    return numpy.interp(silver, grid, ratios).clip(0, 1)


def _class_numbers(gold: numpy.ndarray, silver: numpy.ndarray) -> dict[int, int]:
    """How many pairs of each class to keep: as many as there are of the rarest, others in gold's proportion to it.

    >>> import numpy
    >>> _class_numbers(numpy.array([1, 0, 0]), numpy.array([1, 1, 0, 0, 0, 0, 0, 0, 0]))
    {0: 4, 1: 2}
    """
    labels = numpy.intersect1d(gold, silver)
    wanted, there = (numpy.array([(some == label).sum() for label in labels]) for some in (gold, silver))
    whole = (there / wanted).min(initial=numpy.inf)
    return {int(label): int(number * whole + 1e-9) for label, number in zip(labels, wanted, strict=True)}


def select_pairs(
    silver: SilverLabels, gold: numpy.ndarray, kind: str, min_confidence: float | None, like_gold: bool, seed: int
) -> tuple[SilverLabels, Counter[str]]:
    """The silver pairs to train on, and how many are left out for which reason.

    Args:
        gold: labels of the gold rows.
        kind: of the labels: score, binary or class.
        min_confidence: of a label, see `SilverLabels`; None for any.
        like_gold: whether the labels of those that stay shall have the distribution of gold's.
    """
    left_out, kept = Counter(), silver
    if min_confidence is not None:
        kept = silver.where(silver.confidences >= min_confidence)
        left_out[f"with a confidence below {min_confidence}"] = len(silver.pairs) - len(kept.pairs)
    if like_gold and kept.pairs:
        confident, kept = kept, kept.where(_sample_like_gold(gold, kept.labels, kind, seed))
        left_out["for the distribution of gold"] = len(confident.pairs) - len(kept.pairs)
    return kept, left_out
