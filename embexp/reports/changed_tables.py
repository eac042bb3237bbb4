"""The most changed examples as Markdown, and the few most changed ones for the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from embexp.reports.changed_examples import EXPLAINED, Row, broken, mended, worst
from embexp.reports.shortening import shortened

COLUMNS_IN_FILE = 160  # of each text in the file, in the width of Latin letters
COLUMNS_IN_TABLE = 50
HEADINGS = ("error", "gold", "base", "trained", "texts")


def write_changed(path: Path, subject: str, rows: Sequence[Row], kind: str, number: int) -> None:
    """A Markdown page: the examples that training broke, those it mended, and the worst errors of the trained model.

    Args:
        subject: what the page is about, such as the run and the data.
        rows: of `with_errors`.
        kind: one of `changed_examples.ERRORS`.
        number: how many examples each table has at most.
    """
    lines = [
        f"# Changed examples: {_cell(subject)}",
        "",
        f"{summary(rows)} {EXPLAINED[kind]}",
        *_section("What training broke", broken(rows, number), "Training made no example worse."),
        *_section("What training mended", mended(rows, number), "Training made no example better."),
        *_section("Worst errors of the trained model", worst(rows, number), "The trained model makes no error."),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def summary(rows: Sequence[Row]) -> str:
    """How many examples changed for better and for worse.

    >>> summary([{"change": 0.5}, {"change": -0.1}, {"change": 0.0}])
    'Of 3 examples 1 got worse and 1 got better.'
    """
    return f"Of {len(rows):,} examples {len(broken(rows)):,} got worse and {len(mended(rows)):,} got better."


def changed_table(rows: Sequence[Row], kind: str, number: int) -> Table:
    """The examples that training broke most, then those it mended most, `number` of each.

    Args:
        rows: of `with_errors`.
    """
    table = Table(title="what training broke, and mended", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.caption, table.caption_justify = Text(f"{summary(rows)} {EXPLAINED[kind]}"), "left"
    for heading in HEADINGS:
        is_text = heading == "texts"
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for name, style, chosen in (("broke", "red", broken(rows, number)), ("mended", "green", mended(rows, number))):
        if not chosen:
            table.add_row("", "", "", "", Text(f"nothing {name}"), end_section=True)
        for place, row in enumerate(chosen):
            cells = _cells(row, COLUMNS_IN_TABLE, "\n")
            table.add_row(Text(cells[0], style), *map(Text, cells[1:]), end_section=place == len(chosen) - 1)
    return table


def _section(heading: str, rows: Sequence[Row], without: str) -> list[str]:
    if not rows:
        return ["", f"## {heading}", "", without]
    lines = [_line(HEADINGS), _line("---:" if name != "texts" else "---" for name in HEADINGS)]
    lines += [_line([*map(_cell, cells[:-1]), "<br>".join(map(_cell, cells[-1].split("\n")))]) for cells in _all(rows)]
    return ["", f"## {heading}", "", *lines]


def _all(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    return [_cells(row, COLUMNS_IN_FILE, "\n") for row in rows]


def _cells(row: Row, columns: int, between: str) -> tuple[str, ...]:
    """Error before and after, gold, base, trained, texts."""
    error = f"{row['base_error']:.0%} -> {row['trained_error']:.0%}"
    values = (_shown(row.get("gold")), _shown(row["base"]), _shown(row["trained"]))
    return error, *values, between.join(shortened(str(text), columns) for text in row["texts"])


def _shown(value: Any) -> str:
    """A number with three digits after the point, a whole one without, anything else as it is.

    >>> _shown(0.87654), _shown(1), _shown(1.0), _shown("NUM"), _shown(None)
    ('0.877', '1', '1', 'NUM', '')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return shortened(value, 20)
    number = float(value)
    return f"{number:.0f}" if number.is_integer() else f"{number:.3f}"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """A text that Markdown shows as it is."""
    for character in "\\`*_<|[":
        text = text.replace(character, f"\\{character}")
    return text
