"""A leaderboard as tables: on the terminal, as Markdown and as CSV."""

import csv
import io
import math
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from embexp.reports.leaderboard_content import (
    UNTOUCHED,
    Cost,
    Estimate,
    Labels,
    Leaderboard,
    LeaderboardCell,
    label,
    short_number,
)
from embexp.reports.tables import wide_console

_LEAST_WIDTH = 120  # of the terminal, so that no name of a usual length is broken
_MOST_LINES = 40  # of a table on a terminal; files have all of them
_PIVOT_NAMES, _PIVOT_CELL = 20, 40  # columns of a terminal that the names, and each cell of a pivot, take
_STYLE = {"better": "green", "worse": "red"}
_BEST = "* the best on its examples, or not to be told from it (all pairs, Holm's correction, 5 %)"
_FRONT = "o on the front: no other cell of its group is as good in both the score and {heading}"


def _tables(leaderboard: Leaderboard, width: int) -> Iterator[Table]:
    """Rows by columns, or all cells below each other where that is too wide; then what they cost.

    Args:
        width: of the terminal.
    """
    if leaderboard.cells:
        fits = len(leaderboard.columns) <= max(1, (width - _PIVOT_NAMES) // _PIVOT_CELL)
        yield _pivot_table(leaderboard) if fits else _ranking_table(leaderboard)
    if leaderboard.costs:
        yield _cost_table(leaderboard)


def print_leaderboard(leaderboard: Leaderboard) -> None:
    """The tables and the notes on the terminal."""
    console = wide_console(_LEAST_WIDTH)
    for table in _tables(leaderboard, console.width):
        console.print(table)
    for note in notes_of(leaderboard):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def notes_of(leaderboard: Leaderboard) -> list[str]:
    """The lines below the tables."""
    front = [_FRONT.format(heading=leaderboard.chosen_cost.heading)] if leaderboard.chosen_cost else []
    return [*([_BEST] if leaderboard.cells else []), *front, *leaderboard.notes]


def _pivot_table(leaderboard: Leaderboard) -> Table:
    """A line for each row, the untouched models first; in each cell score, difference, intervals and verdict."""
    table = Table(title=Text(leaderboard.title), title_justify="left", show_lines=True)
    for heading in (*leaderboard.row_keys, *map(label, leaderboard.columns)):
        table.add_column(Text(heading), overflow="fold")
    untouched = [UNTOUCHED, *[""] * (len(leaderboard.row_keys) - 1)]
    table.add_row(*untouched, *(_pivot_text(leaderboard.at(None, column)) for column in leaderboard.columns))
    for row in leaderboard.rows:
        table.add_row(*map(Text, row), *(_pivot_text(leaderboard.at(row, column)) for column in leaderboard.columns))
    return table


def _pivot_text(cells: Sequence[LeaderboardCell]) -> Text:
    texts = []
    for cell in cells:
        seeds = f", {len(cell.seeds)} seeds" if len(cell.seeds) > 1 else ""
        texts.append(Text(f"{score_text(cell)} {within(cell.score)}{seeds}".replace(" ,", ",").rstrip()))
        if not cell.is_base:
            texts[-1].append(f"\n{cell.difference.value:+.4f} {within(cell.difference, '+')} ")
            texts[-1].append(cell.verdict, _STYLE.get(cell.verdict, ""))
    return Text("\n").join(texts) if texts else Text("-")


def _ranking_table(leaderboard: Leaderboard) -> Table:
    """The cells, the best of each group first."""
    headings, lines = _ranking(leaderboard)
    return _table(leaderboard.title, headings, lines, len(names_of(leaderboard)))


def _cost_table(leaderboard: Leaderboard) -> Table:
    """What the trained cells cost, those on the front marked."""
    headings = (*names_of(leaderboard), "score", *(cost.heading for cost in leaderboard.costs))
    lines = []
    for cell in leaderboard.trained:
        score = f"{cell.score.value:.4f}{'o' if cell.on_front else ' '}"
        lines.append((*names_in(leaderboard, cell), score, *(cost_text(cell, cost) for cost in leaderboard.costs)))
    return _table("cost", headings, lines, len(names_of(leaderboard)))


def _table(title: str, headings: Labels, lines: Sequence[Labels], names: int) -> Table:
    """A table whose first columns, so many, hold names: they give way where it is narrow."""
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    shown = lines[:_MOST_LINES]
    for place, heading in enumerate(headings):
        if place < names:
            table.add_column(Text(heading), overflow="fold")
        else:
            widest = max((cell_len(line[place]) for line in shown), default=0)
            told = heading if cell_len(heading) <= widest else heading.replace(" ", "\n")
            table.add_column(Text(told), justify="right", no_wrap=True)
    for line in shown:
        table.add_row(*map(Text, line))
    if len(lines) > _MOST_LINES:
        table.caption, table.caption_justify = f"the first {_MOST_LINES} of {len(lines)}", "left"
    return table


def _ranking(leaderboard: Leaderboard) -> tuple[Labels, list[Labels]]:
    """Headings and lines of all cells: names, score, difference, verdict."""
    headings = (*names_of(leaderboard), "score, 95 % interval", "seeds", "difference, 95 % interval", "verdict")
    return headings, [(*names_in(leaderboard, cell), *_numbers(cell)) for cell in leaderboard.cells]


def _numbers(cell: LeaderboardCell) -> Labels:
    score = f"{score_text(cell)} {within(cell.score)}".strip()
    if cell.is_base:
        return score, "", "", ""
    difference = f"{cell.difference.value:+.4f} {within(cell.difference, '+')}".strip()
    return score, str(len(cell.seeds)), difference, cell.verdict


def names_of(leaderboard: Leaderboard) -> Labels:
    """Headings of what tells a cell from others; the group where there are several."""
    return (*(["group"] if _has_groups(leaderboard) else []), *leaderboard.row_keys, *leaderboard.column_keys)


def names_in(leaderboard: Leaderboard, cell: LeaderboardCell) -> Labels:
    """The same of one cell."""
    return (*([str(cell.group)] if _has_groups(leaderboard) else []), *cell.row, *cell.column)


def _has_groups(leaderboard: Leaderboard) -> bool:
    """Whether cells were judged on several sets of examples."""
    return len({cell.group for cell in leaderboard.cells}) > 1


def score_text(cell: LeaderboardCell) -> str:
    return f"{cell.score.value:.4f}{'*' if cell.is_best else ''}"


def within(estimate: Estimate, sign: str = "") -> str:
    """The ends of the interval; nothing where there is none.

    >>> within(Estimate(0.2, 0.15, 0.25)), within(Estimate(0.2, -0.1, 0.5), "+"), within(Estimate(0.2))
    ('(0.1500 to 0.2500)', '(-0.1000 to +0.5000)', '')
    """
    return f"({estimate.low:{sign}.4f} to {estimate.high:{sign}.4f})" if estimate.has_interval else ""


def cost_text(cell: LeaderboardCell, cost: Cost) -> str:
    """A cost of a cell; nothing where it was not measured."""
    return short_number(cell.costs[cost.name]) if cost.name in cell.costs else ""


def as_markdown(leaderboard: Leaderboard) -> str:
    """All cells with what they cost, and the notes."""
    headings, lines = _ranking(leaderboard)
    headings = (*headings, *(cost.heading for cost in leaderboard.costs), "front")
    table = [headings, ["---"] * len(headings)]
    for line, cell in zip(lines, leaderboard.cells, strict=True):
        costs = (cost_text(cell, cost) for cost in leaderboard.costs)
        table.append((*line, *costs, "o" if cell.on_front else ""))
    written = [f"| {' | '.join(map(_escaped, line))} |" for line in table] if lines else []
    notes = [f"- {_escaped(note)}" for note in notes_of(leaderboard)]
    return "\n".join([f"# {_escaped(leaderboard.title)}", "", *written, "", *notes]) + "\n"


def _escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    for character in "\\`*_<|[":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def as_csv(leaderboard: Leaderboard) -> str:
    """All numbers, a line for each cell; it begins with the mark by which spreadsheets know UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("score", "low", "high", "std", "difference", "difference_low", "difference_high", "p")
    told = ("verdict", "is_best", "on_front", "lacks_seeds", "is_base", "seeds", "runs")
    costs = [cost.name for cost in leaderboard.costs]
    writer.writerow([*leaderboard.row_keys, *leaderboard.column_keys, "metric", "group", *numbers, *told, *costs])
    for cell in leaderboard.cells:
        ends = [cell.score, cell.difference]
        score, difference = ([each.value, each.low, each.high] for each in ends)
        values = ["" if math.isnan(value) else value for value in (*score, cell.std, *difference, cell.p)]
        flags = [cell.verdict, cell.is_best, cell.on_front, cell.lacks_seeds, cell.is_base]
        lists = [" ".join(cell.seeds), " ".join(cell.runs)]
        paid = [cell.costs.get(cost, "") for cost in costs]
        writer.writerow([*cell.row, *cell.column, cell.metric, cell.group, *values, *flags, *lists, *paid])
    return f"\ufeff{text.getvalue()}"
