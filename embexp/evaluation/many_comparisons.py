"""How sure we are after many comparisons: p values corrected for their number, and who is tied with the best."""

import math
from collections.abc import Mapping, Sequence

LEVEL = 0.05


def holm(p_values: Sequence[float], comparisons: int | None = None) -> list[float]:
    """Each p corrected for the number of comparisons, so that 5 % is the chance of any false one among them all.

    Holm's step-down method (Holm 1979, "A simple sequentially rejective multiple test procedure"): the smallest p is
    multiplied by the number of comparisons, the next one by one less, and so on; none becomes smaller than one before
    it, or more than 1. It holds whatever the comparisons have to do with each other.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Args:
        p_values: nan where there is none: it stays, and is not counted.
        comparisons: how many there were where these are only some of them; None: these are all.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    number = len(known) if comparisons is None else comparisons
    corrected, largest = [math.nan] * len(p_values), 0.0
    for already, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (number - already) * p))
        corrected[place] = largest
    return corrected


def corrected_to_best(p_to_best: Sequence[float]) -> list[float]:
    """p values of all others against the best one, corrected for the best having been picked by the same data.

    Whoever of many equals happens to be the best is ahead of the last by more than a comparison that was planned would
    allow. So all pairs count, as if each had been compared. Of ten equal models at least one is called worse than the
    best in 4 of 100 cases; correcting for the nine comparisons only, in 16 (tests/evaluation/test_calibration.py).
    """
    return holm(p_to_best, _pairs(len(p_to_best) + 1))


def resamples_needed(models: int, level: float = LEVEL) -> int:
    """How many bootstrap resamples it takes at least for any of so many models to be told from the best.

    The smallest p that R resamples can show is 2 / (R + 1), and it is multiplied by the number of pairs.

    >>> resamples_needed(10), resamples_needed(20)
    (1800, 7600)
    """
    return math.ceil(2 * _pairs(models) / level)


def _pairs(models: int) -> int:
    return models * (models - 1) // 2


def tied_with_best(values: Mapping[str, float], p_to_best: Mapping[str, float], level: float = LEVEL) -> list[str]:
    """The best cell and all that cannot be told from it, best first.

    Args:
        values: of each cell, higher is better; one that is nan is never among them.
        p_to_best: uncorrected p of no difference from the best one, of each of the others; one that is nan tells
            nothing: only a cell with the very value of the best is tied with it then.
        level: the chance of telling any cell from the best that is its equal.
    """
    order = sorted((name for name in values if not math.isnan(values[name])), key=lambda name: -values[name])
    if not order:
        return []
    best, others = order[0], order[1:]
    corrected = dict(zip(others, corrected_to_best([p_to_best[name] for name in others]), strict=True))
    return [name for name in order if values[name] == values[best] or corrected[name] > level]
