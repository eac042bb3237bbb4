"""How sure we are: the paired bootstrap of a difference between two models on the same examples."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

Compared = tuple[str, "numpy.ndarray", "numpy.ndarray"]  # pearson or spearman, base, trained
CHUNK = 250  # resamples held in memory at a time
ROUNDING = 1e-13  # share of the largest possible spread that rounding errors may make


def bootstrap_differences(
    gold: "numpy.ndarray", compared: Sequence[Compared], resamples: int, seed: int = 0
) -> list[tuple[float, float]]:
    """The 95 % percentile intervals of trained minus base correlations with gold (Efron & Tibshirani 1993).

    Examples are drawn with replacement, the same ones for both models and all that is compared; ranks are taken anew in
    every resample.

    Args:
        gold: one value per example, `(n,)`.
        compared: what `pearson` or `spearman` is taken of: base and trained, `(n,)` each.

    Returns:
        The lower and upper end for each.
    """
    import numpy

    gold_of = {statistic: TRANSFORMS[statistic](gold) for statistic, _, _ in compared}
    prepared = [
        (statistic, TRANSFORMS[statistic](base), TRANSFORMS[statistic](trained))
        for statistic, base, trained in compared
    ]
    differences: list[list[numpy.ndarray]] = [[] for _ in compared]
    for counts in _resample_counts(len(gold), resamples, seed):
        x = {statistic: _About(transform(counts), counts) for statistic, transform in gold_of.items()}
        for found, (statistic, base_of, trained_of) in zip(differences, prepared, strict=True):
            base, trained = (_About(transform(counts), counts) for transform in (base_of, trained_of))
            found.append(_correlation(x[statistic], trained, counts) - _correlation(x[statistic], base, counts))
    ends = [numpy.nanpercentile(numpy.concatenate(found), [2.5, 97.5]) for found in differences]
    return [(float(low), float(high)) for low, high in ends]


def _resample_counts(n: int, resamples: int, seed: int) -> Iterator["numpy.ndarray"]:
    """How often each example was drawn, `(chunk, n)`, for all resamples in chunks."""
    import numpy

    draw = numpy.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        places = draw.integers(0, n, (size, n)) + numpy.arange(size)[:, None] * n
        yield numpy.bincount(places.ravel(), minlength=size * n).reshape(size, n).astype(float)


class _Values:
    """The values themselves, about zero, in every resample."""

    def __init__(self, values: "numpy.ndarray") -> None:
        self.values = values - values.mean()

    def __call__(self, counts: "numpy.ndarray") -> "numpy.ndarray":
        return self.values[None, :]


class _Ranks:
    """Average ranks within every resample, about zero, without sorting again: only the counts change."""

    def __init__(self, values: "numpy.ndarray") -> None:
        import numpy

        distinct, self.group = numpy.unique(values, return_inverse=True)
        self.order = numpy.argsort(self.group, kind="stable")
        self.ends = numpy.cumsum(numpy.bincount(self.group, minlength=len(distinct))) - 1

    def __call__(self, counts: "numpy.ndarray") -> "numpy.ndarray":
        import numpy

        last = numpy.cumsum(counts[:, self.order], axis=1)[:, self.ends]
        first = numpy.concatenate([numpy.zeros((len(counts), 1)), last[:, :-1]], axis=1)
        return ((first + last - len(self.group)) / 2)[:, self.group]


TRANSFORMS = {"pearson": _Values, "spearman": _Ranks}


class _About:
    """Values about zero with their sum and spread in every resample; the spread of equal values is nan."""

    def __init__(self, values: "numpy.ndarray", counts: "numpy.ndarray") -> None:
        import numpy

        self.values = values
        self.total = counts.sum(axis=1)
        self.sum = _sum(counts, values, numpy.ones((1, 1)))
        squares = _sum(counts, values, values) - self.sum**2 / self.total
        # Equal values leave a spread of rounding errors only: no correlation, not a random one.
        self.spread = numpy.where(squares > ROUNDING * self.total * numpy.abs(values).max() ** 2, squares, numpy.nan)


def _correlation(x: _About, y: _About, counts: "numpy.ndarray") -> "numpy.ndarray":
    """Pearson correlation of x and y in every resample, `(chunk,)`; nan where one of them is equal everywhere."""
    import numpy

    product = _sum(counts, x.values, y.values) - x.sum * y.sum / x.total
    return product / numpy.sqrt(x.spread * y.spread)


def _sum(counts: "numpy.ndarray", x: "numpy.ndarray", y: "numpy.ndarray") -> "numpy.ndarray":
    """The sum of x times y over the examples of every resample, `(chunk,)`; x and y may be the same in all of them."""
    import numpy

    if len(x) == len(y) == 1:
        return counts @ (x * y)[0]
    return numpy.einsum("ij,ij,ij->i", *numpy.broadcast_arrays(counts, x, y))
