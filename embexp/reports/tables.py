"""Tables of one run for the terminal and for Markdown, stage by stage; and texts cut to a width."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from embexp.core.escaping import as_markdown_text, markdown_table, wide_console
from embexp.core.run_context import overhead
from embexp.data.columns import TAKEN
from embexp.reports.verdict_words import BETTER, WORSE, kind_of, margin_line, undecided_lines, unit_lines


def shortened(text: str, columns: int) -> str:
    """The text on one line of at most so many columns; Chinese characters take two; "…" marks a cut.

    >>> shortened("A man is playing", 12), shortened("股票 大跌", 7), shortened("two\\nlines", 12)
    ('A man is pl…', '股票…', 'two lines')
    """
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    if cell_len(line) <= columns:
        return line
    return chop_cells(line, columns - 1)[0].rstrip() + "…"


_HEADINGS = ("model", "score", "difference", "95 % interval", "verdict", "seconds")
_COLOUR = {BETTER: "green", WORSE: "red"}


def _stages_tables(result: Mapping[str, Any]) -> list[Table]:
    """A row for the untouched model and one after each stage, by the metric that gives the verdict."""
    title = f"on the way: {result['primary']['key']}, differences to the untouched model"
    return narrowing(
        title, _HEADINGS, [*_on_the_way(result)], ("seconds", "score", "95 % interval"), words=("verdict",)
    )


def _on_the_way_markdown(result: Mapping[str, Any]) -> list[str]:
    """The same as lines of Markdown; none of a run without stages before the main one."""
    if not result.get("stages"):
        return []
    title = f"On the way, by {as_markdown_text(result['primary']['key'])}:"
    return [title, "", *markdown_table(_HEADINGS, [*_on_the_way(result)]), ""]


def _on_the_way(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The cells of each row: model, score, difference with interval and verdict, seconds of training.

    >>> primary = {"evaluator": "sts", "split": "test", "metric": "spearman_cosine", "base": 0.5, "trained": 0.75,
    ...            "difference": 0.25, "low": 0.125, "high": 0.375, "verdict": "better"}
    >>> stage = {"name": "tsdae", "seconds": 2.0, "comparisons": [primary | {"trained": 0.625, "difference": 0.125}]}
    >>> costs = {"cost/train_seconds": 8.0}
    >>> for row in _on_the_way({"primary": primary, "stages": [stage], "metrics": costs, "choices": {"loss": "mnrl"}}):
    ...     print(" ".join(row).strip())
    untouched 0.5000
    after tsdae 0.6250 +0.1250 +0.1250 to +0.3750 better 2.0
    after mnrl 0.7500 +0.2500 +0.1250 to +0.3750 better 8.0
    """
    primary = result["primary"]
    yield "untouched", f"{primary['base']:.4f}", "", "", "", ""
    metric = ("evaluator", "split", "metric")
    for stage in result["stages"]:
        same = next(row for row in stage["comparisons"] if all(row[key] == primary[key] for key in metric))
        yield f"after {stage['name']}", *_score_cells(same), f"{stage['seconds']:.1f}"
    seconds = result["metrics"]["cost/train_seconds"]
    yield f"after {result['choices']['loss']}", *_score_cells(primary), f"{seconds:.1f}"


def _score_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = "-" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}"
    return f"{row['trained']:.4f}", f"{row['difference']:+.4f}", interval, row["verdict"]


_COMPARED = ("base", "trained", "difference", "95 % interval", "verdict")
_GO_FIRST = ("trained", "base", "95 % interval")  # columns that a narrow terminal goes without


def _closing_tables(result: Mapping[str, Any]) -> list[Table]:
    """Base against trained model: the headline metrics of every split, the primary one marked with a star."""
    names = result["choices"]
    title = f"{names['dataset']} · {loss_name(names)} · {names['model']} · seed {result['seed']}"
    rows = [_compared(row) for row in result["comparisons"] if row["headline"] or row["primary"]]
    return narrowing(title, ("metric", *_COMPARED), rows, _GO_FIRST, words=_COMPARED[-1:])


def closing_markdown(result: Mapping[str, Any]) -> str:
    """The closing table as Markdown, for the run's page in the tracker."""
    rows = [_compared(row) for row in result["comparisons"] if row["headline"] or row["primary"]]
    table = markdown_table(("metric", *_COMPARED), rows)
    found = [f"- {as_markdown_text(_found(warning))}" for warning in result.get("warnings", ())]
    verdict = f"**{result['verdict']}** on {result['primary']['split']}; {as_markdown_text(result['training'])}"
    return "\n".join([verdict, "", *table, "", *_on_the_way_markdown(result), *found]).rstrip() + "\n"


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
    print_table(fitting(_closing_tables(result), console), console)
    if result.get("forms"):
        print_table(fitting(_forms_tables(result["forms"]), console), console)
    if result.get("stages"):
        print_table(fitting(_stages_tables(result), console), console)
    for line in _lines_below(result):
        console.print(line, highlight=False, soft_wrap=True)
    for label, value in (
        ("data", "; ".join(result["data"])),
        ("evaluated", evaluated_line(result["comparisons"])),
        ("base model", result["base_model"]),
        *((("unknown", unknown_line(result["unknown_tokens"])),) if result.get("unknown_tokens") else ()),
        ("training", result["training"]),
        ("model", result["model_path"]),
        *((("adapter", _needs_base(result["adapter_base"])),) if result.get("adapter_base") else ()),
        ("tracked", result["tracked"]),
        *((("page", result["page"]),) if result.get("page") else ()),
        *(("export", line) for line in export_lines(result.get("exports", ()))),
        *(("note" if TAKEN in warning else "warning", _found(warning)) for warning in result.get("warnings", ())),
    ):
        console.print(f"{label:<11}{value}", soft_wrap=True, highlight=False)


def _lines_below(result: Mapping[str, Any]) -> Iterator[str]:
    """What the verdicts of the closing table rest on."""
    rows = [row for row in result["comparisons"] if row["headline"] or row["primary"]]
    split = result["primary"]["split"]
    others = [row for row in rows if row["verdict"] and not row["primary"]]
    known = (row for row in result["comparisons"] if row["verdict"] and not math.isnan(row["low"]))
    number = sum(not row["primary"] for row in known)
    is_picked = result.get("picked_on_dev", True)
    picks = "picks the checkpoint on dev; the verdict falls on" if is_picked else "gives the verdict, on"
    yield f"* {picks} {split}"
    if others:
        shown = "" if len(others) == number else f", of which {len(others)} {'is' if len(others) == 1 else 'are'} shown"
        yield f"others are secondary, corrected for their number, {number} (Holm){shown}"
    if split == "dev" and not is_picked:
        yield "there is no test split: the last checkpoint is kept, so that dev, which picked none, can judge it"
    elif split == "dev":
        yield "there is no test split: where dev picked among several checkpoints, its verdict flatters the trained one"
    yield "intervals hold how the examples vary, not how other seeds would train"
    if line := margin_line(rows):
        yield line
    yield from unit_lines([row for row in rows if row["split"] == result["primary"]["split"]])
    yield from undecided_lines([result["primary"]])


def evaluated_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which data were evaluated on, and how many examples; data of several places after each other.

    >>> row = {"evaluator": "sts", "split": "dev", "data": "faq", "examples": 120}
    >>> evaluated_line([row, row | {"metric": "x"}, row | {"split": "test", "data": "graded", "examples": 1234}])
    'dev/sts on faq (120 examples), test/sts on graded (1,234 examples)'
    """
    found = {f"{row['split']}/{row['evaluator']}": (row.get("data"), row.get("examples")) for row in rows}
    named = {key: f" on {data}" if data else "" for key, (data, _) in found.items()}
    return ", ".join(
        f"{key}{named[key]}{f' ({number:,} examples)' if number else ''}" for key, (_, number) in found.items()
    )


def unknown_line(shares: Mapping[str, float]) -> str:
    """The shares of unknown tokens of a base model; places with the same share together.

    >>> unknown_line({"train": 0.0, "dev/sts": 0.0, "test/sts": 0.123})
    '0.0 % of the tokens of train, dev/sts; 12.3 % of test/sts'
    """
    places: dict[str, list[str]] = {}
    for place, share in shares.items():
        places.setdefault(f"{100 * share:.1f} %", []).append(place)
    found = [f"{share} of {', '.join(names)}" for share, names in places.items()]
    return "; ".join([found[0].replace(" of ", " of the tokens of ", 1), *found[1:]])


def _forms_tables(forms: Sequence[Mapping[str, Any]]) -> list[Table]:
    """The scores of embeddings with fewer dimensions and in fewer bits, base against trained."""
    rows = [_compared(row | {"primary": False}) for row in forms]
    names = dict.fromkeys(metric for metric, *_ in rows)
    lines = [
        (metric, str(form["dimensions"] or "all"), form["precision"], *others)
        for form, (metric, *others) in zip(forms, rows, strict=True)
    ]
    skipped = 0 if len(names) > 1 else 1  # the only metric is in the title
    headings = ("metric", "dimensions", "precision", *_COMPARED)[skipped:]
    title = f"embeddings in other forms: {', '.join(names)}"
    return narrowing(
        title, headings, [line[skipped:] for line in lines], _GO_FIRST, 1 - skipped, words=("precision", "verdict")
    )


def _needs_base(base: str) -> str:
    return f"the model's folder needs peft and its base, {base}; for a whole model type model.adapter.merge=true"


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


def _found(warning: str) -> str:
    """The finding of a warning; its advice was shown when the run began."""
    found, dot, _ = warning.splitlines()[0].partition(". ")
    return found + dot.strip()


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
