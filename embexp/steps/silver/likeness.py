"""Silver pairs whose labels are spread as those of gold are (Thakur et al. 2020, section 3.1)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

GRID = 513  # scores from 0 to 1 at which densities are computed


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
    numbers = class_numbers(gold, silver)
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
    grid = numpy.linspace(0, 1, GRID)
    of_gold, of_silver = (gaussian_kde(scores)(grid) for scores in (gold, silver))
    ratios = of_gold / numpy.maximum(of_silver, numpy.finfo(float).tiny)
    return numpy.interp(silver, grid, ratios).clip(0, 1)


def class_numbers(gold: "numpy.ndarray", silver: "numpy.ndarray") -> dict[int, int]:
    """How many pairs of each class to keep: as many as there are of the rarest, others in gold's proportion to it.

    >>> import numpy
    >>> class_numbers(numpy.array([1, 0, 0]), numpy.array([1, 1, 0, 0, 0, 0, 0, 0, 0]))
    {0: 4, 1: 2}
    """
    import numpy

    labels = numpy.intersect1d(gold, silver)
    wanted, there = (numpy.array([(some == label).sum() for label in labels]) for some in (gold, silver))
    whole = (there / wanted).min(initial=numpy.inf)
    return {int(label): int(number * whole + 1e-9) for label, number in zip(labels, wanted, strict=True)}
