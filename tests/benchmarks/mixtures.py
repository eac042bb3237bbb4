"""Planning a mixture of many rows: seconds and peak memory, which must stay below 2 GB with five million rows.

    python tests/benchmarks/mixtures.py [rows ...]

Two sets of half the rows each, pairs under mnrl and scored pairs under cosent, as Parquet files; each size is planned
in a process of its own, without a cache from before. Planning reads, converts, checks and hashes all rows.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZES = (50_000, 500_000, 5_000_000)
_BATCH = 50_000


def write_sets(folder: Path, num_rows: int) -> None:
    """Half of the rows as pairs, half as scored pairs; no text is in two rows."""
    _write(
        folder / "pairs.parquet",
        num_rows // 2,
        {
            "anchor": lambda row: f"how is the price of bond number {row} found",
            "positive": lambda row: f"the bond {row} is priced by its yield and its term",
        },
    )
    _write(
        folder / "scores.parquet",
        num_rows // 2,
        {
            "sentence1": lambda row: f"rate {row} of the bank",
            "sentence2": lambda row: f"the bank's rate {row} went up",
            "score": lambda row: row % 11 / 10,
        },
    )


def _write(path: Path, num_rows: int, columns: dict[str, Callable[[int], object]]) -> None:
    import pyarrow
    import pyarrow.parquet

    writer = None
    for start in range(0, num_rows, _BATCH):
        rows = range(start, min(num_rows, start + _BATCH))
        table = pyarrow.table({name: [*map(make, rows)] for name, make in columns.items()})
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def planned() -> dict[str, int]:
    """The training rows of each set of the mixture in the working directory, once its run is planned."""
    from embexp.cli.overrides import expand_paths
    from embexp.config.compose import composed
    from embexp.config.session import hydra_started
    from embexp.experiment.plan import plan_run

    typed = ["model=tiny", "trainer=smoke", "tracking=none", "dataset=[pairs.parquet,scores.parquet]"]
    with hydra_started():
        config, choices = composed(expand_paths([*typed, "dataset.scores.loss=cosent", "test=finance"], mixes=True))
    plan = plan_run(config, choices, Path("run"))
    return {part.name: part.dataset.splits["train"].num_rows for part in plan.stages[-1].sets}


def _in_this_process(num_rows: int) -> None:
    write_sets(Path(), num_rows)
    start = time.perf_counter()
    rows = sum(planned().values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "linux" else 1e9)
    print(f"{rows:,} rows planned in {time.perf_counter() - start:.0f} s, peak memory {peak:.2f} GB")


def main() -> None:
    from harness import sized  # not where a test imports this module

    here = Path(__file__).resolve()
    for size in map(int, sys.argv[1:] or sized(SIZES, (200,))):
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"PYTHONPATH": str(here.parents[2]), "MIXTURE_ROWS": str(size)}
            subprocess.run([sys.executable, str(here)], cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    if "MIXTURE_ROWS" in os.environ:
        _in_this_process(int(os.environ["MIXTURE_ROWS"]))
    else:
        main()
