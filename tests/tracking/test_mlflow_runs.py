"""Runs read back from a real MLflow store."""

import pytest

from embexp.errors import ConfigError, TrackingError
from embexp.tracking.mlflow_runs import MlflowRuns
from embexp.tracking.mlflow_tracker import MlflowTracker


def tracker_of(store: str) -> MlflowTracker:
    tracker = MlflowTracker(store, "toy", log_model=False, checkpoint="none", telemetry=False)
    tracker.prepare()
    return tracker


@pytest.fixture
def sweep(store, tmp_path):
    """The id of a sweep's parent run with two jobs, in a store that holds another run, too."""
    parent = tracker_of(store).start("sweep")
    for number in (1, 2):
        job = tracker_of(store)
        job.start(f"job {number}", parent)
        job.log_params({"loss": "mnrl", "seed": number})
        job.log_metrics({"test/beir/ndcg_at_10": 0.1 * number})
        job.log_tags({"primary": "test/beir/ndcg_at_10"})
        (tmp_path / "sts_test.parquet").write_text(f"examples of {number}")
        job.log_artifact(tmp_path / "sts_test.parquet", "examples")
        job.finish("FINISHED" if number == 1 else "FAILED")
    tracker_of(store).start("alone")
    return parent


def test_the_jobs_of_a_sweep_come_with_all_that_is_known_of_them(store, sweep, tmp_path):
    first, second = MlflowRuns(tracker_of(store), tmp_path / "files").below(sweep)
    assert (first.name, first.status, second.status) == ("job 1", "FINISHED", "FAILED")
    assert (first.params, first.seed) == ({"loss": "mnrl", "seed": "1"}, "1")
    assert first.metrics == {"test/beir/ndcg_at_10": 0.1}
    assert (first.primary, first.tags) == ("test/beir/ndcg_at_10", {"primary": "test/beir/ndcg_at_10"})
    assert 0 < first.ended <= second.ended


def test_examples_are_fetched_when_they_are_requested(store, sweep, tmp_path):
    first, second = MlflowRuns(tracker_of(store), tmp_path / "files").below(sweep)
    assert not (tmp_path / "files").exists()
    assert [run.examples("sts_test").read_text() for run in (first, second)] == ["examples of 1", "examples of 2"]
    assert first.examples("sts_dev") is None


@pytest.mark.usefixtures("sweep")
def test_runs_are_found_by_mlflows_own_filter(store, tmp_path):
    runs = MlflowRuns(tracker_of(store), tmp_path)
    assert [run.name for run in runs.matching("params.seed = '2'")] == ["job 2"]
    assert len(runs.matching("")) == 3  # without the parent, which only holds others
    with pytest.raises(
        ConfigError, match=r"^filter=params\.seed == 2 is no filter that MLflow under.* says: "
    ) as error:
        runs.matching("params.seed == 2")
    assert runs.matching(error.value.problems[0].fix[0].removeprefix("filter=").strip('"')) == []


def test_more_runs_than_one_answer_holds_all_come(store, sweep, tmp_path, monkeypatch):
    monkeypatch.setattr("embexp.tracking.mlflow_runs._PAGE", 1)
    assert len(MlflowRuns(tracker_of(store), tmp_path).below(sweep)) == 2


def test_sweeps_and_experiments_that_are_not_there_are_named(store, tmp_path):
    runs = MlflowRuns(tracker_of(store), tmp_path)
    with pytest.raises(ConfigError, match=r"^sweep=0{32} is neither a sweep's folder nor a run in MLflow"):
        runs.below("0" * 32)
    runs.tracker.experiment = "other"
    with pytest.raises(ConfigError, match=r"^tracking\.experiment=other is no experiment in MLflow at ") as error:
        runs.matching("")
    known = runs.tracker.experiment = error.value.problems[0].fix[0].removeprefix("tracking.experiment=")
    assert f"this store has: {known}." in str(error.value)
    assert runs.matching("") == []


def test_reading_makes_no_store(tmp_path):
    tracker = MlflowTracker(
        f"sqlite:///{tmp_path}/mlflow.db", "toy", log_model=False, checkpoint="none", telemetry=False
    )
    for read in (lambda runs: runs.matching(""), lambda runs: runs.below("0" * 32)):
        with pytest.raises(
            ConfigError, match=r"^tracking\.uri=sqlite:.*mlflow\.db is not there\. Expected a store that "
        ):
            read(MlflowRuns(tracker, tmp_path))
    assert [*tmp_path.iterdir()] == []


def test_a_store_that_does_not_answer_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = MlflowTracker("http://127.0.0.1:9", "toy", log_model=False, checkpoint="none", telemetry=False)
    with pytest.raises(
        TrackingError, match=r"^MLflow at http://127\.0\.0\.1:9 cannot be read: (.|\n)*hint: type sweep="
    ):
        MlflowRuns(tracker, tmp_path).matching("")
