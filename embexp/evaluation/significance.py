"""How sure we are: the paired bootstrap of a difference between two models on the same examples."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

CHUNK = 250  # resamples held in memory at a time


def bootstrap_difference(
    statistic: str,
    gold: "numpy.ndarray",
    base: "numpy.ndarray",
    trained: "numpy.ndarray",
    resamples: int,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % percentile interval of the trained minus the base correlation with gold (Efron & Tibshirani 1993).

    Examples are drawn with replacement, the same ones for both models; ranks are taken anew in every resample.

    Args:
        statistic: `pearson` or `spearman`.
        gold, base, trained: one value per example, `(n,)`.

    Returns:
        The lower and upper end.
    """
    import numpy

    transform = {"pearson": _Values, "spearman": _Ranks}[statistic]
    gold_of, base_of, trained_of = transform(gold), transform(base), transform(trained)
    differences = [
        _correlation(gold_of(counts), trained_of(counts), counts)
        - _correlation(gold_of(counts), base_of(counts), counts)
        for counts in _resample_counts(len(gold), resamples, seed)
    ]
    low, high = numpy.nanpercentile(numpy.concatenate(differences), [2.5, 97.5])
    return float(low), float(high)


def _resample_counts(n: int, resamples: int, seed: int) -> Iterator["numpy.ndarray"]:
    """How often each example was drawn, `(chunk, n)`, for all resamples in chunks."""
    import numpy

    draw = numpy.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        places = draw.integers(0, n, (size, n)) + numpy.arange(size)[:, None] * n
        yield numpy.bincount(places.ravel(), minlength=size * n).reshape(size, n).astype(float)


class _Values:
    """The values themselves, in every resample."""

    def __init__(self, values: "numpy.ndarray") -> None:
        self.values = values - values.mean()

    def __call__(self, counts: "numpy.ndarray") -> "numpy.ndarray":
        return self.values[None, :]


class _Ranks:
    """Average ranks within every resample, without sorting again: the order is known, only the counts change."""

    def __init__(self, values: "numpy.ndarray") -> None:
        import numpy

        distinct, self.group = numpy.unique(values, return_inverse=True)
        self.order = numpy.argsort(self.group, kind="stable")
        self.ends = numpy.cumsum(numpy.bincount(self.group, minlength=len(distinct))) - 1

    def __call__(self, counts: "numpy.ndarray") -> "numpy.ndarray":
        import numpy

        last = numpy.cumsum(counts[:, self.order], axis=1)[:, self.ends]
        first = numpy.concatenate([numpy.zeros((len(counts), 1)), last[:, :-1]], axis=1)
        return ((first + last + 1) / 2)[:, self.group]


def _correlation(x: "numpy.ndarray", y: "numpy.ndarray", counts: "numpy.ndarray") -> "numpy.ndarray":
    """Pearson correlation of x and y in every resample, `(chunk,)`."""
    import numpy

    total = counts.sum(axis=1, keepdims=True)
    x = x - (counts * x).sum(axis=1, keepdims=True) / total
    y = y - (counts * y).sum(axis=1, keepdims=True) / total
    weighted = counts * x
    spread = (weighted * x).sum(axis=1) * (counts * y * y).sum(axis=1)
    # Equal values leave a spread of rounding errors only: no correlation, not a random one.
    rounding = 1e-24 * (total[:, 0] * numpy.abs(x).max() * numpy.abs(y).max()) ** 2
    with numpy.errstate(invalid="ignore", divide="ignore"):
        return numpy.where(spread > rounding, (weighted * y).sum(axis=1) / numpy.sqrt(spread), numpy.nan)
