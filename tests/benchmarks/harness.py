"""What the benchmarks share: two sides in turn, each in a fresh process, and the ratio of what they took.

No library fits: pyperf and asv calibrate functions of microseconds and do not run two commands in turn, which a noisy
machine needs; pytest-benchmark measures within one process, where a start-up and a peak of memory cannot be seen.
"""

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Numbers = dict[str, float]
PACKAGES = ("torch", "transformers", "sentence-transformers", "mlflow")
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        name: what is measured.
        limit: the ratio of seconds, embexp to peer, that is claimed.
        arguments: what both sides get, as `--key value`.
    """

    name: str
    limit: float
    arguments: Mapping[str, Any]


def run_side(file: str, side: str, arguments: Mapping[str, Any]) -> Numbers:
    """One side in a fresh process and an empty folder; its numbers are the last line that it prints."""
    options = [part for key, value in arguments.items() for part in (f"--{key}", str(value))]
    command = [sys.executable, str(Path(file).resolve()), "--side", side, *options]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(file: str, case: Case, repeats: int, sides: tuple[str, str] = ("embexp", "peer")) -> dict[str, Any]:
    """Both sides in turn, several times; medians, and median and spread of the ratio of their seconds."""
    found: dict[str, list[Numbers]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            found[side].append(run_side(file, side, case.arguments))
    ratios = [ours["seconds"] / peer["seconds"] for ours, peer in zip(*found.values(), strict=True)]
    return {
        "name": case.name,
        "limit": case.limit,
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
    lines = [
        "| case | embexp s | peer s | ratio (spread) | claimed | embexp MB | peer MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ours, peer = row["sides"].values()
        lines.append(
            f"| {row['name']} | {ours['seconds']:.1f} | {peer['seconds']:.1f} | {row['ratio']:.2f} "
            f"({min(row['ratios']):.2f} to {max(row['ratios']):.2f}) | {row['limit']:.2f} | {ours['peak_mb']:,.0f} | "
            f"{peer['peak_mb']:,.0f} |"
        )
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "cpus": str(os.cpu_count()),
        "platform": platform.machine(),
        "python": platform.python_version(),
        **versions,
    }


def report(file: str, cases: list[Case], repeats: int = 3) -> None:
    """Run all cases, print the table, and leave the numbers beside the file in `results/<name>.json`."""
    rows = []
    for case in cases:
        rows.append(compare(file, case, repeats))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(table(rows))
    results = FOLDER / "results"
    results.mkdir(exist_ok=True)
    content = {"machine": machine(), "rows": rows}
    (results / f"{Path(file).stem}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def measured(work: Callable[[], float]) -> Numbers:
    """What `work` says it took, and the peak of this process's resident memory in MB."""
    seconds = work()
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def seconds_of(work: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
