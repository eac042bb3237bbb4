"""Tables that fit a terminal, the narrower the fewer columns; and texts cut to a width."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from embexp.core.escaping import wide_console
from embexp.core.run_context import overhead
from embexp.reports.verdict_words import BETTER, WORSE, kind_of


def shortened(text: str, columns: int) -> str:
    """The text on one line of at most so many columns; Chinese characters take two; "…" marks a cut.

    >>> shortened("A man is playing", 12), shortened("股票 大跌", 7), shortened("two\\nlines", 12)
    ('A man is pl…', '股票…', 'two lines')
    """
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    if cell_len(line) <= columns:
        return line
    return chop_cells(line, columns - 1)[0].rstrip() + "…"


_COLOUR = {BETTER: "green", WORSE: "red"}


def loss_name(names: Mapping[str, str]) -> str:
    """The chosen loss with its modifier, where there is one.

    >>> loss_name({"loss": "mnrl", "modifier": "orthogonal"}), loss_name({"loss": "mnrl", "modifier": "none"})
    ('mnrl+orthogonal', 'mnrl')
    """
    modifier = names.get("modifier") or "none"
    return names["loss"] if modifier == "none" else f"{names['loss']}+{modifier}"


def export_lines(exports: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each export with its measurements, or with its problem.

    >>> export_lines([{"name": "int8", "lines": ["4 times smaller embeddings", "test/sts/spearman_cosine ..."]}])
    ['int8: 4 times smaller embeddings; test/sts/spearman_cosine ...']
    """
    return [f"{made['name']}: {made.get('problem') or '; '.join(made['lines'])}" for made in exports]


def profile_table(seconds: Mapping[str, float]) -> Table:
    """The time of a run: seconds and share of each part, and of embexp itself."""
    total = sum(seconds.values())
    table = Table(title="where the time went", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("part", footer="neither model nor its libraries")
    table.add_column("s", footer=f"{overhead(dict(seconds)):.2f}", justify="right")
    table.add_column("share", footer=f"{overhead(dict(seconds)) / total:.0%}", justify="right")
    for part, value in seconds.items():
        table.add_row(part, f"{value:.2f}", f"{value / total:.0%}")
    return table


def as_text(table: Table) -> str:
    """A table as plain text, for a file, as wide as it needs to be."""
    console = wide_console()
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def fitting(variants: Sequence[Table], console: Console) -> Table:
    """The first of these tables that the console has the width for, else the last one, whose texts then wrap."""
    widest = console.options.update_width(1000)
    fits = (table for table in variants if Measurement.get(console, widest, table).maximum <= console.width)
    return next(fits, variants[-1])


_NAME = 24  # columns of a name in a narrow terminal


def table_of(
    title: str,
    headings: Sequence[str],
    lines: Sequence[Sequence[str]],
    names: int = 1,
    most: int | None = None,
    left_out: Sequence[str] | None = None,
    words: Sequence[str] = (),
) -> Table:
    """A table whose first `names` columns hold names, which wrap if it is narrow; all others keep to one line.

    Args:
        most: lines to show; None: all.
        left_out: columns that the table for a narrow terminal goes without; None: it is for a wide one.
        words: columns that begin at the left; in a narrow terminal they take several lines.
    """
    is_narrow, shown, notes = left_out is not None, lines[:most], []
    table = Table(title=Text(title) if title else None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0) if is_narrow else (0, 1)
    for place, heading in enumerate(headings):
        widest = max((cell_len(line[place]) for line in shown), default=0)
        if place < names:
            table.add_column(Text(heading), overflow="fold", max_width=_NAME if is_narrow else None)
        elif heading in words:
            longest = max(map(cell_len, [heading, *(word for line in shown for word in line[place].split())]))
            table.add_column(heading, min_width=longest, max_width=longest if is_narrow else None)
        else:
            parts = heading.rsplit(" ", 1) if is_narrow and cell_len(heading) > widest else [heading]
            widest = max(widest, *map(cell_len, parts))
            table.add_column(Text("\n".join(parts)), justify="right", no_wrap=True, min_width=widest)
    for line in shown:
        cells = [Text(cell, _COLOUR.get(kind_of(cell), "")) for cell in line]
        if is_narrow:  # test/sts/spearman_cosine: the metric below its place
            cells[:names] = [Text(re.sub("/(?=[^/]+$)", "/\n", cell)) for cell in line[:names]]
        table.add_row(*cells)
    if most is not None and len(lines) > most:
        notes.append(f"the first {most} of {len(lines)}")
    if left_out:
        notes.append(f"left out at this width: {', '.join(left_out)}")
    table.caption, table.caption_justify = "".join(f"{note}\n" for note in notes) or None, "left"
    return table


def narrowing(
    title: str,
    headings: Sequence[str],
    lines: Sequence[Sequence[str]],
    less: Sequence[str],
    names: int = 1,
    most: int | None = None,
    words: Sequence[str] = (),
) -> list[Table]:
    """The table, then in its narrow form, then without ever more columns: of `less`, what matters least first."""
    found = [table_of(title, headings, lines, names, most, words=words)]
    for number in range(len(less) + 1):
        kept = [place for place, each in enumerate(headings) if each not in less[:number]]
        shorter = [[line[place] for place in kept] for line in lines]
        shown = [headings[place] for place in kept]
        found.append(table_of(title, shown, shorter, names, most, less[:number], words))
    return found


def print_table(table: Table, console: Console) -> None:
    """Print a table without the blanks that would fill its lines."""
    for line in console.render_lines(table, pad=False):
        kept = [*line]
        while kept and not kept[-1].text.strip():
            kept.pop()
        if kept:
            kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
        console.print(Segments([*kept, Segment.line()]), end="", soft_wrap=True)
