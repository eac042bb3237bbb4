"""Comparisons: several models scored without training, as tables; two runs on a page of Markdown."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy
from rich.cells import cell_len
from rich.table import Table

from embexp.core.escaping import as_markdown_text, markdown_table, output_console, report_csv, say
from embexp.reports.tables import fitting, narrowing, print_table, shortened, table_of
from embexp.reports.verdict_words import margin_line, undecided_lines, unit_lines

_Row = Mapping[str, Any]
_COSTS = {"encode_texts_per_second": "texts/s", "parameters": "parameters", "dimensions": "dimensions"}
_UNKNOWN = "unknown tokens"
_BESIDE = ("95 % interval", "to the best", "p (Holm)")
_KEPT_LONG = ("to the best", "95 % interval", _UNKNOWN)  # columns that even a narrow terminal has, if it can
NOTE = "* the best, or not significantly worse (paired bootstrap, Holm's correction, 5 %)"


def model_tables(rows: Sequence[_Row]) -> Iterator[list[Table]]:
    """A table for each evaluator, from the best model to the worst, then one of the costs; each in ever fewer columns.

    The least important columns go first: costs and other metrics, then intervals and p-values.
    """
    for title, headings, lines in _sections(rows):
        extra = [each for each in headings[2:] if each not in _KEPT_LONG]
        yield narrowing(
            title, headings, lines, [*extra[::-1], *(each for each in _KEPT_LONG[::-1] if each in headings)]
        )


def as_markdown(rows: Sequence[_Row]) -> str:
    """The same as Markdown."""
    parts = []
    for title, headings, lines in _sections(rows):
        parts.append("\n".join([f"**{as_markdown_text(title)}**", "", *markdown_table(headings, lines)]))
    return "\n\n".join([*parts, NOTE.replace("*", "\\*")]) + "\n"


def _sections(rows: Sequence[_Row]) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, headings and lines of each table."""
    for key in rows[0]["scores"]:
        ordered = sorted(rows, key=lambda row: -row["scores"][key]["value"])
        others = [each for each in rows[0].get("metrics", ()) if each.rpartition("/")[0] == key.rpartition("/")[0]]
        headings = ["model", "value", *(_short(each, key) for each in others), *_BESIDE]
        unknown = [_unknown_tokens(row, key) for row in ordered]
        nothing = ["-"] * any(unknown)  # of a model behind a URL
        lines = [[*_scores(row, key, others), *(share or nothing)] for row, share in zip(ordered, unknown, strict=True)]
        yield f"{key}{_size(rows[0]['scores'][key])}", [*headings, _UNKNOWN][: len(lines[0])], lines
    costs = _costs_in(rows)
    lines = [[row["model"], *(f"{row[cost]:,.0f}" if cost in row else "-" for cost in costs)] for row in rows]
    yield "cost", ["model", *(_COSTS[cost] for cost in costs)], lines


def _costs_in(rows: Sequence[_Row]) -> list[str]:
    """The costs that are known of a model; of one behind a URL the parameters are not."""
    return [cost for cost in _COSTS if any(cost in row for row in rows)]


def _short(metric: str, primary: str) -> str:
    """The metric's name, without the similarity where that is the primary metric's.

    >>> _short("test/sts/pearson_cosine", "test/sts/spearman_cosine"), _short("test/a/mrr_at_10", "test/a/ndcg_at_10")
    ('pearson', 'mrr_at_10')
    """
    name, similarity = metric.rpartition("/")[2], primary.rpartition("_")[2]
    return name if similarity.isdecimal() else name.removesuffix(f"_{similarity}")


def _size(score: _Row) -> str:
    """How many examples there are, and of how many rows where a file was divided."""
    number = f", {score['examples']:,} examples" if score["examples"] else ""
    return number + (f" ({score['rows']:,} of {score['of_rows']:,} rows)" if score.get("of_rows") else "")


def _unknown_tokens(row: _Row, key: str) -> list[str]:
    """The share of the tokens of the scored texts that the model does not know; empty where no model's are counted."""
    share = row.get(f"data/unknown_tokens/{key.rpartition('/')[0]}")
    return [] if share is None else [f"{100 * share:.1f} %"]


def _scores(row: _Row, key: str, others: Sequence[str]) -> list[str]:
    score = row["scores"][key]
    is_known = not math.isnan(score["low"])
    interval = f"{score['low']:.4f} to {score['high']:.4f}" if is_known else "-"
    value = f"{score['value']:.4f}{'*' if score['is_best'] else ' '}"
    more = (f"{row['metrics'][other]:.4f}" for other in others)
    beside = interval, f"{score['to_best']:+.4f}", f"{score['p']:.4f}" if is_known else "-"
    return [row["model"], value, *more, *beside]


def as_csv(rows: Sequence[_Row]) -> str:
    """All numbers, a column for each."""
    parts = ("value", "low", "high", "to_best", "p", "is_best")
    keys, costs = [*rows[0]["scores"]], _costs_in(rows)
    others = [*rows[0].get("metrics", ())]
    lines: list[list[Any]] = [["model", *(f"{key} {part}" for key in keys for part in parts), *others, *costs]]
    for row in rows:
        scores = [row["scores"][key][part] for key in keys for part in parts]
        more = [*(row["metrics"][other] for other in others), *(row.get(cost, "") for cost in costs)]
        lines.append([row["model"], *scores, *more])
    return report_csv(lines)


_MOST_VALUES = 10  # different gold scores with a line each; of more fifths are made
_PARTS = 5  # of the gold scores from 0 to 1
_HEADINGS = ("model", "gold", "pairs", "5 %", "median", "95 %")


def _spread_of(gold: Sequence[float], similarities: Sequence[float]) -> list[tuple[str, int, float, float, float]]:
    """Gold, number of pairs, and the 5 %, 50 % and 95 % quantiles of their similarity, the lowest gold first.

    Args:
        gold: in [0, 1], or labels 0 and 1, `(n,)`; of more than ten values fifths are made.
        similarities: of the same pairs, `(n,)`.

    >>> _spread_of([0, 0, 1], [0.25, 0.25, 0.5])
    [('0', 2, 0.25, 0.25, 0.25), ('1', 1, 0.5, 0.5, 0.5)]
    """
    gold, similarities = numpy.asarray(gold, dtype=float), numpy.asarray(similarities, dtype=float)
    return [
        (name, int(member.sum()), *numpy.quantile(similarities[member], (0.05, 0.5, 0.95)).tolist())
        for name, member in _groups(gold)
        if member.any()
    ]


def _groups(gold: numpy.ndarray) -> Iterator[tuple[str, numpy.ndarray]]:
    if len(values := numpy.unique(gold)) <= _MOST_VALUES:
        yield from ((f"{value:g}", gold == value) for value in values)
        return
    part = numpy.minimum((gold * _PARTS).astype(int), _PARTS - 1)
    for number in range(_PARTS):
        end = "]" if number == _PARTS - 1 else ")"
        yield f"[{number / _PARTS:g}, {(number + 1) / _PARTS:g}{end}", part == number


def spread_markdown(title: str, gold: Sequence[float], models: Mapping[str, Sequence[float]]) -> str:
    """The spread of every model's similarities as a table in Markdown.

    Args:
        models: each one's similarities by its name.
    """
    lines: list[Sequence[str]] = []
    for model, similarities in models.items():
        for name, number, *quantiles in _spread_of(gold, similarities):
            lines.append((model, name, f"{number:,}", *(f"{value:.3f}" for value in quantiles)))
    return "\n".join([f"**{as_markdown_text(title)}**", "", *markdown_table(_HEADINGS, lines)]) + "\n"


def comparison_page(found: Mapping[str, Any]) -> str:
    """The page of the findings of `compare_runs`."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {as_markdown_text(' and '.join(found['names']))}\n"
    for label, runs in zip(("first", "second"), found["runs"], strict=True):
        for run in runs:
            cost = "" if run["seconds"] is None else f", {run['seconds']:,.0f} s"
            about = f"{run['name']}, seed {run['seed']}{cost}; against its base: {run['verdict']}"
            yield f"- {label}: {as_markdown_text(about)} ({as_markdown_text(run['folder'])})"
    yield "\n## Metrics of the trained models: second minus first\n"
    yield from table_or_nothing(
        ("metric", "first", "second", "difference", "95 % interval", "p (Holm)", "verdict"),
        [_metric_cells(row) for row in found["metrics"]],
    )
    of_seeds = " (paired bootstrap) and how seeds do (variance between the runs of each side)."
    if found["lacks_seeds"]:
        of_seeds = " (paired bootstrap), not how seeds do: name runs with more seeds, <run>,<run>, to have both."
    yield f"\nIntervals and p hold how the examples vary{of_seeds}"
    rows = found["metrics"]
    secondary = sum(not row["primary"] for row in rows)
    if any(row["primary"] for row in rows):
        yield "- * the first run's primary metric: its verdict is that of its own interval"
    yield f"- rows without a star are secondary: interval, p and verdict corrected for their number, {secondary} (Holm)"
    yield from (f"- {line}" for line in (margin_line(rows), *unit_lines(rows), *undecided_lines(rows)) if line)
    if found["other_tests"]:
        yield "\n## Other tests of no difference (p not corrected for their number)\n"
        rows = [(row["metric"], row["test"], f"{row['p']:.4f}") for row in found["other_tests"]]
        yield from table_or_nothing(("metric", "test", "p"), rows)
    for line in found["left_out"]:
        yield f"Not compared: {as_markdown_text(line)}."
    yield "\n## What differs in the configuration\n"
    yield from table_or_nothing(("key", "first", "second"), [tuple(map(str, row)) for row in found["configuration"]])
    yield "\n## What differs in data, weights and versions\n"
    yield from [f"- {as_markdown_text(line)}" for line in found["data"]] or ["Nothing."]
    for name, rows in found["changed"].items():
        if rows:
            yield f"\n## Examples that changed most: {as_markdown_text(name)}\n"
            yield "Errors go from 0 (right) to 1; change above 0: the second run's model does better.\n"
            headings = ("change", "gold", "first", "second", "texts")
            yield from table_or_nothing(headings, [tuple(map(_shown, _changed_cells(row))) for row in rows])


def _changed_cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (f"{row['change']:+.2f}", row["gold"], row["base"], row["trained"], " ⟷ ".join(row["texts"]))


def _metric_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = "-" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}"
    p = "-" if math.isnan(row["p_holm"]) else f"{row['p_holm']:.4f}"
    means = zip((row["first"], row["second"]), row["stds"], strict=True)
    numbers = (
        *(f"{mean:.4f}{'' if math.isnan(std) else f' ± {std:.4f}'}" for mean, std in means),
        f"{row['difference']:+.4f}",
    )
    name = row["metric"] + ("*" if row["primary"] else "")
    return (name, *numbers, interval, p, row["verdict"])


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("\n", " ")


def table_or_nothing(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; of one without rows a word."""
    return markdown_table(headings, rows) if rows else ["Nothing."]


# Columns of a page's tables that a narrow terminal goes without, what matters least first; files have all.
_LESS = (
    "seed std",
    "half-width",
    "p (Holm)",
    "for equal: examples",
    "or seeds",
    "to show: examples",
    "first",
    "second",
)
_LESS += ("95 % interval",)
_FEW = 5  # columns of a table that keeps all of them
_LONG = 40  # characters of a text


def print_page(page: str) -> None:
    """Print a page of Markdown; on a terminal with its tables as wide as that is."""
    console = output_console()
    if not console.is_terminal:
        say(page)
        return
    for is_table, lines in itertools.groupby(page.splitlines(), lambda line: line.startswith("|")):
        if is_table:
            headings, _, *rows = map(_cells_in, lines)
            print_table(fitting(_page_tables(headings, rows, console.width), console), console)
        else:
            for line in lines:
                console.print(line, highlight=False, soft_wrap=True)


def _cells_in(line: str) -> list[str]:
    """The cells of a line of a table in Markdown.

    >>> _cells_in("| a | b \\\\| c |")
    ['a', 'b | c']
    """
    return [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _page_tables(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[Table]:
    """A table with ever fewer columns; long texts at its end are cut to what the others leave."""
    if any(cell_len(row[-1]) > _LONG for row in rows):
        others = sum(max(cell_len(row[place]) for row in [headings, *rows]) + 3 for place in range(len(headings) - 1))
        rows = [[*row[:-1], shortened(row[-1], max(_LONG, width - others))] for row in rows]
    if len(headings) <= _FEW:
        return [table_of("", headings, rows, names=len(headings))]
    return narrowing("", headings, rows, [each for each in _LESS if each in headings])
