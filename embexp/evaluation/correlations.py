"""Pearson's and Spearman's correlation: by scipy on all examples, vectorised on resamples."""

import numpy

from embexp.evaluation.stats.resampling import Sample

_ROUNDING = 1e-13  # share of the largest possible spread that rounding errors may make


class Values:
    """The values, centred, with their sum and spread in every resample."""

    def __init__(self, values: numpy.ndarray) -> None:
        self.values = values - values.mean()

    def __call__(self, sample: Sample) -> "_About":
        return _About(self.values[None, :], sample)


class Ranks:
    """Average ranks within every resample; sorted once, since only the counts change."""

    def __init__(self, values: numpy.ndarray) -> None:
        _, self.group, sizes = numpy.unique(values, return_inverse=True, return_counts=True)
        self.order = numpy.argsort(self.group, kind="stable")
        self.starts = numpy.cumsum(sizes) - sizes

    def __call__(self, sample: Sample) -> "_About":
        sampled = numpy.add.reduceat(sample.counts.take(self.order, axis=1), self.starts, axis=1)
        ranks = numpy.cumsum(sampled, axis=1) - sampled / 2 - sample.total[:, None] / 2
        return _About(ranks.take(self.group, axis=1), sample)


class _About:
    """Centred values with their sum and spread in every resample; the spread of equal values is nan."""

    def __init__(self, values: numpy.ndarray, sample: Sample) -> None:
        self.values = values
        self.sum = _sum(sample.counts, values, numpy.ones((1, 1)))
        squares = _sum(sample.counts, values, values) - self.sum**2 / sample.total
        # The spread of equal values is rounding error: no correlation, not a random one.
        largest = _ROUNDING * sample.total * numpy.abs(values).max() ** 2
        self.spread = numpy.where(squares > largest, squares, numpy.nan)


class Correlation:
    """Correlation of predicted and true values, as a statistic.

    Args:
        gold, predicted: `Values` for Pearson, `Ranks` for Spearman; compared models share the gold ones.
    """

    def __init__(self, gold: "Values | Ranks", predicted: "Values | Ranks") -> None:
        self.gold = gold
        self.predicted = predicted

    def __call__(self, sample: Sample) -> numpy.ndarray:
        """The correlation in every resample, `(resamples,)`; nan where gold or prediction is constant."""
        x, y = sample.once(self.gold), sample.once(self.predicted)
        product = _sum(sample.counts, x.values, y.values) - x.sum * y.sum / sample.total
        return product / numpy.sqrt(x.spread * y.spread)


def _sum(counts: numpy.ndarray, x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """The sum of x times y over the examples of every resample, `(resamples,)`; x and y may be the same in all."""
    if len(x) == len(y) == 1:
        return counts @ (x * y)[0]
    return numpy.einsum("ij,ij,ij->i", *numpy.broadcast_arrays(counts, x, y))
