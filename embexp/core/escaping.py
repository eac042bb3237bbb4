"""Texts of data, names and messages where they leave embexp: for a terminal, a spreadsheet, Markdown.

Whoever wrote a text decides nothing about what shows it: no colours, links or moves on a terminal, no formula in a
spreadsheet, no mark-up on a page. Data stay as they are; only what is shown or reported goes through here.
"""

import csv
import io
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from embexp.errors import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # what a spreadsheet takes as the beginning of one
_NUMBER = re.compile(r"[+-]?(?:\d[\d_,]*)?\.?\d+(?:[eE][+-]?\d+)?%?")
# An underscore within a word is none of Markdown's marks: `spearman_cosine`.
_MARKS = re.compile(r"[\\`*<|\[~$&]|(?<![^\W_])_|_(?![^\W_])")
_FENCE = re.compile(r"`+")


def say(*parts: Any, file: TextIO | None = None, end: str = "\n") -> None:
    """Print a text as `print` does, with what would control the terminal made visible."""
    print(printable(" ".join(map(str, parts))), file=file or sys.stdout, end=end, flush=True)


_OFF_TERMINAL = 120  # columns of a pipe or a file, unless COLUMNS says how many


def output_console() -> "Console":
    """Where a command prints: as wide as the terminal is."""
    console = _console(color_system=None if os.environ.get("NO_COLOR") else "auto")
    return console if console.is_terminal or os.environ.get("COLUMNS") else _console(width=_OFF_TERMINAL)


def file_console(file: TextIO) -> "Console":
    """What prints into a file."""
    return _console(file=file, width=_OFF_TERMINAL, no_color=True)


def wide_console() -> "Console":
    """What prints into a text, as wide as it needs to be."""
    return _console(width=1000, no_color=True)


def _console(**how: Any) -> "Console":
    """A console on which no text of a user colours, links or moves anything: colours are those of our styles."""
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False, **how)
    console.push_render_hook(_Printable())
    return console


class _Printable:
    """A hook of rich's: all that is printed is cleaned."""

    def process_renderables(self, renderables: "list[RenderableType]") -> "list[RenderableType]":
        return [_Cleaned(each) for each in renderables]


class _Cleaned:
    def __init__(self, inner: "RenderableType") -> None:
        self.inner = inner

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Segment]":
        for segment in console.render(self.inner, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def report_csv(rows: Iterable[Sequence[Any]]) -> str:
    """A report as CSV: numbers stay numbers, and no text of it is a formula.

    A text that a spreadsheet would compute gets the apostrophe by which spreadsheets know a text.

    >>> report_csv([["text", "change"], ["=1+1", -0.5], ["-0.5", None], [" @SUM(A1)", "a-b"]]).splitlines()
    ['text,change', "'=1+1,-0.5", '-0.5,', "' @SUM(A1),a-b"]
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_spreadsheet_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _spreadsheet_cell(value: Any) -> Any:
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    lines = value.replace("\r\n", "\n").replace("\r", "\n")  # csv puts no quotes round a carriage return
    return f"'{lines}" if _FORMULA.match(value) else lines


def as_markdown_text(text: Any) -> str:
    r"""A text on one line that Markdown shows as it is: no link, picture, HTML, table, code or formula.

    >>> print(as_markdown_text("[a](javascript:b) <script> | *c* spearman_cosine _d_ $e$"))
    \[a](javascript:b) \<script> \| \*c\* spearman_cosine \_d\_ \$e\$
    >>> print(as_markdown_text("# a\nb"), as_markdown_text("1. c"), as_markdown_text("-0.5"))
    \# a b 1\. c -0.5
    """
    line = _MARKS.sub(r"\\\g<0>", " ".join(printable(str(text)).split()))
    if _NUMBER.fullmatch(line):
        return line
    if numbered := re.match(r"(\d+)(?=[.)]\s)", line):
        return f"{numbered[0]}\\{line[numbered.end() :]}"
    return f"\\{line}" if line.startswith(("#", ">", "+ ", "- ", "=", "!")) else line


def as_markdown_code(text: Any) -> str:
    """A text between backticks, so that it can be copied as it is.

    >>> as_markdown_code("a"), as_markdown_code("a `b`")
    ('`a`', '`` a `b` ``')
    """
    line = " ".join(printable(str(text)).split("\n"))
    longest = max(map(len, _FENCE.findall(line)), default=0)
    return f"{'`' * (longest + 1)} {line} {'`' * (longest + 1)}" if longest else f"`{line}`"


def as_markdown_block(text: str) -> str:
    r"""Lines as a block of code, which nothing in them ends.

    >>> print(as_markdown_block("a\n```\n# b"))
    ````
    a
    ```
    # b
    ````
    """
    fence = "`" * max(3, 1 + max(map(len, _FENCE.findall(text)), default=0))
    return f"{fence}\n{printable(text)}\n{fence}"


def markdown_table(headings: Sequence[Any], rows: Iterable[Sequence[Any]], right: Collection[int] = ()) -> list[str]:
    """The lines of a table; all that stands in it is shown as it is, on as many lines as it has.

    Args:
        right: the places of columns that are set to the right.
    """
    marks = ["---:" if place in right else "---" for place in range(len(headings))]
    cells = (["<br>".join(map(as_markdown_text, str(cell).split("\n"))) for cell in line] for line in (headings, *rows))
    first, *others = [f"| {' | '.join(line)} |" for line in cells]
    return [first, f"| {' | '.join(marks)} |", *others]
