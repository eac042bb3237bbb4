"""A leaderboard of 1,000 runs: from MLflow's store to all its files, compared with MLflow's own table of the same runs.

    python tests/benchmarks/leaderboard.py

The store (SQLite; 60 parameters, 80 metrics and 12 tags a run) is made first, in a minute or two, and is not measured.
The peer only reads: `mlflow.search_runs`, which makes a table of pandas.
"""

import random
import tempfile
from pathlib import Path

from harness import Case, Numbers, options, report, row_of, run_side, seconds_of, sized

LOSSES, MODELS, SEEDS = sized((40, 5, 5), (2, 2, 2))
RUNS, PARAMS, METRICS = LOSSES * MODELS * SEEDS, 60, 80
CASE = Case("1,000 runs, all of it", 2.0, {})
EXPERIMENT = "embexp"


def make_store(uri: str) -> None:
    """Runs of every loss on every model with every seed."""
    from embexp.tracking.mlflow_tracker import MlflowTracker

    draw = random.Random(0)
    client = MlflowTracker(uri, EXPERIMENT, log_model=False, checkpoint="none", telemetry=False).client
    experiment = client.create_experiment(EXPERIMENT)
    for number in range(RUNS):
        run = client.create_run(experiment, run_name=f"run {number}").info.run_id
        _log(client, run, number, draw)
        client.set_terminated(run, "FINISHED")


def _log(client, run: str, number: int, draw: random.Random) -> None:
    from mlflow.entities import Metric, Param, RunTag

    from embexp.core.run_folder import LAYOUT, LAYOUT_TAG

    loss, model, seed = number % LOSSES, number // LOSSES % MODELS, number // LOSSES // MODELS
    params = {"loss": f"loss {loss}", "model": f"model {model}", "dataset": "finance", "seed": seed}
    params |= {f"loss.argument_{place}": f"{loss}.{place}" for place in range(10)}
    params |= {f"trainer.argument_{place}": place for place in range(PARAMS - len(params))}
    gain = draw.gauss((loss - LOSSES / 2) / 200, 0.01)
    metrics = {"base/sts/spearman_cosine": 0.5 + model / 20, "delta/sts/spearman_cosine": gain}
    metrics["test/sts/spearman_cosine"] = metrics["base/sts/spearman_cosine"] + gain
    for key, value in [*metrics.items()]:
        metrics |= {f"{key}_low": value - 0.02, f"{key}_high": value + 0.02}
    metrics |= {f"cost/{name}": draw.uniform(100, 1000) for name in ("seconds", "encode_texts_per_second")}
    metrics |= {f"dev/sts/metric_{place}": draw.random() for place in range(METRICS - len(metrics))}
    tags = {"primary": "test/sts/spearman_cosine", "evaluated.sts/test": "rows", LAYOUT_TAG: str(LAYOUT)}
    tags |= {f"version.package_{place}": "1.0" for place in range(10)}
    client.log_batch(
        run,
        [Metric(key, value, 0, 0) for key, value in metrics.items()],
        [Param(key, str(value)) for key, value in params.items()],
        [RunTag(key, value) for key, value in tags.items()],
    )


def embexp_side(uri: str) -> Numbers:
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
    assert len(found["board"].trained) == LOSSES * MODELS
    return {"seconds": sum(parts.values()), **parts}


def peer_side(uri: str) -> float:
    """Seconds of MLflow's table."""
    import mlflow

    def read() -> None:
        mlflow.set_tracking_uri(uri)
        assert len(mlflow.search_runs(experiment_names=[EXPERIMENT])) == RUNS

    return seconds_of(read)


def main() -> None:
    sides = {"embexp": embexp_side, "peer": peer_side}
    given = options(__doc__, sides)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        make_store(uri)
        found = {side: [] for side in sides}
        for _ in range(given.repeats):
            for side in sides:
                found[side].append(run_side(__file__, side, {"uri": uri}))
    report(__file__, [row_of(CASE, found)])
    print(", ".join(f"{key} {value:.2f}" for key, value in found["embexp"][-1].items()))


if __name__ == "__main__":
    main()
