"""RESULTS.md: the notes with their figures filled in, and tables of all lines and of how they were measured."""

import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from results.findings import unmeasured_pairs
from results.prose import UNCORRECTED, filled

_Row = Mapping[str, Any]
_HEADINGS = (
    "line",
    "base model",
    "trained on",
    "metric",
    "untouched",
    "trained, 95 % interval",
    "difference, 95 % interval",
    "verdict",
    "dev: untouched, trained",
    "published",
)
_PAIR = ("recipe", "second", "first", "metric", "second minus first, 95 % interval", "verdict")
_PROTOCOL = ("line", "test examples", "seeds", "steps", "rows seen", "s per run", "commit", "fingerprints", "runs")
_INTRODUCTION = """# Results

Recipes (`conf/experiment/`) measured on real data. `make reproduce`, which is `python -m results.reproduce`, made this
page, the figures of its sentences and their verdicts included; what was finished before is not run again, whatever has
changed since. Every line is a mean over seeds; its interval holds seeds and examples both, that of a line with one seed
the examples only. The checkpoint was picked on dev, the verdict fell on the split that the metric names. Published
figures are those of larger base models and more data. [Reading a verdict](docs/verdicts.md) says what the words mean:
`undecided` says that so few examples and seeds cannot tell.

The verdicts of a recipe are corrected for their number: those of its variants against the untouched model, and those of
all pairs of its variants (Bonferroni, then Holm). † marks a verdict that is not: it is that of its own interval, of
runs before there was a correction, by a [rule](docs/error-rates.md#few-seeds) with narrower intervals than today's.
"""


def results_page(sizes: Sequence[Mapping[str, Any]], notes: str) -> str:
    """The page as Markdown.

    Args:
        sizes: for each size its name, rows, pairs, progress and failures, as `results/<size>.json` holds them.
        notes: a person's remarks, Markdown with figures to be filled in (`results.prose`); may be empty.

    Raises:
        ConfigError: the notes ask for a figure that is not known.
    """
    parts = [_INTRODUCTION, *([_wrapped(filled(notes, sizes)) + "\n"] if notes.strip() else [])]
    return "\n".join([*parts, *("\n".join(_section(each)) for each in sizes if each["rows"] or each["failures"])])


def _wrapped(text: str) -> str:
    """Paragraphs and list items, whose lengths changed as figures came in, with lines of at most 120 characters."""
    parts = re.split(r"\n(?=\n|- )", text.strip())
    return "\n".join(_filled_line(" ".join(part.split()), part.startswith("\n")) for part in parts)


def _filled_line(part: str, is_apart: bool) -> str:
    indent = "  " if part.startswith("- ") else ""
    lines = textwrap.fill(part, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n" * is_apart + lines


def _section(size: Mapping[str, Any]) -> Iterator[str]:
    rows, pairs = size["rows"], size["pairs"]
    yield f"## size={size['size']}\n"
    devices = [*dict.fromkeys(row["device"] for row in rows)]
    yield f"Measured on {'; '.join(devices) or 'nothing yet'}.{_progress(size)}\n"
    if len(devices) > 1:
        yield from _table((*_HEADINGS, "device"), [[*_line(row), row["device"]] for row in rows])
    else:
        yield from _table(_HEADINGS, [_line(row) for row in rows])
    if pairs:
        yield "The variants of a recipe beside each other, paired by example:\n"
        yield from _table(_PAIR, [_pair_line(pair) for pair in pairs])
    names = [*dict.fromkeys(row["recipe"] for row in rows)]
    missing = {name: pairs for name in names if (pairs := unmeasured_pairs(size, name))}
    if missing:
        yield "Not compared, as the values of single examples were not kept:\n"
        for name, of_recipe in missing.items():
            yield f"- {name}: {'; '.join(f'{second} and {first}' for first, second in of_recipe)}"
        yield ""
    for failure in size["failures"]:
        yield f"- failed: {_escaped(failure)}"
    yield "How each line was measured; what an older line did not record is left open:\n"
    yield from _table(_PROTOCOL, [_protocol_line(row) for row in rows])
    yield "The commands:\n"
    for name in names:
        yield f"- {name}: `{next(row['command'] for row in rows if row['recipe'] == name)}`"
    yield ""


def _progress(size: Mapping[str, Any]) -> str:
    """What share of the plan is done."""
    found = size.get("progress")
    if not found:
        return ""
    text = (
        f" Of {found['planned']} recipes {found['recipes']} are measured; of {found['questions']} questions about "
        f"these (a variant against the untouched model, or two variants) {found['decided']} are decided, "
        f"{found['undecided']} are not, and {found['not_compared']} were not asked."
    )
    if found["open_recipes"]:
        text += (
            f" More seeds may decide something in {found['open_recipes']} recipes: `make reproduce BUDGET=<time>` goes "
            "on with what is not measured, then with those."
        )
    return text


def _commits(rows: Sequence[_Row]) -> str:
    """Short commits of all rows, each once, with `+changes` where files differed."""
    heads = (commit.partition("+") for row in rows for commit in row["commit"].split(", "))
    return ", ".join(dict.fromkeys(f"{head[:12]}{plus}{changes}" for head, plus, changes in heads))


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    for line in (headings, ["---"] * len(headings), *([_escaped(cell) for cell in line] for line in lines)):
        yield f"| {' | '.join(line)} |"
    yield ""


def _line(row: _Row) -> list[str]:
    dev = row["dev"]
    return [
        _name(row),
        row["model"],
        f"{row['dataset']}, {row['train_rows']:,} rows as {row['shape']}",
        row["metric"],
        f"{row['base']:.4f}",
        _estimate_text(row["score"]),
        _estimate_text(row["difference"], "+"),
        _verdict(row),
        f"{dev[0]:.4f}, {dev[1]:.4f}" if dev else "",
        row["published"],
    ]


def _name(row: _Row) -> str:
    return f"{row['recipe']} {row['variant']}".strip()


def _verdict(found: _Row) -> str:
    """The verdict, with what would decide where that is known, and whether it is corrected."""
    if "corrected_for" not in found:
        return f"{found['verdict']} {UNCORRECTED}"
    return "; ".join(filter(None, (found["verdict"], found.get("needed"))))


def _pair_line(pair: _Row) -> list[str]:
    difference = _estimate_text(pair["difference"], "+")
    return [pair["recipe"], pair["second"], pair["first"], pair["metric"], difference, _verdict(pair)]


def _protocol_line(row: _Row) -> list[str]:
    known = {key: f"{row[key]:,}" if row.get(key) else "" for key in ("examples", "steps")}
    return [
        _name(row),
        known["examples"],
        _seeds(row),
        known["steps"],
        _seen(row),
        f"{row['seconds']:.0f}",
        _commits([row]),
        " ".join(row.get("fingerprints", ())),
        " ".join(row["runs"]),
    ]


def _seen(row: _Row) -> str:
    """How many rows the training and the stages before it were shown, as far as known.

    >>> _seen({"rows_trained": 1280, "rows_before": {"tsdae": 640}}), _seen({"rows_trained": 1280})
    ('1,280 after 640 in tsdae', '1,280')
    """
    seen, before = f"{row['rows_trained']:,}", row.get("rows_before", {})
    if None in before.values():
        return f"{seen} in the main stage"
    stages = ", ".join(f"{rows:,} in {stage}" for stage, rows in before.items())
    return f"{seen} after {stages}" if stages else seen


def _seeds(row: _Row) -> str:
    number, (_, low, _) = len(row["seeds"]), row["score"]
    return "1 (examples only)" if number == 1 and low is not None else str(number)


def _estimate_text(values: Sequence[float | None], sign: str = "") -> str:
    """A value with its interval, where there is one.

    >>> _estimate_text([0.5, 0.4, 0.6]), _estimate_text([0.5, None, None], "+")
    ('0.5000 (0.4000 to 0.6000)', '+0.5000')
    """
    value, low, high = (math.nan if each is None else each for each in values)
    interval = "" if math.isnan(low) else f" ({low:{sign}.4f} to {high:{sign}.4f})"
    return f"{value:{sign}.4f}{interval}"


def _escaped(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())
