"""The way of a run through its stages: what the model was worth untouched, after each stage, and in the end."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

HEADINGS = ("model", "score", "difference", "95 % interval", "verdict", "seconds")
MARK = {"better": "[green]better[/]", "worse": "[red]worse[/]"} | {
    verdict: verdict for verdict in ("no difference", "no interval")
}


def stages_table(result: Mapping[str, Any]) -> Table:
    """A row for the untouched model and one after each stage, by the metric that gives the verdict."""
    title = f"on the way: {result['primary']['key']}, differences to the untouched model"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("model", "verdict") else "right", no_wrap=True)
    for *cells, verdict, seconds in on_the_way(result):
        table.add_row(*cells, MARK.get(verdict, verdict), seconds)
    return table


def on_the_way_markdown(result: Mapping[str, Any]) -> list[str]:
    """The same as lines of Markdown; none of a run without stages before the main one."""
    if not result.get("stages"):
        return []
    lines: list[Sequence[str]] = [HEADINGS, ["---"] * len(HEADINGS), *on_the_way(result)]
    return [f"On the way, by {result['primary']['key']}:", "", *(f"| {' | '.join(line)} |" for line in lines), ""]


def on_the_way(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The cells of each row: model, score, difference with interval and verdict, seconds of training.

    >>> primary = {"evaluator": "sts", "split": "test", "metric": "spearman_cosine", "base": 0.5, "trained": 0.75,
    ...            "difference": 0.25, "low": 0.125, "high": 0.375, "verdict": "better"}
    >>> stage = {"name": "tsdae", "seconds": 2.0, "comparisons": [primary | {"trained": 0.625, "difference": 0.125}]}
    >>> costs = {"cost/train_seconds": 8.0}
    >>> for row in on_the_way({"primary": primary, "stages": [stage], "metrics": costs, "choices": {"loss": "mnrl"}}):
    ...     print(" ".join(row).strip())
    untouched 0.5000
    after tsdae 0.6250 +0.1250 +0.1250 to +0.3750 better 2.0
    after mnrl 0.7500 +0.2500 +0.1250 to +0.3750 better 8.0
    """
    primary = result["primary"]
    yield "untouched", f"{primary['base']:.4f}", "", "", "", ""
    for stage in result["stages"]:
        yield f"after {stage['name']}", *_judged(_same_metric(stage["comparisons"], primary)), f"{stage['seconds']:.1f}"
    seconds = result["metrics"]["cost/train_seconds"]
    yield f"after {result['choices']['loss']}", *_judged(primary), f"{seconds:.1f}"


def _same_metric(rows: Sequence[Mapping[str, Any]], primary: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of a stage that the run's verdict is of."""
    return next(row for row in rows if all(row[key] == primary[key] for key in ("evaluator", "split", "metric")))


def _judged(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = "-" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}"
    return f"{row['trained']:.4f}", f"{row['difference']:+.4f}", interval, row["verdict"]
