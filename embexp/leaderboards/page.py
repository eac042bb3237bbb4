"""A leaderboard as one self-contained page of HTML: what to do, sortable tables, pictures, and texts to copy."""

import base64
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from embexp.leaderboards.tables import as_csv, as_latex, as_markdown, bottom_lines_of, notes_of
from embexp.reports.leaderboard_content import (
    UNTOUCHED,
    Labels,
    Leaderboard,
    LeaderboardCell,
    Opening,
    SeedResult,
    label,
)
from embexp.reports.verdict_words import in_words, kind_of

_STARTS_UI = re.compile(r"mlflow ui --backend-store-uri (?:[\w:/.@%+-]+|'[^'\n]+')")  # a run's folder may say another
_TEMPLATE = Path(__file__).with_suffix(".html")
_NUMBERS = ("score", "95 % interval", "std", "seeds", "difference", "95 % interval", "p", "verdict")


def leaderboard_page(
    leaderboard: Leaderboard, pictures: Sequence[Path], place: Path | None = None, opening: Opening | None = None
) -> str:
    """The page; every name in it is escaped.

    Args:
        pictures: PNG files to be shown.
        place: the folder of the page, from which its links to folders of runs begin.
        opening: what stands before the leaderboard.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        title=opening.title if opening else leaderboard.title,
        leaderboard=leaderboard,
        opening=opening,
        opening_lines=[[*map(_of_opening, line)] for line in opening.lines] if opening else [],
        in_words=[*_in_words(leaderboard)],
        opened_by=_opened_by(leaderboard),
        pivot=_pivot(leaderboard, place) if leaderboard.cells else None,
        ranking={"headings": _headings(leaderboard), "lines": [_line(leaderboard, cell) for cell in leaderboard.cells]},
        rising={cost.heading for cost in leaderboard.costs if cost.lower_is_better},
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


def _in_words(leaderboard: Leaderboard) -> Iterator[str]:
    """A sentence on each group, for people who do not read tables."""
    groups = dict.fromkeys(cell.group for cell in leaderboard.cells)
    for group in groups:
        every = [cell for cell in leaderboard.cells if cell.group == group and not math.isnan(cell.score.value)]
        trained = [cell for cell in every if not cell.is_base]
        if not trained:
            continue
        best, number = trained[0], len(trained)
        found = f"Of {number} trained models " * (number > 1) + f"{label((*best.row, *best.column))} scores"
        found += f"{' highest' * (number > 1)} ({best.score.value:.4f} by {best.metric})"
        if best.verdict and not math.isnan(best.difference.value):
            found += f" and is {in_words(best.verdict)} its untouched model ({best.difference.value:+.4f})"
        tied = sum(cell.is_best for cell in trained[1:])
        others = "1 other is" if tied == 1 else f"{tied} others are"
        found += f"; {others} not significantly worse" if tied and best.is_best else ""
        higher = [cell for cell in every[: every.index(best)] if cell.is_base]
        found += f". The untouched {label(higher[0].column)} scores {higher[0].score.value:.4f}" if higher else ""
        yield f"{f'Group {group}: ' * (len(groups) > 1)}{found}."


def _opened_by(leaderboard: Leaderboard) -> str:
    """What to type before the links to a tracker's pages answer; empty where they do without."""
    pages = [each.page for cell in leaderboard.cells for each in cell.by_seed]
    commands = (page.partition(" (after: ")[2].removesuffix(")") for page in pages)
    return next(filter(_STARTS_UI.fullmatch, commands), "")


def _seed(result: SeedResult, place: Path | None) -> dict[str, Any]:
    """A run of a cell: its values and its links."""
    page, shown = result.page.partition(" ")[0], [result.score, result.difference]
    return {
        "seed": result.seed,
        "score": "-" if math.isnan(shown[0]) else f"{shown[0]:.4f}",
        "difference": "" if math.isnan(shown[1]) else f"{shown[1]:+.4f}",
        "page": page if page.startswith(("http://", "https://")) else "",
        "folder": result.folder,
        "address": _address(Path(result.folder), place) if result.folder else "",
    }


def _address(folder: Path, place: Path | None) -> str:
    """The link to a folder: from the page's own place where both lie in one sweep, so that the sweep may move."""
    folder = folder.resolve()
    if place and folder.is_relative_to(place.resolve().parent):
        return quote(Path(os.path.relpath(folder, place.resolve())).as_posix()) + "/"
    return folder.as_uri() + "/"


def _pivot(leaderboard: Leaderboard, place: Path | None) -> dict[str, Any]:
    untouched = (UNTOUCHED, *[""] * (len(leaderboard.row_keys) - 1))

    def cells_of(row: Labels | None) -> list[list[dict[str, Any]]]:
        return [[_pivot_cell(cell, place) for cell in leaderboard.at(row, each)] for each in leaderboard.columns]

    lines = [(untouched, None), *((row, row) for row in leaderboard.rows)]
    return {
        "headings": (*leaderboard.row_keys, *map(label, leaderboard.columns)),
        "lines": [{"names": names, "cells": cells_of(row)} for names, row in lines],
    }


def _pivot_cell(cell: LeaderboardCell, place: Path | None) -> dict[str, Any]:
    difference = "" if cell.is_base else f"{cell.difference.value:+.4f} {cell.difference.interval('+')}".strip()
    score = {"score": cell.score_text, "interval": cell.score.interval()}
    return {
        **score,
        "difference": difference,
        "verdict": cell.verdict,
        "kind": kind_of(cell.verdict),
        "is_best": cell.is_best,
        "seeds": [_seed(each, place) for each in cell.by_seed],
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


def _of_opening(cell: tuple[str, float]) -> dict[str, Any]:
    text, number = cell
    return _text(text) if math.isnan(number) else _number(number, text)


def _text(text: str) -> dict[str, Any]:
    return {"number": None, "text": text, "look": ""}


def _number(value: float, text: str, look: str = "") -> dict[str, Any]:
    """A number by which its column is sorted; an empty text for nan."""
    return _text("") if math.isnan(value) else {"number": value, "text": text, "look": look}
