"""RESULTS.md: what recipes gave on real data, for each size that was measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
HEADINGS = (
    "recipe",
    "base model",
    "trained on",
    "metric",
    "untouched",
    "trained, 95 % interval",
    "difference, 95 % interval",
    "verdict",
    "dev: untouched, trained",
    "published",
    "seeds",
    "s per run",
)
BESIDE = ("recipe", "control", "metric", "difference to the control, 95 % interval", "verdict")
INTRODUCTION = """# Results

Recipes (`conf/experiment/`) measured on real data. `make reproduce`, which is `python -m results.reproduce`, made this
page; what was finished before is not run again, whatever has changed since. Every line is a mean over seeds; its
interval holds seeds and examples both, that of a line with one seed the examples only. The checkpoint was picked on
dev, the verdict fell on the split that the metric names. Published figures are those of larger base models and more
data: what to compare is the order.
"""


def results_page(sizes: Sequence[Mapping[str, Any]], notes: str) -> str:
    """The page as Markdown.

    Args:
        sizes: for each size its name, rows and failures, as `results/<size>.json` holds them.
        notes: what a person has to say of it, Markdown; may be empty.
    """
    parts = [INTRODUCTION, *([notes.strip() + "\n"] if notes.strip() else [])]
    return "\n".join([*parts, *("\n".join(_section(each)) for each in sizes if each["rows"] or each["failures"])])


def _section(size: Mapping[str, Any]) -> Iterator[str]:
    rows = size["rows"]
    yield f"## size={size['size']}\n"
    devices = [*dict.fromkeys(row["device"] for row in rows)]
    yield f"Measured on {'; '.join(devices) or 'nothing yet'}.\n"
    if len(devices) > 1:
        yield from _table((*HEADINGS, "device"), [[*_line(row), row["device"]] for row in rows])
    else:
        yield from _table(HEADINGS, [_line(row) for row in rows])
    if beside := [_beside_line(row) for row in rows if row.get("beside")]:
        yield "The variants of a recipe beside its first one, paired by example:\n"
        yield from _table(BESIDE, beside)
    for failure in size["failures"]:
        yield f"- failed: {_escaped(failure)}"
    yield "\nThe commands, the commits and the runs in MLflow:\n"
    for name in dict.fromkeys(row["recipe"] for row in rows):
        of_recipe = [row for row in rows if row["recipe"] == name]
        runs = " ".join(run for row in of_recipe for run in row["runs"])
        found = f"; runs {runs}" if runs else ""
        yield f"- {name}: `{of_recipe[0]['command']}`; commit {_commits(of_recipe)}{found}"
    yield ""


def _commits(rows: Sequence[Row]) -> str:
    """Short commits of all rows, each once, with `+changes` where files differed."""
    heads = (commit.partition("+") for row in rows for commit in row["commit"].split(", "))
    return ", ".join(dict.fromkeys(f"{head[:12]}{plus}{changes}" for head, plus, changes in heads))


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    for line in (headings, ["---"] * len(headings), *([_escaped(cell) for cell in line] for line in lines)):
        yield f"| {' | '.join(line)} |"
    yield ""


def _line(row: Row) -> list[str]:
    dev = row["dev"]
    return [
        f"{row['recipe']} {row['variant']}".strip(),
        row["model"],
        f"{row['dataset']}, {row['train_rows']:,} rows as {row['shape']}; {_seen(row)}",
        row["metric"],
        f"{row['base']:.4f}",
        _estimate(row["score"]),
        _estimate(row["difference"], "+"),
        row["verdict"],
        f"{dev[0]:.4f}, {dev[1]:.4f}" if dev else "",
        row["published"],
        _seeds(row),
        f"{row['seconds']:.0f}",
    ]


def _seen(row: Row) -> str:
    """How many rows the training was shown, and the stages before it, as far as that is known.

    >>> _seen({"rows_trained": 1280, "rows_before": {"tsdae": 640}}), _seen({"rows_trained": 1280})
    ('1,280 seen after 640 in tsdae', '1,280 seen')
    """
    seen, before = f"{row['rows_trained']:,} seen", row.get("rows_before", {})
    if None in before.values():
        return f"{seen} in the main stage"
    told = ", ".join(f"{rows:,} in {stage}" for stage, rows in before.items())
    return f"{seen} after {told}" if told else seen


def _seeds(row: Row) -> str:
    number, (_, low, _) = len(row["seeds"]), row["score"]
    return "1 (examples only)" if number == 1 and low is not None else str(number)


def _beside_line(row: Row) -> list[str]:
    beside = row["beside"]
    difference = _estimate(beside["difference"], "+")
    return [f"{row['recipe']} {row['variant']}", beside["control"], row["metric"], difference, beside["verdict"]]


def _estimate(values: Sequence[float | None], sign: str = "") -> str:
    """A value with its interval, where there is one.

    >>> _estimate([0.5, 0.4, 0.6]), _estimate([0.5, None, None], "+")
    ('0.5000 (0.4000 to 0.6000)', '+0.5000')
    """
    value, low, high = (math.nan if each is None else each for each in values)
    interval = "" if math.isnan(low) else f" ({low:{sign}.4f} to {high:{sign}.4f})"
    return f"{value:{sign}.4f}{interval}"


def _escaped(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())
