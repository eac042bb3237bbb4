"""Eight workers of one sweep record in one PostgreSQL, whose server is started anew in the middle."""

import json
import re
import subprocess
import time

import pytest
from conftest import TINY
from servers import postgres, program, unprivileged
from typed_commands import typed

from embexp.core.run_folder import IS_BEHIND

JOBS, STEPS, PATIENCE = 8, 20, 500


def restart(uri: str) -> None:
    """End the server of this address at once, with all its connections, and start it again."""
    import psycopg

    with psycopg.connect(re.sub(r"\+psycopg", "", uri)) as connection:
        (data,) = connection.execute("SHOW data_directory").fetchone()
    call = [program("pg_ctl"), "-D", data, "-m", "immediate", "-l", f"{data}/../log", "-w", "restart"]
    subprocess.run(call, cwd=data, check=True, stdout=subprocess.DEVNULL, **unprivileged())


@pytest.mark.matrix
def test_eight_workers_record_all_runs_once_though_the_server_is_started_anew(workplace):
    import mlflow

    grid = ("-m", *TINY, "sweep.workers=8", f"seed={','.join(map(str, range(JOBS)))}", f"trainer.max_steps={STEPS}")
    with postgres() as uri:
        command = typed(workplace, *grid, f"tracking.uri={uri}", "hydra.sweep.dir=sweep")
        end = time.monotonic() + PATIENCE
        while not [*workplace.glob("sweep/*/metrics.jsonl")] and command.process.is_alive() and time.monotonic() < end:
            time.sleep(0.05)
        restart(uri)
        code = command.wait(PATIENCE)
        assert code in (0, IS_BEHIND), command.text()
        if code:  # what was on its way when the server went
            synced = typed(workplace, "sync", "sweep")
            assert synced.wait(PATIENCE) == 0, synced.text()
        client = mlflow.MlflowClient(uri)
        runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        children = [run for run in runs if run not in parents]
        results = [json.loads(path.read_text()) for path in sorted((workplace / "sweep").glob("*/result.json"))]
        assert len(parents) == 1
        assert sorted(run.info.run_id for run in children) == sorted(each["run"]["id"] for each in results)
        assert len(children) == len(results) == JOBS
        assert {run.info.status for run in runs} == {"FINISHED"}
        for result in results:
            (run,) = (run for run in children if run.info.run_id == result["run"]["id"])
            metric = "test/sts/spearman_cosine"
            assert run.data.metrics[metric] == pytest.approx(result["metrics"][metric])
            lines = (workplace / "sweep" / str(result["params"]["seed"]) / "metrics.jsonl").read_text().splitlines()
            losses = [each for each in map(json.loads, lines) if "train/loss" in each["metrics"]]
            written = [(each["step"], each["metrics"]["train/loss"]) for each in losses]
            sent = [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, "train/loss")]
            assert sorted(sent) == sorted(written)
            assert len(sent) == STEPS
