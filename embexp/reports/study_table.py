"""The trials of a study as a table: for the terminal, for Markdown, as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

Row = Mapping[str, Any]  # trial, state, value (None where it has none), drawn (by key), note


def study_table(rows: Sequence[Row], metric: str) -> Table:
    """All trials, from the best to the worst, then those that were stopped or failed."""
    headings, *lines = _lines(rows)
    table = Table(title=f"trials by {metric}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "outcome" else "right", overflow="fold")
    for line in lines:
        table.add_row(*line)
    return table


def study_markdown(rows: Sequence[Row], closing: Sequence[tuple[str, str]]) -> str:
    """What stands below the table, which is what one reads first, then the same table."""
    headings, *lines = _lines(rows)
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    table = [f"| {' | '.join(line)} |" for line in (headings, ["---"] * len(headings), *cells)]
    return "\n".join([*(f"- **{label}** {text}" for label, text in closing), "", *table]) + "\n"


def study_csv(rows: Sequence[Row]) -> str:
    """All numbers in full, a column for each key."""
    keys = [*rows[0]["drawn"]] if rows else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *keys, "note"])
    for row in rows:
        writer.writerow(
            [row["trial"], row["state"], row["value"], *(row["drawn"].get(key) for key in keys), row["note"]]
        )
    return text.getvalue()


def _lines(rows: Sequence[Row]) -> list[list[str]]:
    keys = [*rows[0]["drawn"]] if rows else []
    lines = [["trial", "dev", *short_keys(keys), "outcome"]]
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']:.4f}"
        drawn = (shown(row["drawn"].get(key)) for key in keys)
        lines.append([str(row["trial"]), value, *drawn, ", ".join(filter(None, (row["state"], row["note"])))])
    return lines


def short_keys(keys: Sequence[str]) -> list[str]:
    """The last part of each key, where that tells them apart.

    >>> short_keys(["loss.scale", "trainer.learning_rate"]), short_keys(["a.scale", "b.scale"])
    (['scale', 'learning_rate'], ['a.scale', 'b.scale'])
    """
    last = [key.rpartition(".")[2] for key in keys]
    return [short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)]


def shown(value: Any) -> str:
    """A value as a table has room for it.

    >>> shown(0.000123456), shown(32), shown("mnrl"), shown(None)
    ('0.0001235', '32', 'mnrl', '-')
    """
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
