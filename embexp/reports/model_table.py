"""Models that were scored without training, as a table: for the terminal, for Markdown, as CSV."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

Row = Mapping[str, Any]
COSTS = {"encode_texts_per_second": "texts/s", "parameters": "parameters", "dimensions": "dimensions"}
SCORES = ("model", "value", "95 % interval", "to the best", "p (Holm)")
NOTE = "* the best, or not to be told from it (paired bootstrap, Holm's correction, 5 %)"


def model_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """A table for each evaluator, from the best model to the worst, then one of what the models cost."""
    for title, headings, lines in _sections(rows):
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for place, heading in enumerate(headings):
            table.add_column(heading, justify="right" if place else "left", no_wrap=bool(place))
        for line in lines:
            table.add_row(*line)
        yield table


def as_markdown(rows: Sequence[Row]) -> str:
    """The same as Markdown."""
    parts = []
    for title, headings, lines in _sections(rows):
        table = [f"| {' | '.join(line)} |" for line in (headings, ["---"] * len(headings), *lines)]
        parts.append("\n".join([f"**{title}**", "", *table]))
    return "\n\n".join([*parts, NOTE.replace("*", "\\*")]) + "\n"


def _sections(rows: Sequence[Row]) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, headings and lines of each table."""
    for key in rows[0]["scores"]:
        ordered = sorted(rows, key=lambda row: -row["scores"][key]["value"])
        judged = f", {examples:,} examples" if (examples := rows[0]["scores"][key]["examples"]) else ""
        yield f"{key}{judged}", SCORES, [_scores(row, key) for row in ordered]
    costs = [cost for cost in COSTS if cost in rows[0]]
    lines = [[row["model"], *(f"{row[cost]:,.0f}" for cost in costs)] for row in rows]
    yield "cost", ["model", *(COSTS[cost] for cost in costs)], lines


def _scores(row: Row, key: str) -> list[str]:
    score = row["scores"][key]
    is_known = not math.isnan(score["low"])
    interval = f"{score['low']:.4f} to {score['high']:.4f}" if is_known else "-"
    value = f"{score['value']:.4f}{'*' if score['is_best'] else ' '}"
    return [row["model"], value, interval, f"{score['to_best']:+.4f}", f"{score['p']:.4f}" if is_known else "-"]


def as_csv(rows: Sequence[Row]) -> str:
    """All numbers, a column for each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("value", "low", "high", "to_best", "p", "is_best")
    keys, costs = [*rows[0]["scores"]], [cost for cost in COSTS if cost in rows[0]]
    writer.writerow(["model", *(f"{key} {part}" for key in keys for part in parts), *costs])
    for row in rows:
        scores = [row["scores"][key][part] for key in keys for part in parts]
        writer.writerow([row["model"], *scores, *(row[cost] for cost in costs)])
    return text.getvalue()
