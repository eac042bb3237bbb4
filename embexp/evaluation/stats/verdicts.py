"""The verdict of a difference: where its interval lies beside zero and the smallest difference worth having.

An interval that spans zero says two things that a reader must not mix up: that two models are as good as equal, or that
the data cannot tell. Equivalence testing keeps them apart: two models are equal within m if two one-sided tests reject
both that the difference is -m or less and that it is +m or more (Schuirmann 1987, "A comparison of the two
one-sided tests procedure and the power approach", J. Pharmacokinet. Biopharm. 15, 657-680; Lakens 2017, "Equivalence
tests", Social Psychological and Personality Science 8, 355-362). That is the same as an interval within the margin: one
of 90 % for two tests at 5 %. We show one interval, that of 95 %, and take both findings from it, so that the two tests
are at 2.5 %: `equal` is a little harder to have than it could be, and a table has one interval.

docs/verdicts.md has the rule for readers, docs/error-rates.md how often the verdicts are wrong.
"""

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from embexp.config.session import option_files
from embexp.core.arguments import LegalValues, problems_with
from embexp.errors import Problem
from embexp.reports.verdict_words import BETTER, EQUAL, IDENTICAL, NO_INTERVAL, UNDECIDED, WORSE

_UNNAMED = "default"  # the margin of metrics that are not named
Margins = float | Mapping[str, float]

_LEGAL = LegalValues(least=0)
_TWO_SIDED, _POWER = 1.959963984540054, 0.8416212335729143  # of the normal distribution: 5 %, and 80 %


def verdict(low: float, high: float, margin: float, identical: bool = False) -> str:
    """The verdict of a difference whose 95 % interval goes from `low` to `high`.

    The first that holds: `identical`; `no interval` (nan); `equal within <margin>`, the whole interval lies inside the
    margin, also where it excludes zero: a difference too small to matter; `better`, it lies above zero; `worse`, below
    zero; else `undecided`: the data fit a difference of zero and one that matters.

    >>> verdict(0.001, 0.004, 0.005), verdict(-0.001, 0.004, 0.005), verdict(0.001, 0.03, 0.005)
    ('equal within 0.005', 'equal within 0.005', 'better')
    >>> verdict(-0.03, -0.001, 0.005), verdict(-0.03, 0.001, 0.005), verdict(-0.03, 0.001, 0.005, identical=True)
    ('worse', 'undecided', 'identical')

    Args:
        margin: the smallest difference worth having; with 0 nothing is equal.
    """
    if identical:
        return IDENTICAL
    if math.isnan(low) or math.isnan(high):
        return NO_INTERVAL
    if -margin < low and high < margin:
        return f"{EQUAL} {margin:g}"
    if low > 0:
        return BETTER
    return WORSE if high < 0 else UNDECIDED


def margin_of(metric: str, margins: Margins) -> float:
    """The margin of a metric: the one number, or that of the longest name that the metric's begins with.

    >>> margin_of("ndcg_at_10", {"default": 0.005, "ndcg": 0.01}), margin_of("test/sts/pearson_dot", 0.02)
    (0.01, 0.02)

    Args:
        metric: such as `spearman_cosine`, with or without split and evaluator before it.
    """
    if not isinstance(margins, Mapping):
        return float(margins)
    name = metric.rpartition("/")[2]
    fitting = [each for each in margins if each == name or name.startswith(f"{each}_")]
    return float(margins[max(fitting, key=len)] if fitting else margins.get(_UNNAMED, default_margins()[_UNNAMED]))


@functools.cache
def default_margins() -> Mapping[str, float]:
    """The margins of conf/verdict/default.yaml."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.load(option_files("verdict")["default"]))["margin"]


def margins_in(config: Mapping[str, Any]) -> Margins:
    """The margins that a configuration holds; those of conf/verdict/default.yaml of one that was written without."""
    return (config.get("verdict") or {"margin": default_margins()})["margin"]


def margin_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems with `verdict.margin`: a number from 0 on, or a mapping to such numbers."""
    node = config.get("verdict", {})
    if not isinstance(node, Mapping):
        yield Problem(key="verdict", given=node, expected="the option default", fix=("verdict=default",))
        return
    margins = margins_in(config)
    known = margins.items() if isinstance(margins, Mapping) else [("", margins)]
    for name, value in known:
        yield from problems_with(".".join(filter(None, ("verdict.margin", name))), value, _LEGAL, such_as=0.005)


def examples_needed(low: float, high: float, margin: float, examples: int) -> int | None:
    """How many examples would show a difference of the margin in 80 % of cases; None without a margin or an interval.

    The width of an interval over examples goes with one over the square root of their number, and a difference is shown
    in 80 % of cases if it is 1.43 times the half-width.

    >>> examples_needed(-0.01, 0.01, 0.005, examples=1000)
    8173
    """
    half = (high - low) / 2
    if not half > 0 or margin <= 0:
        return None
    return math.ceil(examples * ((1 + _POWER / _TWO_SIDED) * half / margin) ** 2)
