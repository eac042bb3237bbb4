"""A leaderboard as tables: on the terminal, as Markdown and as CSV."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from embexp.core.escaping import as_markdown_code, as_markdown_text, markdown_table, output_console, report_csv
from embexp.reports.leaderboard_content import UNTOUCHED, Labels, Leaderboard, LeaderboardCell, label
from embexp.reports.tables import fitting, narrowing, print_table, table_of
from embexp.reports.verdict_words import kind_of, margin_line

_MOST_LINES = 40  # of a table on a terminal; files have all of them
_OF_A_CELL = ("metric", "group", "score", "low", "high", "std", "difference", "difference_low", "difference_high")
_OF_A_CELL += (
    "alone_low",
    "alone_high",
    "p",
    "margin",
    "verdict",
    "needed",
    "is_best",
    "on_front",
    "lacks_seeds",
    "is_base",
    "seeds",
    "runs",
)  # columns of the CSV
_STYLE = {"better": "green", "worse": "red"}
_BEST = "* the best on its examples, or not significantly worse (all pairs, Holm's correction, 5 %)"
_FRONT = "o on the front: no other cell of its group is as good in both the score and {heading}"
_CORRECTED = (
    "differences to the untouched models: intervals and verdicts are corrected for their number, {number} (Holm)"
)
_MOST_NEEDS = 10  # lines on what would decide below a table; files of numbers have all


def _tables(leaderboard: Leaderboard) -> Iterator[list[Table]]:
    """Each table in its forms, the widest first: the scores, then the costs.

    Of the scores rows by columns, then all cells below each other, with ever fewer of what matters less.
    """
    names = len(leaderboard.name_headings)
    if leaderboard.cells:
        headings, lines = _ranking(leaderboard)
        narrower = [[], ["seeds"], ["seeds", headings[names]], ["seeds", headings[names], headings[-2]]]
        rankings = [
            table_of(leaderboard.title, *_without(headings, lines, less), names, _MOST_LINES) for less in narrower
        ]
        yield [_pivot_table(leaderboard), *rankings]
    if leaderboard.costs:
        yield _cost_tables(leaderboard)


def _without(headings: Labels, lines: Sequence[Labels], less: Sequence[str]) -> tuple[Labels, list[Labels]]:
    """The columns but for these; of a number with an interval the number stays."""
    kept = [place for place, heading in enumerate(headings) if heading != "seeds" or heading not in less]
    numbers = {place for place in kept if headings[place] in less}
    short = [
        tuple(line[place].split()[0] if place in numbers and line[place] else line[place] for place in kept)
        for line in lines
    ]
    return tuple(headings[place].partition(",")[0] if place in numbers else headings[place] for place in kept), short


def print_leaderboard(leaderboard: Leaderboard) -> None:
    """The tables and the notes on the terminal."""
    console = output_console()
    for variants in _tables(leaderboard):
        print_table(fitting(variants, console), console)
    for note in notes_of(leaderboard):
        console.print(note, highlight=False, soft_wrap=True)
    for name, text in bottom_lines_of(leaderboard):
        console.print(f"{name:<12}{text}", highlight=False, soft_wrap=True)


def notes_of(leaderboard: Leaderboard) -> list[str]:
    """The lines below the tables."""
    front = [_FRONT.format(heading=leaderboard.chosen_cost.heading)] if leaderboard.chosen_cost else []
    margins = margin_line([vars(cell) for cell in leaderboard.trained])
    compared = sum(not math.isnan(cell.p) for cell in leaderboard.trained)
    corrected = [_CORRECTED.format(number=compared)] if compared > 1 else []
    best = [_BEST] if leaderboard.cells else []
    return [*best, *front, *([margins] if margins else []), *corrected, *_needs(leaderboard), *leaderboard.notes]


def _needs(leaderboard: Leaderboard) -> Iterator[str]:
    """What would decide each undecided cell."""
    undecided = [cell for cell in leaderboard.trained if cell.needed]
    for cell in undecided[:_MOST_NEEDS]:
        yield f"{label(leaderboard.names_in(cell))} is undecided: {cell.needed}"
    if more := undecided[_MOST_NEEDS:]:
        yield f"{len(more)} more cells are undecided: the column needed of the CSV says what would decide them"


def bottom_lines_of(leaderboard: Leaderboard) -> list[tuple[str, str]]:
    """All lines that say what to do, each with its label."""
    several = len(leaderboard.bottom_lines) > 1
    found = []
    for each in leaderboard.bottom_lines:
        (label_of_decision, decision), *others = each.shown
        found += [(label_of_decision, f"{f'group {each.group}: ' * several}{decision}"), *others]
    return found


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
        texts.append(Text(f"{cell.score_text} {cell.score.interval()}{seeds}".replace(" ,", ",").rstrip()))
        if not cell.is_base:
            texts[-1].append(f"\n{cell.difference.value:+.4f} {cell.difference.interval('+')} ")
            texts[-1].append(cell.verdict, _STYLE.get(kind_of(cell.verdict), ""))
    return Text("\n").join(texts) if texts else Text("-")


def _cost_tables(leaderboard: Leaderboard) -> list[Table]:
    """The costs of the trained cells, then without the last ones; those on the front are marked."""
    lines = []
    for cell in leaderboard.trained:
        score = f"{cell.score.value:.4f}{' o' if cell.on_front else '  '}"
        lines.append((*leaderboard.names_in(cell), score, *map(cell.cost_text, leaderboard.costs)))
    costs, names = [cost.heading for cost in leaderboard.costs], len(leaderboard.name_headings)
    headings = (*leaderboard.name_headings, "score", *costs)
    return narrowing("cost", headings, lines, costs[:0:-1], names, _MOST_LINES)


def _ranking(leaderboard: Leaderboard) -> tuple[Labels, list[Labels]]:
    """Headings and lines of all cells: names, score, difference, verdict."""
    headings = (*leaderboard.name_headings, "score, 95 % interval", "seeds", "difference, 95 % interval", "verdict")
    lines = []
    for cell in leaderboard.cells:
        score = f"{cell.score_text} {cell.score.interval()}".strip()
        difference = f"{cell.difference.value:+.4f} {cell.difference.interval('+')}".strip()
        found = ("", "", "") if cell.is_base else (str(len(cell.seeds)), difference, cell.verdict)
        lines.append((*leaderboard.names_in(cell), score, *found))
    return headings, lines


def as_markdown(leaderboard: Leaderboard) -> str:
    """All cells with their costs, and the notes."""
    headings, lines = _ranking(leaderboard)
    headings = (*headings, *(cost.heading for cost in leaderboard.costs), "front")
    table = []
    for line, cell in zip(lines, leaderboard.cells, strict=True):
        costs = (cell.cost_text(cost) for cost in leaderboard.costs)
        table.append((*line, *costs, "o" if cell.on_front else ""))
    written = markdown_table(headings, table) if table else []
    notes = [f"- {as_markdown_text(note)}" for note in notes_of(leaderboard)]
    said = bottom_lines_of(leaderboard)
    shown = (as_markdown_code(text) if name == "type" else as_markdown_text(text) for name, text in said)
    todo = [f"- **{name}** {text}" for (name, _), text in zip(said, shown, strict=True)]
    return (
        "\n".join([f"# {as_markdown_text(leaderboard.title)}", "", *todo, *[""] * bool(todo), *written, "", *notes])
        + "\n"
    )


_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "·": r"$\cdot$"}
)


def as_latex(leaderboard: Leaderboard) -> str:
    """All cells as a table of booktabs, the best in bold, with what was measured as its caption."""
    headings, lines = _ranking(leaderboard)
    names = len(leaderboard.name_headings)
    bold = [r"\textbf{%s}" if cell.is_best else "%s" for cell in leaderboard.cells]
    rows = [
        " & ".join([*line[:names], look % line[names], *line[names + 1 :]])
        for look, line in zip(bold, ([each.translate(_LATEX) for each in line] for line in lines), strict=True)
    ]
    caption = " ".join(leaderboard.measured) or leaderboard.title
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{{'l' * names}{'r' * (len(headings) - names - 1)}l}}",
            r"\toprule",
            rf"{' & '.join(each.translate(_LATEX) for each in headings)} \\",
            r"\midrule",
            *(rf"{row} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{caption.translate(_LATEX)}}}",
            r"\end{table}",
            "",
        ]
    )


def as_rows(leaderboard: Leaderboard) -> list[dict[str, Any]]:
    """All numbers, a row for each cell: what it is of, its values, its costs."""
    keys = (*leaderboard.row_keys, *leaderboard.column_keys)
    return [
        dict(zip(keys, (*cell.row, *cell.column), strict=True))
        | _values_of(cell)
        | {"seeds": [*cell.seeds], "runs": [*cell.runs], **cell.costs}
        for cell in leaderboard.cells
    ]


def _values_of(cell: LeaderboardCell) -> dict[str, Any]:
    """All of a cell but its row, column and costs, by the headings of the CSV."""
    score, difference = cell.score, cell.difference
    every = vars(cell) | {"score": score.value, "low": score.low, "high": score.high, "difference": difference.value}
    every |= {"difference_low": difference.low, "difference_high": difference.high}
    every |= {"alone_low": cell.alone[0], "alone_high": cell.alone[1]}
    return {name: every[name] for name in _OF_A_CELL}


def as_csv(leaderboard: Leaderboard) -> str:
    """All numbers, a line for each cell; begins with the byte order mark by which spreadsheets recognise UTF-8."""
    costs = [cost.name for cost in leaderboard.costs]
    lines: list[list[Any]] = [[*leaderboard.row_keys, *leaderboard.column_keys, *_OF_A_CELL, *costs]]
    for cell in leaderboard.cells:
        texts = [" ".join(each) if isinstance(each, tuple) else each for each in _values_of(cell).values()]
        values = ["" if isinstance(each, float) and math.isnan(each) else each for each in texts]
        lines.append([*cell.row, *cell.column, *values, *(cell.costs.get(cost, "") for cost in costs)])
    return f"\ufeff{report_csv(lines)}"
