"""Tables for the terminal and for Markdown: what one run did, and how the cells of a sweep compare."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from embexp.reports.stage_table import MARK, on_the_way_markdown, stages_table
from embexp.stopwatch import overhead

COMPARED = ("base", "trained", "difference", "95 % interval", "verdict")


def closing_table(result: Mapping[str, Any]) -> Table:
    """Base against trained model: the headline metrics of every split, the primary one marked with a star."""
    names = result["choices"]
    title = f"{names['dataset']} · {loss_name(names)} · {names['model']} · seed {result['seed']}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    rows = [_compared(row) for row in result["comparisons"] if row["headline"] or row["primary"]]
    table.add_column("metric", overflow="fold")  # the one that gives way in a narrow terminal
    for place, heading in enumerate(COMPARED, 1):
        widest = max(cell_len(cell) for cell in (heading, *(row[place] for row in rows)))
        table.add_column(heading, justify="left" if heading == "verdict" else "right", no_wrap=True, min_width=widest)
    for row in rows:
        table.add_row(*row[:-1], MARK[row[-1]])
    return table


def closing_markdown(result: Mapping[str, Any]) -> str:
    """The closing table as Markdown, for the run's page in the tracker."""
    rows = [_compared(row) for row in result["comparisons"] if row["headline"] or row["primary"]]
    lines = [("metric", *COMPARED), ["---"] * (len(COMPARED) + 1), *(row for row in rows)]
    table = [f"| {' | '.join(cell.replace('*', chr(92) + '*') for cell in line)} |" for line in lines]
    found = [f"- {_found(warning)}" for warning in result.get("warnings", ())]
    told = f"**{result['verdict']}** on {result['primary']['split']}; {result['training']}"
    return "\n".join([told, "", *table, "", *on_the_way_markdown(result), *found]).rstrip() + "\n"


def loss_name(names: Mapping[str, str]) -> str:
    """The chosen loss with its modifier, where there is one.

    >>> loss_name({"loss": "mnrl", "modifier": "orthogonal"}), loss_name({"loss": "mnrl", "modifier": "none"})
    ('mnrl+orthogonal', 'mnrl')
    """
    modifier = names.get("modifier") or "none"
    return names["loss"] if modifier == "none" else f"{names['loss']}+{modifier}"


def _compared(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['split']}/{row['evaluator']}/{row['metric']}" + ("*" if row["primary"] else ""),
        f"{row['base']:.4f}",
        f"{row['trained']:.4f}",
        f"{row['difference']:+.4f}",
        "-" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}",
        row["verdict"],
    )


def print_closing(result: Mapping[str, Any], console: Console) -> None:
    """Print the closing table, and where model, folder and tracked run are."""
    console.print(closing_table(result))
    if result.get("forms"):
        console.print(forms_table(result["forms"]))
    if result.get("stages"):
        console.print(stages_table(result))
    console.print(f"* picks the checkpoint on dev; the verdict falls on {result['primary']['split']}", highlight=False)
    for label, value in (
        ("data", "; ".join(result["data"])),
        ("base model", result["base_model"]),
        ("training", result["training"]),
        ("model", result["model_path"]),
        *((("adapter", _needs_base(result["adapter_base"])),) if result.get("adapter_base") else ()),
        ("tracked", result["tracked"]),
        *(("export", line) for line in export_lines(result.get("exports", ()))),
        *(("warning", _found(warning)) for warning in result.get("warnings", ())),
    ):
        console.print(f"{label:<11}{value}", soft_wrap=True, highlight=False, markup=False)


def forms_table(forms: Sequence[Mapping[str, Any]]) -> Table:
    """What embeddings of fewer dimensions and in fewer bits are worth, base against trained."""
    names = dict.fromkeys(_compared(row | {"primary": False})[0] for row in forms)
    title = f"embeddings in other forms: {', '.join(names)}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    headings = (*(("metric",) if len(names) > 1 else ()), "dimensions", "precision", *COMPARED)
    for heading in headings:
        is_text = heading in ("metric", "precision", "verdict")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=heading != "metric")
    for row in forms:
        metric, *numbers, verdict = _compared(row | {"primary": False})
        cells = (metric, str(row["dimensions"] or "all"), row["precision"], *numbers, MARK[verdict])
        table.add_row(*cells[-len(headings) :])
    return table


def _needs_base(base: str) -> str:
    return f"the model's folder needs peft and its base, {base}; for a whole model type model.adapter.merge=true"


def export_lines(exports: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each export with what it measured, or with what went wrong.

    >>> export_lines([{"name": "int8", "lines": ["4 times smaller embeddings", "test/sts/spearman_cosine ..."]}])
    ['int8: 4 times smaller embeddings; test/sts/spearman_cosine ...']
    """
    return [f"{made['name']}: {made.get('problem') or '; '.join(made['lines'])}" for made in exports]


def profile_table(seconds: Mapping[str, float]) -> Table:
    """Where the time of a run went: seconds and share of each part, then what embexp itself took."""
    total = sum(seconds.values())
    table = Table(title="where the time went", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("part", footer="neither model nor its libraries")
    table.add_column("s", footer=f"{overhead(dict(seconds)):.2f}", justify="right")
    table.add_column("share", footer=f"{overhead(dict(seconds)) / total:.0%}", justify="right")
    for part, value in seconds.items():
        table.add_row(part, f"{value:.2f}", f"{value / total:.0%}")
    return table


def _found(warning: str) -> str:
    """What a warning found; what to do about it was told when the run began."""
    found, dot, _ = warning.partition(". ")
    return found + dot.strip()


def as_text(table: Table) -> str:
    """A table as plain text, for a file, as wide as it needs to be."""
    console = Console(width=1000, no_color=True)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def wide_console(least: int = 100) -> Console:
    """The terminal, taken for at least as wide as the closing table."""
    return Console(width=max(Console().width, least))
