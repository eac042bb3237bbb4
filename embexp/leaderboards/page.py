"""A leaderboard as one self-contained page of HTML: what to do, sortable tables, pictures, and texts to copy."""

import base64
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from embexp.leaderboards.tables import as_csv, as_latex, as_markdown, bottom_lines_of, notes_of
from embexp.reports.leaderboard_content import UNTOUCHED, Labels, Leaderboard, LeaderboardCell, label
from embexp.reports.verdict_words import kind_of

_TEMPLATE = Path(__file__).with_suffix(".html")
_NUMBERS = ("score", "95 % interval", "std", "seeds", "difference", "95 % interval", "p", "verdict")


def leaderboard_page(leaderboard: Leaderboard, pictures: Sequence[Path]) -> str:
    """The page; every name in it is escaped.

    Args:
        pictures: PNG files to be shown.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        leaderboard=leaderboard,
        pivot=_pivot(leaderboard) if leaderboard.cells else None,
        ranking={"headings": _headings(leaderboard), "lines": [_line(leaderboard, cell) for cell in leaderboard.cells]},
        notes=notes_of(leaderboard),
        bottom_lines=bottom_lines_of(leaderboard),
        copies={
            "Markdown": as_markdown(leaderboard),
            "CSV": as_csv(leaderboard).removeprefix("\ufeff"),
            "LaTeX": as_latex(leaderboard),
        },
        pictures=[
            {"name": path.stem.replace("_", " "), "data": base64.b64encode(path.read_bytes()).decode()}
            for path in pictures
        ],
    )


def _pivot(leaderboard: Leaderboard) -> dict[str, Any]:
    untouched = (UNTOUCHED, *[""] * (len(leaderboard.row_keys) - 1))
    lines = [(untouched, None), *((row, row) for row in leaderboard.rows)]
    return {
        "headings": (*leaderboard.row_keys, *map(label, leaderboard.columns)),
        "lines": [
            {"names": names, "cells": [[*map(_pivot_cell, leaderboard.at(row, each))] for each in leaderboard.columns]}
            for names, row in lines
        ],
    }


def _pivot_cell(cell: LeaderboardCell) -> dict[str, Any]:
    difference = "" if cell.is_base else f"{cell.difference.value:+.4f} {cell.difference.interval('+')}".strip()
    score = {"score": cell.score_text, "interval": cell.score.interval()}
    return {
        **score,
        "difference": difference,
        "verdict": cell.verdict,
        "kind": kind_of(cell.verdict),
        "is_best": cell.is_best,
    }


def _headings(leaderboard: Leaderboard) -> Labels:
    metric = ("metric",) if len(leaderboard.metrics) > 1 else ()
    front = ("front",) if leaderboard.chosen_cost else ()
    return (*leaderboard.name_headings, *metric, *_NUMBERS, *(cost.heading for cost in leaderboard.costs), *front)


def _line(leaderboard: Leaderboard, cell: LeaderboardCell) -> dict[str, Any]:
    texts = [*leaderboard.names_in(cell), *([cell.metric] if len(leaderboard.metrics) > 1 else [])]
    front = [_text("o" if cell.on_front else "")] if leaderboard.chosen_cost else []
    costs = [_number(cell.costs.get(cost.name, math.nan), cell.cost_text(cost)) for cost in leaderboard.costs]
    entries = [*map(_text, texts), *_measured(cell), *costs, *front]
    return {"is_base": cell.is_base, "is_best": cell.is_best, "runs": " ".join(cell.runs), "entries": entries}


def _measured(cell: LeaderboardCell) -> Iterator[dict[str, Any]]:
    """A value for each of _NUMBERS; intervals are sorted by their lower end."""
    yield _number(cell.score.value, cell.score_text)
    yield _number(cell.score.low, cell.score.interval())
    yield _number(cell.std, f"{cell.std:.4f}")
    yield _number(float(len(cell.seeds) or math.nan), str(len(cell.seeds)))
    yield _number(cell.difference.value, f"{cell.difference.value:+.4f}", kind_of(cell.verdict))
    yield _number(cell.difference.low, cell.difference.interval("+"), kind_of(cell.verdict))
    yield _number(cell.p, f"{cell.p:.2g}")
    yield _text(cell.verdict)


def _text(text: str) -> dict[str, Any]:
    return {"number": None, "text": text, "look": ""}


def _number(value: float, text: str, look: str = "") -> dict[str, Any]:
    """A number by which its column is sorted; an empty text for nan."""
    return _text("") if math.isnan(value) else {"number": value, "text": text, "look": look}
