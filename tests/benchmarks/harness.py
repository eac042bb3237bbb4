"""What the benchmarks share: two sides in turn, each in a fresh process, and the ratio of what they took.

No library fits: pyperf and asv calibrate functions of microseconds and do not run two commands in turn, which a noisy
machine needs; pytest-benchmark measures within one process, where a start-up and a peak of memory cannot be seen.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Numbers = dict[str, float]
PACKAGES = ("torch", "transformers", "sentence-transformers", "mlflow")
FOLDER = Path(__file__).parent
LIMIT = "limit"
TINY = os.environ.get("BENCHMARK_TINY") == "1"


Side = Callable[..., float | Numbers]  # measures one side with a case's arguments: its seconds, or more


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        name: what is measured.
        claimed: the ratio of seconds, first side to second, that it must not be above.
        arguments: what both sides get.
    """

    name: str
    claimed: float
    arguments: Mapping[str, Any]


def sized(full: T, tiny: T) -> T:
    """The size of what a benchmark works on: `tiny` under BENCHMARK_TINY=1, as tests/test_benchmarks.py runs them all.

    Tiny benchmarks are repeated once and leave no results.
    """
    return tiny if TINY else full


def main(
    file: str, doc: str | None, cases: Sequence[Case], sides: Mapping[str, Side], limit: Side | None = None
) -> None:
    """The command line of a benchmark: all cases, or (in a process of its own) one side of one case.

    Args:
        sides: two of them; the ratio is that of the first to the second.
        limit: seconds that the arithmetic alone takes at the rate of this machine's matrix products.
    """
    given = options(doc, {**sides, LIMIT: limit} if limit else sides)
    rows = []
    for case in (case for case in cases if given.only in case.name):
        found: dict[str, list[Numbers]] = {side: [] for side in sides}
        for _ in range(given.repeats):
            for side in sides:
                found[side].append(run_side(file, side, case.arguments))
        rows.append(row_of(case, found))
        if limit:
            rows[-1][LIMIT] = run_side(file, LIMIT, case.arguments)["seconds"]
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    report(file, rows)


def options(doc: str | None, sides: Mapping[str, Side]) -> argparse.Namespace:
    """What was typed; where it was one side (by `run_side`), that is measured, its numbers printed, and all is done."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=sized(3, 1))
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(measured(lambda: sides[given.side](**given.arguments))))
        sys.exit()
    return given


def run_side(file: str, side: str, arguments: Mapping[str, Any]) -> Numbers:
    """One side in a fresh process and an empty folder; its numbers are the last line that it prints."""
    command = [sys.executable, str(Path(file).resolve()), "--side", side, "--arguments", json.dumps(arguments)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def row_of(case: Case, found: Mapping[str, list[Numbers]]) -> dict[str, Any]:
    """A row from what both sides measured, repeat by repeat: medians, and median and spread of their ratio."""
    ratios = [first["seconds"] / second["seconds"] for first, second in zip(*found.values(), strict=True)]
    return {
        "name": case.name,
        "claimed": case.claimed,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "sides": {side: medians(numbers) for side, numbers in found.items()},
    }


def medians(numbers: list[Numbers]) -> Numbers:
    """The median of each number over the repeats.

    >>> medians([{"seconds": 1.0}, {"seconds": 5.0}, {"seconds": 2.0}])
    {'seconds': 2.0}
    """
    return {key: statistics.median(each[key] for each in numbers) for key in numbers[0]}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown: seconds and peak memory of both sides, ratio with its spread, and what is claimed."""
    first, second = rows[0]["sides"]
    lines = [
        f"| case | {first} s | {second} s | ratio (spread) | claimed | limit s | {first} MB | {second} MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ours, peer = row["sides"].values()
        lines.append(
            f"| {row['name']} | {ours['seconds']:.4g} | {peer['seconds']:.4g} | {row['ratio']:.2g} "
            f"({min(row['ratios']):.2g} to {max(row['ratios']):.2g}) | {row['claimed']:.2f} | "
            f"{format(row[LIMIT], '.2g') if LIMIT in row else ''} | {ours['peak_mb']:,.0f} | {peer['peak_mb']:,.0f} |"
        )
    return "\n".join(lines)


def report(file: str, rows: list[dict[str, Any]]) -> None:
    """Print the table, and leave the numbers beside the file in `results/<name>.json`, the table in `<name>.md`."""
    text = table(rows)
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(text)
    if TINY:
        return
    results = FOLDER / "results"
    results.mkdir(exist_ok=True)
    content = json.dumps({"machine": machine(), "rows": rows}, indent=2)
    (results / f"{Path(file).stem}.json").write_text(content + "\n", encoding="utf-8")
    (results / f"{Path(file).stem}.md").write_text(text + "\n", encoding="utf-8")


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "cpus": str(os.cpu_count()),
        "platform": platform.machine(),
        "python": platform.python_version(),
        **versions,
    }


def measured(work: Callable[[], float | Numbers]) -> Numbers:
    """What `work` says it took, and the peak of resident memory in MB: of this process or of one that it started."""
    found = work()
    numbers = found if isinstance(found, dict) else {"seconds": found}
    kilobytes = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {**numbers, "peak_mb": kilobytes / 1024}


def seconds_of(work: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def matrix_products_per_second(shape: tuple[int, int, int] = (4096, 384, 1536), **options: Any) -> float:
    """FLOP per second of matrix products, the best of several: of float32 on all cores, of a shape as MiniLM has them.

    Args:
        options: `dtype` and `device` of the matrices.
    """
    import torch

    rows, inner, columns = shape
    first, second = torch.randn(rows, inner, **options), torch.randn(inner, columns, **options)

    def multiply() -> None:
        product = first @ second
        product[0, 0].item()  # waits for a GPU

    return 2 * rows * inner * columns / min(seconds_of(multiply) for _ in range(50))
