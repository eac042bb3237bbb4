"""A leaderboard of 1,000 and of 10,000 runs: from MLflow's store to all its files, beside MLflow's table.

    python tests/benchmarks/leaderboard.py [--only 10,000]

The store (SQLite; 60 parameters, 80 metrics and 12 tags a run) is made first, and is not measured. Its first run goes
through MLflow's client, which also makes the tables; the others are written into these as the client writes them, in
one transaction: 10,000 runs in half a minute, not in a quarter of an hour. tests/test_benchmarks.py holds that
both ways give the same runs. The peer only reads: `mlflow.search_runs`, which makes a table of pandas.
"""

import random
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness import Case, Numbers, options, report, row_of, run_side, seconds_of, sized

PARAMS, METRICS = 60, 80
EXPERIMENT = "embexp"


class Grid(NamedTuple):
    """A run for every loss on every model with every seed."""

    losses: int
    models: int
    seeds: int

    @property
    def runs(self) -> int:
        return self.losses * self.models * self.seeds


CASES = (
    Case("1,000 runs, all of it", 2.0, {"grid": sized((40, 5, 5), (2, 2, 2))}),
    Case("10,000 runs, all of it", 2.0, {"grid": sized((400, 5, 5), (3, 2, 2))}),
)


class Content(NamedTuple):
    """What a run has."""

    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


def contents(grid: Grid) -> Iterator[Content]:
    """Those of all runs of a grid, the same each time."""
    draw = random.Random(0)
    yield from (_content(number, grid, draw) for number in range(grid.runs))


def _content(number: int, grid: Grid, draw: random.Random) -> Content:
    from embexp.core.run_folder import LAYOUT, LAYOUT_TAG

    loss, place = number % grid.losses, number // grid.losses
    model, seed = place % grid.models, place // grid.models
    params = {"loss": f"loss {loss}", "model": f"model {model}", "dataset": "finance", "seed": seed}
    params |= {f"loss.argument_{place}": f"{loss}.{place}" for place in range(10)}
    params |= {f"trainer.argument_{place}": place for place in range(PARAMS - len(params))}
    gain = draw.gauss((loss / grid.losses - 0.5) / 5, 0.01)
    metrics = {"base/sts/spearman_cosine": 0.5 + model / 20, "delta/sts/spearman_cosine": gain}
    metrics["test/sts/spearman_cosine"] = metrics["base/sts/spearman_cosine"] + gain
    for key, value in [*metrics.items()]:
        metrics |= {f"{key}_low": value - 0.02, f"{key}_high": value + 0.02}
    metrics |= {f"cost/{name}": draw.uniform(100, 1000) for name in ("seconds", "encode_texts_per_second")}
    metrics |= {f"dev/sts/metric_{place}": draw.random() for place in range(METRICS - len(metrics))}
    tags = {"primary": "test/sts/spearman_cosine", "evaluated.sts/test": "rows", LAYOUT_TAG: str(LAYOUT)}
    tags |= {f"version.package_{place}": "1.0" for place in range(10)}
    return Content({key: str(value) for key, value in params.items()}, metrics, tags)


def send(client, experiment: str, number: int, content: Content) -> None:
    """A run through MLflow's client."""
    from mlflow.entities import Metric, Param, RunTag

    run = client.create_run(experiment, run_name=f"run {number}").info.run_id
    client.log_batch(
        run,
        [Metric(key, value, 0, 0) for key, value in content.metrics.items()],
        [Param(key, value) for key, value in content.params.items()],
        [RunTag(key, value) for key, value in content.tags.items()],
    )
    client.set_terminated(run, "FINISHED")


def make_store(database: Path, grid: Grid) -> None:
    """The store of a grid's runs: the first one by `send`, the others as copies of its rows with their own content."""
    from embexp.tracking.mlflow_tracker import MlflowTracker

    every = contents(grid)
    tracker = MlflowTracker(f"sqlite:///{database}", EXPERIMENT, log_model=False, checkpoint="none", telemetry=False)
    send(tracker.client, tracker.client.create_experiment(EXPERIMENT), 0, next(every))
    connection = sqlite3.connect(database)
    with connection:
        for number, content in enumerate(every, 1):
            _write(connection, number, content)
    connection.close()


def _write(connection: sqlite3.Connection, number: int, content: Content) -> None:
    """A run into the tables that MLflow 3.17 has; its times and places are those of the first one."""
    run, name = uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex, f"run {number}"
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(runs)")]
    own = {"run_uuid": "?", "name": "?", "start_time": "start_time + ?"}
    copied = ", ".join(own.get(column, column) for column in columns)
    values = [{"run_uuid": run, "name": name, "start_time": number}[column] for column in columns if column in own]
    connection.execute(f"INSERT INTO runs SELECT {copied} FROM runs WHERE name = 'run 0'", values)
    insert = connection.executemany
    insert(
        "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", ((*each, run) for each in content.params.items())
    )
    tags = {"mlflow.runName": name} | content.tags
    insert("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", ((*each, run) for each in tags.items()))
    for table in ("metrics", "latest_metrics"):
        into = f"INSERT INTO {table} (key, value, run_uuid, timestamp, step, is_nan) VALUES (?, ?, ?, 0, 0, 0)"
        insert(into, ((*each, run) for each in content.metrics.items()))


def embexp_side(uri: str, grid: list[int]) -> Numbers:
    """Seconds from the store to the files, and of each part."""
    from embexp.leaderboards.make import make_leaderboard, write_leaderboard
    from embexp.tracking.mlflow_runs import MlflowRuns
    from embexp.tracking.mlflow_tracker import MlflowTracker

    tracker = MlflowTracker(uri, EXPERIMENT, log_model=False, checkpoint="none", telemetry=False)
    found = {}
    parts = {"opening": seconds_of(lambda: tracker.client.search_experiments())}
    parts["reading"] = seconds_of(lambda: found.update(runs=MlflowRuns(tracker, Path("downloads")).matching("")))
    parts["making"] = seconds_of(lambda: found.update(board=make_leaderboard(found["runs"])))
    parts["writing"] = seconds_of(lambda: write_leaderboard(found["board"], Path("board")))
    assert len(found["board"].trained) == grid[0] * grid[1]
    return {"seconds": sum(parts.values()), **parts}


def peer_side(uri: str, grid: list[int]) -> float:
    """Seconds of MLflow's table."""
    import mlflow

    def read() -> None:
        mlflow.set_tracking_uri(uri)
        assert len(mlflow.search_runs(experiment_names=[EXPERIMENT])) == Grid(*grid).runs

    return seconds_of(read)


def main() -> None:
    sides = {"embexp": embexp_side, "peer": peer_side}
    given = options(__doc__, sides)
    rows = []
    for case in (case for case in CASES if given.only in case.name):
        found = {side: [] for side in sides}
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder) / "mlflow.db"
            make_store(database, Grid(*case.arguments["grid"]))
            for _ in range(given.repeats):
                for side in sides:
                    arguments = {"uri": f"sqlite:///{database}", **case.arguments}
                    found[side].append(run_side(__file__, side, arguments))
        rows.append(row_of(case, found))
        print(f"{case.name}: " + ", ".join(f"{key} {value:.2f}" for key, value in found["embexp"][-1].items()))
    report(__file__, rows)


if __name__ == "__main__":
    main()
