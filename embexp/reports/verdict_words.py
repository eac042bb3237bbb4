"""Verdicts in words: what they are called, what each says, and the lines below a table that explain them.

How a verdict is found stands in evaluation/stats/verdicts.py; docs/verdicts.md explains it to readers.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
EQUAL = "equal within"  # with the margin behind it
IDENTICAL = "identical"  # the same predictions: no interval is needed
COLLAPSED = "worse: collapsed"  # the second model gives one value to all examples
NO_INTERVAL = "no interval"  # no values of single examples: nothing can be said
TOO_FEW = "too few to judge"  # one unit, one example of a class, or a handful of pairs: nothing can be said
_THAN = {
    BETTER: "better than",
    WORSE: "worse than",
    COLLAPSED: "worse (its embeddings collapsed) than",
    IDENTICAL: "identical to",
    UNDECIDED: "not told apart by these examples from",
    NO_INTERVAL: "not compared by an interval with",
    TOO_FEW: "not judged, for too few examples, against",
}


def kind_of(verdict: str) -> str:
    """The verdict without its margin or its reason, for colours, styles and counts.

    >>> kind_of("equal within 0.005"), kind_of("worse: collapsed"), kind_of("undecided")
    ('equal', 'worse', 'undecided')
    """
    return "equal" if verdict.startswith(EQUAL) else verdict.partition(":")[0]


def in_words(verdict: str) -> str:
    """The verdict as part of a sentence: it is ... the untouched model.

    >>> in_words("better"), in_words("equal within 0.005")
    ('better than', 'equal, within 0.005, to')
    """
    if verdict.startswith(EQUAL):
        return f"equal, within {verdict.removeprefix(EQUAL).strip()}, to"
    return _THAN[verdict]


def margin_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """The margins of a table's rows, each with the metrics that have it.

    >>> margin_line([{"metric": "ap_dot", "margin": 0.005}, {"metric": "v_measure", "margin": 0.01}])
    'smallest difference worth having (verdict.margin): 0.005 in ap_dot, 0.01 in v_measure'
    >>> margin_line([{"metric": "ap_dot", "margin": 0.005}, {"metric": "ap_cosine", "margin": 0.005}])
    'smallest difference worth having (verdict.margin): 0.005'
    """
    metrics: dict[float, dict[str, None]] = {}
    for row in rows:
        if not math.isnan(row.get("margin", math.nan)):
            metrics.setdefault(row["margin"], {})[row["metric"]] = None
    several = len(metrics) > 1
    shown = (f"{margin:g}" + (f" in {', '.join(names)}" if several else "") for margin, names in metrics.items())
    return f"smallest difference worth having (verdict.margin): {', '.join(shown)}" if metrics else ""


def unit_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was drawn behind the intervals of a table, where it is not plain examples, or where they are few.

    >>> row = {"metric": "ndcg_at_10", "examples": 200, "units": 40, "unit": "text", "few_units": 40}
    >>> for line in unit_lines([row]):
    ...     print(line)
    ndcg_at_10: drawn in 40 groups of the 200 examples, which share a text
    ndcg_at_10: few units (40), so that the interval is Student's t, wider than that of the resamples
    """
    for (unit, units, examples), names in _by(rows, "unit", "units", "examples").items():
        if unit and units != examples:
            shared = "a text" if unit == "text" else f"a value of {unit}"
            yield f"{names}: drawn in {units:,} groups of the {examples:,} examples, which share {shared}"
    for (few,), names in _by(rows, "few_units").items():
        if few:
            yield f"{names}: few units ({few}), so that the interval is Student's t, wider than that of the resamples"


def _by(rows: Sequence[Mapping[str, Any]], *keys: str) -> dict[tuple[Any, ...], str]:
    """The metrics of rows that have all these keys, by their values."""
    found: dict[tuple[Any, ...], dict[str, None]] = {}
    for row in rows:
        if all(key in row for key in keys):
            found.setdefault(tuple(row[key] for key in keys), {})[row["metric"]] = None
    return {values: ", ".join(names) for values, names in found.items()}


def undecided_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """For each row that is undecided what would decide, where that is known.

    >>> row = {"metric": "ap_dot", "verdict": "undecided", "margin": 0.005, "examples_needed": 8173, "examples": 1000}
    >>> [*undecided_lines([row])]
    ['ap_dot is undecided: about 8,200 examples would show a difference of 0.005 in 80 of 100 cases']
    """
    for row in rows:
        if row["verdict"] != UNDECIDED:
            continue
        if row.get("examples_needed"):
            groups = _in_groups(row["examples_needed"], row.get("examples", 0), row.get("units", 0), "")
            needed = f"about {_rounded(row['examples_needed']):,} examples{groups} would show a difference of"
            yield f"{row['metric']} is undecided: {needed} {row['margin']:g} in 80 of 100 cases"
        elif row.get("needed"):
            yield f"{row['metric']} is undecided: {needed_words(row['needed'], row['examples'], row.get('units', 0))}"


def needed_words(needed: Mapping[str, Any], examples: int = 0, units: int = 0) -> str:
    """What would decide, as a sentence.

    >>> needed = {"difference": 0.005, "is_equal": False, "times": 3.1, "seeds": 4, "sides": 1}
    >>> needed_words(needed, 1000)
    '4 more seeds, or about 2,100 more examples, would show a difference of 0.005 in 80 of 100 cases'
    >>> needed_words(needed | {"seeds": None}, 1000, units=200)
    'about 2,100 more examples (420 more groups) would show a difference of 0.005 in 80 of 100 cases'
    >>> needed_words(needed | {"is_equal": True, "seeds": None})
    'about 3.1 times as many examples would show equal models as equal within 0.005 in 80 of 100 cases'
    >>> needed_words(needed | {"times": None, "seeds": 1, "sides": 2})
    '1 more seed on each side would show a difference of 0.005 in 80 of 100 cases'

    Args:
        needed: as `stats.power.what_decides` finds it.
        examples: how many there are; 0: that is not known.
        units: how many are drawn: as many, or groups of them; 0: that is not known.
    """
    ways = []
    if seeds := needed["seeds"]:
        ways.append(f"{seeds} more seed{'s' * (seeds > 1)}{' on each side' * (needed['sides'] > 1)}")
    if times := needed["times"]:
        more = math.ceil(examples * (times - 1))
        factor = f"{times:.2g}" if times < 99 else f"{_rounded(math.ceil(times)):,}"
        known = f"about {_rounded(more):,} more examples{_in_groups(more, examples, units, 'more ')}"
        ways.append(known if examples else f"about {factor} times as many examples")
    what = "equal models as equal within" if needed["is_equal"] else "a difference of"
    shown = f"show {what} {needed['difference']:g} in 80 of 100 cases"
    if not ways:
        return f"neither seeds nor examples alone would {shown}: more of both"
    return f"{', or '.join(ways)}{',' * (len(ways) > 1)} would {shown}"


def _in_groups(wanted: int, examples: int, units: int, more: str) -> str:
    """So many examples in groups, where these are drawn."""
    return f" ({_rounded(math.ceil(wanted * units / examples)):,} {more}groups)" if 0 < units < examples else ""


def _rounded(number: int) -> int:
    """Two digits are as many as such a number is good for.

    >>> _rounded(8173), _rounded(95)
    (8200, 95)
    """
    return int(float(f"{number:.2g}"))
