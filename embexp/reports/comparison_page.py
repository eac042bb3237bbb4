"""Two runs on one page of Markdown, which is readable on a terminal, too."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def comparison_page(found: Mapping[str, Any]) -> str:
    """The page of what `compare_runs` found."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {' and '.join(found['names'])}\n"
    for label, runs in zip(("first", "second"), found["runs"], strict=True):
        for run in runs:
            cost = "" if run["seconds"] is None else f", {run['seconds']:,.0f} s"
            told = f"{run['name']}, seed {run['seed']}{cost}; against its base: {run['verdict']}"
            yield f"- {label}: {told} ({run['folder']})"
    yield "\n## Metrics of the trained models: second minus first\n"
    yield from _table(
        ("metric", "first", "second", "difference", "95 % interval", "p (Holm)", "verdict"),
        [_metric_cells(row) for row in found["metrics"]],
    )
    yield f"\nIntervals and p hold how the examples vary{_of_seeds(found)}"
    if found["other_tests"]:
        yield "\n## Other tests of no difference (p not corrected for their number)\n"
        rows = [(row["metric"], row["test"], f"{row['p']:.4f}") for row in found["other_tests"]]
        yield from _table(("metric", "test", "p"), rows)
    for line in found["left_out"]:
        yield f"Not compared: {line}."
    yield "\n## What differs in the configuration\n"
    yield from _table(("key", "first", "second"), [tuple(map(str, row)) for row in found["configuration"]])
    yield "\n## What differs in data, weights and versions\n"
    yield from [f"- {line}" for line in found["data"]] or ["Nothing."]
    for name, rows in found["changed"].items():
        if rows:
            yield f"\n## Examples that changed most: {name}\n"
            yield "Errors go from 0 (right) to 1; change above 0: the second run's model does better.\n"
            headings = ("change", "gold", "first", "second", "texts")
            yield from _table(headings, [tuple(map(_shown, _changed_cells(row))) for row in rows])


def _of_seeds(found: Mapping[str, Any]) -> str:
    if found["lacks_seeds"]:
        return " (paired bootstrap), not how seeds do: name runs with more seeds, <run>,<run>, to have both."
    return " (paired bootstrap) and how seeds do (variance between the runs of each side)."


def _changed_cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (f"{row['change']:+.2f}", row["gold"], row["base"], row["trained"], " ⟷ ".join(row["texts"]))


def _metric_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = "-" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}"
    p = f"{row['p_holm']:.4f}" if "p_holm" in row else "-"
    means = zip((row["first"], row["second"]), row["stds"], strict=True)
    numbers = (
        *(f"{mean:.4f}{'' if math.isnan(std) else f' ± {std:.4f}'}" for mean, std in means),
        f"{row['difference']:+.4f}",
    )
    return (row["metric"], *numbers, interval, p, row["verdict"])


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["Nothing."]
    return [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows)]
