"""MLflow's stores under a parallel sweep: four processes, each with runs below one parent, and nothing is lost."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from servers import mlflow_server, postgres

from embexp.tracking.mlflow_tracker import PARENT_TAG, MlflowTracker
from embexp.tracking.store_limits import metric_name

pytestmark = pytest.mark.slow

NUM_PROCESSES, RUNS_EACH, NUM_STEPS, NUM_PARAMS = 4, 2, 15, 120
METRICS = ("train/loss", "train/dev/sts/spearman_cosine", "train/dev/geometry/effective_rank")
together: Barrier


def begin_together(barrier: Barrier) -> None:
    """What each process of the pool does first: keep the barrier, which no argument can carry."""
    global together
    together = barrier


def tracker_of(uri: str) -> MlflowTracker:
    return MlflowTracker(uri, "parallel", log_model=False, checkpoint="none", telemetry=False)


def value_at(process: int, number: int, step: int, place: int) -> float:
    """A value that no other metric of any run has at any step."""
    return process + number / 10 + step / 1000 + place / 100_000


def track_runs(uri: str, parent: str, process: int, folder: Path) -> list[str]:
    """What the jobs of one process of a sweep send; returns the ids of its runs."""
    tracker, ids = tracker_of(uri), []
    together.wait(timeout=60)
    for number in range(RUNS_EACH):
        name = f"{process}/{number}"
        tracker.prepare()
        ids.append(tracker.start(name, parent, key=name))
        tracker.log_params({f"key.{place}": f"{name}/{place}" for place in range(NUM_PARAMS)})
        tracker.log_tags({"verdict": name})
        tracker.log_data("toy", "train", name, "/data/toy.csv", 7)
        for step in range(1, NUM_STEPS + 1):
            values = {key: value_at(process, number, step, place) for place, key in enumerate(METRICS)}
            tracker.log_metrics(values, step)
        file = folder / f"{process}-{number}" / "result.json"
        file.parent.mkdir()
        file.write_text(name)
        tracker.log_artifact(file)
        tracker.finish("FINISHED")
    return ids


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Four processes that wait for each other before they begin; each imports MLflow once."""
    context = multiprocessing.get_context("spawn")
    start = {"initializer": begin_together, "initargs": (context.Barrier(NUM_PROCESSES),)}
    with ProcessPoolExecutor(NUM_PROCESSES, mp_context=context, **start) as processes:
        yield processes


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.matrix), "server"])
def new_store(request, workplace) -> Iterator[str]:
    """The URI of a store without tables: a SQLite file, a PostgreSQL database, or a server in front of one."""
    if request.param == "sqlite":
        yield f"sqlite:///{workplace / 'new.db'}"
        return
    with postgres() as database:
        if request.param == "postgresql":
            yield database
            return
        with mlflow_server(workplace, database) as uri:
            yield uri


def test_four_processes_at_once_lose_nothing_in_a_store_that_was_prepared_once(new_store, pool, workplace):
    sweep = tracker_of(new_store)
    sweep.prepare()
    parent = sweep.start("sweep")
    jobs = [pool.submit(track_runs, new_store, parent, process, workplace) for process in range(NUM_PROCESSES)]
    names = {
        run_id: (process, number)
        for process, job in enumerate(jobs)
        for number, run_id in enumerate(job.result(timeout=120))
    }
    sweep.finish("FINISHED")
    experiment = sweep.client.get_experiment_by_name("parallel").experiment_id
    runs = {run.info.run_id: run for run in sweep.client.search_runs([experiment])}
    assert runs.keys() == {parent, *names}
    assert len(names) == NUM_PROCESSES * RUNS_EACH
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for run_id, place in names.items():
        check_run(sweep.client, runs[run_id], parent, *place)


def check_run(client, run, parent: str, process: int, number: int) -> None:
    """Whether the store has all that a process sent of a run."""
    name = f"{process}/{number}"
    assert (run.info.run_name, run.data.tags[PARENT_TAG], run.data.tags["verdict"]) == (name, parent, name)
    assert run.data.params == {f"key.{place}": f"{name}/{place}" for place in range(NUM_PARAMS)}
    assert [data.dataset.digest for data in run.inputs.dataset_inputs] == [name]
    for place, key in enumerate(METRICS):
        history = [(entry.step, entry.value) for entry in client.get_metric_history(run.info.run_id, metric_name(key))]
        assert history == [(step, value_at(process, number, step, place)) for step in range(1, NUM_STEPS + 1)]
    assert Path(client.download_artifacts(run.info.run_id, "result.json")).read_text() == name
