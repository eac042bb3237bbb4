"""Which candidates of a race are dropped, so that the best of them is hardly ever among these.

Candidates are trained in rounds: all to a first share of their training (a rung), those that are left to the next, then
with further seeds. After each round every candidate is compared with the one that leads, on the same examples. It is
dropped where more training would not make it better than the leader by the margin, the smallest difference worth
having: the upper end of a one-sided interval of its lead on these examples lies below the margin. Other examples are
not what a race can buy: whether a candidate is worse, or not better, on them as well is said beside it, by the upper
end of an interval that holds them, too.

Such elimination in rounds of paired scores is racing (Maron & Moore 1997, "The racing algorithm", Artif. Intell. Rev.
11, 193-225; Birattari et al. 2002, "A racing algorithm for configuring metaheuristics", GECCO, F-race; Lopez-Ibanez et
al. 2016, "The irace package", Oper. Res. Perspect. 3, 43-58); the rungs are those of successive halving (Jamieson &
Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS). What these leave
open is the error over all rounds. Here the error of an interval is alpha over the number of looks and of rivals
(Bonferroni). If the candidate that is best by more than the margin on these examples, over all seeds, is dropped, one
of at most `looks * rivals` intervals has missed, whichever rival led: so the chance of that is at most alpha.

A lead varies for three reasons, and its variance has three parts, of which the last two count on the same examples:

- other examples: the paired bootstrap shows it;
- other seeds, s^2 (1 / k + 1 / k') for k and k' runs, where s is what runs differ by on the same examples;
- before the end of training also what training will still change: a slow candidate catches up. That is taken as random
  between candidates, with a variance of d^2 (1 - share) each, which is 0 at the end. Untouched models, whose training
  changes nothing, are compared at the end alone.

s is not known at the start, when one run of each has been seen. So it has a prior value that is worth so many degrees
of freedom, and is pooled with what the race shows, as variances of many genes are (Smyth 2004, "Linear models and
empirical Bayes methods for assessing differential expression", Stat. Appl. Genet. Mol. Biol. 3, article 3):

    s^2 = (f0 s0^2 + f s1^2) / (f0 + f)     with f0 + f degrees of freedom

Once seeds were seen the prior counts at most as much as they do (f0 <= f). Before that s is only what the prior says,
however few examples there are, so that nobody is dropped for what happened on these examples alone.

d keeps its prior value: whoever stopped early never shows what it would still have gained.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy

from embexp.evaluation.stats.resampling import widening
from embexp.evaluation.stats.seeds import Cell, Parts, seed_spread


@dataclass(frozen=True)
class Prior:
    """What is taken for known before a race.

    Attributes:
        seeds: standard deviation between runs that differ in their seed.
        drift: standard deviation of what a candidate gains on others from the start of its training to the end.
        degrees: of freedom that each of these is worth, at most.
    """

    seeds: float = 0.005
    drift: float = 0.05
    degrees: int = 12


@dataclass(frozen=True)
class Noise:
    """How far scores of a race move, as far as it has shown.

    Attributes:
        seeds, drift: variances, see `Prior`.
        of_examples: the part of the variance between seeds that comes from the sampled examples.
        degrees_of_seeds, degrees_of_drift: of freedom.
        is_of_seeds: whether the race has shown what seeds do.
    """

    seeds: float
    drift: float
    of_examples: float
    degrees_of_seeds: int
    degrees_of_drift: int
    is_of_seeds: bool = True


def noise_of(prior: Prior, finished: Sequence[Cell]) -> Noise:
    """The noise of a race after so many rounds.

    Args:
        finished: candidates that were trained to the end, some with several seeds.
    """
    seeds, of_examples, degrees = prior.seeds**2, 0.0, prior.degrees
    if found := seed_spread(finished):
        of_prior = min(prior.degrees, found.degrees)
        degrees = of_prior + found.degrees
        seeds = (of_prior * seeds + found.degrees * found.variance) / degrees
        of_examples = found.of_examples * found.degrees / degrees  # the prior has no part that comes from examples
    return Noise(seeds, prior.drift**2, of_examples, degrees, prior.degrees, found is not None)


class Lead(NamedTuple):
    """The lead of one candidate over another, negative where it lies behind; with one-sided limits.

    Attributes:
        low, high: the lead is at least `low`, and at most `high`, each with an error of `level`.
        here: on these examples it is at most this, with the same error: other examples are left aside, once the race
            has shown what seeds do.
    """

    value: float
    low: float
    high: float
    here: float
    level: float


def lead_of(candidate: Cell, rival: Cell, noise: Noise, share: float, level: float) -> Lead:
    """The lead of a candidate over its rival at the end of the training, as a rung shows it.

    >>> import numpy
    >>> ahead, behind = (Cell(numpy.array([mean]), numpy.full((1, 9), mean), 9) for mean in (0.8, 0.7))
    >>> found = lead_of(behind, ahead, Noise(0.01**2, 0.03**2, 0.0, 12, 12), share=1.0, level=0.001)
    >>> [round(each, 3) for each in found[:4]]
    [-0.1, -0.156, -0.044, -0.044]

    Args:
        candidate, rival: their scores on the same examples and resamples, after the same share of their training; of
            an untouched model (`has_seed` is False) nothing but the examples varies.
        share: of the training, above 0 to 1.
        level: the error of each limit.
    """
    value = candidate.mean - rival.mean
    resampled = candidate.resampled.mean(axis=0) - rival.resampled.mean(axis=0)
    if candidate.too_few or math.isnan(value):
        return Lead(value, -math.inf, math.inf, math.inf, level)
    of_runs = candidate.share + rival.share
    trained = candidate.has_seed + rival.has_seed
    few = candidate.few
    wider = widening(few)[1] ** 2 if few else 1
    over_examples = float(numpy.nanvar(resampled, ddof=1))
    alone = Parts(over_examples * wider, (few or candidate.examples) - 1)
    shown = max(0.0, over_examples - of_runs * noise.of_examples)
    parts = alone._replace(
        of_examples=shown * wider, of_seeds=of_runs * noise.seeds, degrees_of_seeds=noise.degrees_of_seeds
    )
    of_training = Parts(0.0, math.inf, trained * noise.drift * (1 - share), noise.degrees_of_drift)
    still = float(of_training.half_width(2 * level))
    half = max(float(parts.half_width(2 * level)), float(alone.half_width(2 * level)))  # see seeds.py
    half = math.hypot(half, still)
    if not over_examples:
        half = max(half, candidate.least)
    here = math.hypot(float(parts._replace(of_examples=0.0).half_width(2 * level)), still)
    return Lead(value, value - half, value + half, value + (here if noise.is_of_seeds else half), level)


# Why a candidate is dropped: for certain behind; not ahead by the margin; not so on these examples, on others perhaps.
WORSE, NOT_BETTER, NOT_BETTER_HERE = "worse", "not better", "not better here"


def fate_of(high: float, here: float, margin: float) -> str:
    """Why a candidate whose lead has these limits is dropped; "" where it is not.

    >>> [fate_of(high, here, 0.005) for high, here in ((-0.01, -0.02), (0.004, -0.01), (0.02, 0.001), (0.02, 0.01))]
    ['worse', 'not better', 'not better here', '']
    """
    if high < margin:
        return WORSE if high < 0 else NOT_BETTER
    return NOT_BETTER_HERE if here < margin else ""


class Look(NamedTuple):
    """What a race shows after a round.

    Attributes:
        leader: the candidate with the largest mean.
        leads: of every other candidate over the leader.
        dropped: those that the leader has beaten, and why (`fate_of`).
    """

    leader: int
    leads: Mapping[int, Lead]
    dropped: Mapping[int, str]


def look_at(
    cells: Mapping[int, Cell], noise: Noise, share: float, margin: float, level: float, spared: Sequence[int] = ()
) -> Look | None:
    """Compare every candidate with the leader, and drop those that more training would not make better by the margin.

    None where no score is a number.

    Args:
        cells: of the candidates that are left, and of untouched models, by number.
        level: the error of each comparison: alpha over looks and rivals.
        spared: numbers of what is never dropped, such as untouched models.
    """
    known = {number: cell.mean for number, cell in cells.items() if not math.isnan(cell.mean)}
    if not known:
        return None
    leader = max(known, key=known.__getitem__)
    leads = {
        number: lead_of(cell, cells[leader], noise, share, level) for number, cell in cells.items() if number != leader
    }
    fates = {
        number: NOT_BETTER if math.isnan(lead.value) else fate_of(lead.high, lead.here, margin)
        for number, lead in leads.items()
        if number not in spared
    }
    return Look(leader, leads, {number: fate for number, fate in fates.items() if fate})


def with_seeds(cells: Sequence[Cell]) -> Cell:
    """The runs of one candidate as one cell."""
    values, resampled = (numpy.concatenate([getattr(cell, name) for cell in cells]) for name in ("values", "resampled"))
    return replace(cells[0], values=values, resampled=resampled)
