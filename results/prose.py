"""Figures in the notes: `{pairs cpu stsb_regression}` becomes what was found, with its verdict; no sentence drifts.

A figure is a kind and its arguments:

- `{gains <size> <recipe>}`: each variant beside the untouched model, by verdict.
- `{pairs <size> <recipe>}`: each pair of variants, by verdict; those that were not compared are named, too.
- `{scores <size> <recipe>}`: the untouched model and each variant, without a verdict.
- `{published <recipe>}`: the published figure, in the words of conf/reproduce.yaml.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from embexp.errors import ConfigError, did_you_mean, listed
from results.findings import unmeasured_pairs

_FIGURE = re.compile(r"\{(\w+)((?:\s+[^\s{}]+)+)\}")
_ORDER = ("better", "worse", "equal", "identical", "undecided")  # in which verdicts are told
_UNTOLD = "not measured"
UNCORRECTED = "†"  # a verdict that is that of its own interval


def filled(notes: str, sizes: Sequence[Mapping[str, Any]]) -> str:
    """The notes with their figures.

    Raises:
        ConfigError: a figure of an unknown kind, size or recipe.
    """
    by_name = {size["size"]: size for size in sizes}

    def figure(found: re.Match[str]) -> str:
        kind, arguments = found[1], found[2].split()
        if kind == "published" and len(arguments) == 1:
            return _published(sizes, arguments[0])
        if kind not in _KINDS or len(arguments) != 2:
            raise _unknown(found[0], (*_KINDS, "published"))
        if arguments[0] not in by_name:
            raise _unknown(found[0], by_name)
        return _KINDS[kind](by_name[arguments[0]], arguments[1]) or _UNTOLD

    return _FIGURE.sub(figure, notes)


def _unknown(figure: str, known: Iterable[str]) -> ConfigError:
    expected, note = f"one of: {listed(known)}", did_you_mean(figure.strip("{}").split()[0], [*known])
    return ConfigError("is no figure of results/notes.md", given=figure, expected=expected, note=note)


def _published(sizes: Sequence[Mapping[str, Any]], recipe: str) -> str:
    found = [row["published"] for size in sizes for row in size["rows"] if row["recipe"] == recipe]
    return found[0] if found else _UNTOLD


def _gains(size: Mapping[str, Any], recipe: str) -> str:
    rows = [row for row in size["rows"] if row["recipe"] == recipe]
    return _by_verdict([(_short(row["variant"]), row) for row in rows])


def _pairs(size: Mapping[str, Any], recipe: str) -> str:
    pairs = [pair for pair in size["pairs"] if pair["recipe"] == recipe]
    missing = [f"{_short(second)} beside {_short(first)}" for first, second in unmeasured_pairs(size, recipe)]
    told = _by_verdict([(f"{_short(pair['second'])} beside {_short(pair['first'])}", pair) for pair in pairs])
    return "; ".join([*filter(None, [told]), *([f"not compared: {', '.join(missing)}"] if missing else [])])


def _scores(size: Mapping[str, Any], recipe: str) -> str:
    rows = [row for row in size["rows"] if row["recipe"] == recipe]
    told = [f"{_short(row['variant']) or 'trained'} {row['score'][0]:.4f}" for row in rows]
    return ", ".join([*(f"untouched {base}" for base in dict.fromkeys(f"{row['base']:.4f}" for row in rows)), *told])


_KINDS = {"gains": _gains, "pairs": _pairs, "scores": _scores}


def _by_verdict(found: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Each name with its difference, under its verdict.

    >>> found = {"difference": [0.2, None, None], "verdict": "undecided", "corrected_for": 2}
    >>> _by_verdict([("cosent", found), ("angle", found | {"verdict": "better"}), ("", found)])
    '**better**: angle +0.2000; **undecided**: cosent +0.2000, +0.2000'
    """
    told: dict[str, list[str]] = {}
    for name, each in found:
        words = each["verdict"] if "corrected_for" in each else f"{each['verdict']} {UNCORRECTED}"
        told.setdefault(words, []).append(f"{name} {_difference(*each['difference'])}".strip())
    return "; ".join(f"**{words}**: {', '.join(told[words])}" for words in sorted(told, key=_place))


def _place(words: str) -> int:
    return next((place for place, each in enumerate(_ORDER) if words.startswith(each)), len(_ORDER))


def _difference(value: float, low: float | None, high: float | None) -> str:
    return f"{value:+.4f}" if low is None else f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


def _short(variant: str) -> str:
    """What a variant differs in, without the key.

    >>> _short("loss=cosent silver.share=0.2"), _short("")
    ('cosent 0.2', '')
    """
    return " ".join(each.partition("=")[2] for each in variant.split())
