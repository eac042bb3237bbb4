"""The interval of a difference: 10,000 resamples of 1,500 pairs, two models' Spearman, against scipy. Claim: under 3 s.

    python tests/benchmarks/bootstrap.py

On one core; imports are not timed. The peers rank every resample again: a loop with `scipy.stats.spearmanr`, and
`scipy.stats.bootstrap` with a vectorized statistic. They take 200 resamples, and their seconds are those times 50.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness import Case, main, seconds_of, sized

if TYPE_CHECKING:
    import numpy

PAIRS, RESAMPLES = sized(1_500, 50), sized(10_000, 300)
FEWER = sized(200, 20)  # resamples that a peer takes
CASES = [
    Case("beside a loop with spearmanr", 0.15, {"peer": "loop"}),
    Case("beside scipy.stats.bootstrap, vectorized", 0.2, {"peer": "scipy"}),
]


def scores() -> tuple["numpy.ndarray", "numpy.ndarray", "numpy.ndarray"]:
    """Gold in fifths from 0 to 1, and two models with a Spearman of about 0.8."""
    import numpy

    random = numpy.random.default_rng(1)
    gold = random.integers(0, 26, PAIRS) / 25
    shared, *own = random.normal(0, 0.15, (3, PAIRS))
    return gold, *(gold + shared + each for each in own)


def embexp_side(peer: str) -> float:  # noqa: ARG001
    """Seconds from the scores of both models to the interval and p."""
    from embexp.evaluation.metrics import Measure, Statistics
    from embexp.evaluation.stats.paired_tests import bootstrap_differences, interval_of, p_value_of

    gold, first, second = scores()  # with it numpy is imported
    measure = Measure("spearman_cosine", "spearman", "cosine", "gold")

    def compare() -> None:
        statistics = Statistics()
        pair = tuple(statistics.statistic_for(measure, {"gold": gold, "cosine": values}) for values in (first, second))
        (found,) = bootstrap_differences([pair], PAIRS, RESAMPLES)
        interval_of(found), p_value_of(found)

    return seconds_of(compare)


def peer_side(peer: str) -> float:
    """Seconds of as many resamples by scipy, from those of fewer."""
    import scipy.stats  # noqa: F401

    return seconds_of(PEERS[peer]) * RESAMPLES / FEWER


def loop() -> None:
    import numpy
    from scipy.stats import spearmanr

    gold, first, second = scores()
    random, found = numpy.random.default_rng(0), []
    for _ in range(FEWER):
        rows = random.integers(0, PAIRS, PAIRS)
        before, after = (spearmanr(gold[rows], values[rows]).statistic for values in (first, second))
        found.append(after - before)
    numpy.percentile(found, [2.5, 97.5])


def scipy_bootstrap() -> None:
    import numpy
    from scipy.stats import bootstrap, rankdata

    def difference(*drawn: "numpy.ndarray", axis: int) -> "numpy.ndarray":
        gold, first, second = (rankdata(values, axis=axis) for values in drawn)
        return correlation(gold, second) - correlation(gold, first)

    def correlation(x: "numpy.ndarray", y: "numpy.ndarray") -> "numpy.ndarray":
        x, y = (values - values.mean(axis=-1, keepdims=True) for values in (x, y))
        return (x * y).sum(axis=-1) / numpy.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))

    bootstrap(scores(), difference, paired=True, vectorized=True, n_resamples=FEWER, method="percentile", rng=0)


PEERS: dict[str, Callable[[], None]] = {"loop": loop, "scipy": scipy_bootstrap}


if __name__ == "__main__":
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # of the sides
    main(__file__, __doc__, CASES, {"embexp": embexp_side, "peer": peer_side})
