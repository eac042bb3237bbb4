"""Metrics of scores that separate two classes by a threshold, vectorised over resamples."""

from collections.abc import Callable

import numpy

from embexp.evaluation.stats.resampling import Sample, observed_sample

_Goodness = Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]


class SortedScores:
    """Examples from the highest score down, and which of them are positive; equal scores share a threshold.

    Args:
        gold: 1 for positive, 0 for negative, `(n,)`.
    """

    def __init__(self, gold: numpy.ndarray, predicted: numpy.ndarray) -> None:
        self.order = numpy.argsort(-predicted, kind="stable")
        self.is_positive = gold[self.order].astype(bool)
        falls = numpy.diff(predicted[self.order]) != 0
        self.ends = numpy.append(numpy.flatnonzero(falls), len(predicted) - 1)

    def __call__(self, sample: Sample) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Positives and negatives at or above each threshold: one above all scores, then each distinct score.

        Both are `(resamples, 1 + scores)`: 0 at the first threshold, all examples at the last.
        """
        counts = sample.counts[:, self.order]
        positives, taken = numpy.zeros((2, len(counts), len(self.ends) + 1))
        positives[:, 1:] = numpy.cumsum(counts * self.is_positive, axis=1)[:, self.ends]
        taken[:, 1:] = numpy.cumsum(counts, axis=1)[:, self.ends]
        return positives, taken - positives

    def statistic(self, function: _Goodness, sample: Sample) -> numpy.ndarray:
        """A statistic in every resample, `(resamples,)`; nan where one of the classes was not sampled.

        Args:
            function: takes the positives and negatives of each threshold, gives the statistic `(resamples,)`.
        """
        positives, negatives = sample.once(self)
        with numpy.errstate(invalid="ignore", divide="ignore"):
            found = function(positives, negatives)
        return numpy.where((positives[:, -1] > 0) & (negatives[:, -1] > 0), found, numpy.nan)


def accuracies(positives: numpy.ndarray, negatives: numpy.ndarray) -> numpy.ndarray:
    """Accuracy at each threshold."""
    return (positives + negatives[:, -1:] - negatives) / (positives[:, -1:] + negatives[:, -1:])


def f1_scores(positives: numpy.ndarray, negatives: numpy.ndarray) -> numpy.ndarray:
    """F1 of the positive class at each threshold."""
    return numpy.nan_to_num(2 * positives / (positives + negatives + positives[:, -1:]))


def best_threshold(gold: numpy.ndarray, predicted: numpy.ndarray, goodness: _Goodness) -> float:
    """The threshold at which `goodness` is highest: examples at or above it count as positive.

    It lies half way between the lowest positive score and the highest negative one; just above the highest score if
    `goodness` is highest with no positive at all.

    Args:
        goodness: `accuracies` or `f1_scores`.
    """
    positives, negatives = SortedScores(gold, predicted)(observed_sample(len(gold)))
    best = int(numpy.argmax(goodness(positives, negatives)[0]))
    scores = numpy.unique(predicted)[::-1]
    if best == 0:
        return float(numpy.nextafter(scores[0], numpy.inf))
    lowest, following = scores[best - 1], scores[min(best, len(scores) - 1)]
    middle = (lowest + following) / 2
    return float(middle if middle > following else lowest)  # rounded down, it would include the following score
