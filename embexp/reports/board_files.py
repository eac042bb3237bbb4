"""A leaderboard as Markdown and as CSV."""

import csv
import io
import math

from embexp.reports.board_content import Leaderboard
from embexp.reports.board_tables import cost_text, notes_of, ranking


def as_markdown(board: Leaderboard) -> str:
    """All cells with what they cost, and the notes."""
    headings, lines = ranking(board)
    headings = (*headings, *(cost.heading for cost in board.costs), "front")
    table = [headings, ["---"] * len(headings)]
    for line, cell in zip(lines, board.cells, strict=True):
        costs = (cost_text(cell, cost) for cost in board.costs)
        table.append((*line, *costs, "o" if cell.on_front else ""))
    written = [f"| {' | '.join(map(_escaped, line))} |" for line in table] if lines else []
    notes = [f"- {_escaped(note)}" for note in notes_of(board)]
    return "\n".join([f"# {_escaped(board.title)}", "", *written, "", *notes]) + "\n"


def _escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    for character in "\\`*_<|[":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def as_csv(board: Leaderboard) -> str:
    """All numbers, a line for each cell; it begins with the mark by which spreadsheets know UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("score", "low", "high", "std", "difference", "difference_low", "difference_high", "p")
    told = ("verdict", "is_best", "on_front", "lacks_seeds", "is_base", "seeds", "runs")
    costs = [cost.name for cost in board.costs]
    writer.writerow([*board.row_keys, *board.column_keys, "metric", "group", *numbers, *told, *costs])
    for cell in board.cells:
        ends = [cell.score, cell.difference]
        score, difference = ([each.value, each.low, each.high] for each in ends)
        values = ["" if math.isnan(value) else value for value in (*score, cell.std, *difference, cell.p)]
        flags = [cell.verdict, cell.is_best, cell.on_front, cell.lacks_seeds, cell.is_base]
        lists = [" ".join(cell.seeds), " ".join(cell.runs)]
        paid = [cell.costs.get(cost, "") for cost in costs]
        writer.writerow([*cell.row, *cell.column, cell.metric, cell.group, *values, *flags, *lists, *paid])
    return f"\ufeff{text.getvalue()}"
