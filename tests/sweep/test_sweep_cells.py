"""A job that was done is taken, one that was interrupted is resumed, one that is another now is run anew."""

import json
import os
from pathlib import Path

import pytest
from conftest import TINY
from omegaconf import OmegaConf

from embexp.config.compose import composed
from embexp.config.session import hydra_started
from embexp.core.run_context import RunContext
from embexp.core.run_folder import read_record, write_json
from embexp.errors import ConfigError, SkippedJobError, TrainingError
from embexp.experiment.plan import plan_run
from embexp.experiment.sweep_record import begin_sweep, end_sweep, find_sweep, job_folders, sweep_key, taken_from
from embexp.sweep.jobs import record_death, run_or_reuse
from embexp.sweep.start import _sweep_folder

QUICK = (*TINY, "trainer.max_steps=1")


def plan(folder, *overrides):

    with hydra_started():
        config, choices = composed([*QUICK, *overrides])
    folder.mkdir(parents=True, exist_ok=True)  # as Hydra does
    return plan_run(config, choices, folder)


def runs_in(store):
    import mlflow

    client = mlflow.MlflowClient(store)
    return client.search_runs([client.get_experiment_by_name("embexp").experiment_id])


def finish(planned, rerun, sweep="sweep-1"):
    return run_or_reuse(planned, rerun, RunContext(sweep=sweep))


def test_the_same_job_of_another_sweep_is_taken_and_counts_for_both(workplace, store):
    first, second = workplace / "sweeps/day/time/0", workplace / "sweeps/day/later/3"
    value = finish(plan(first, "loss=cosent"), "failed")
    assert finish(plan(second, "loss=cosent", "threads=2", "keep=none", "profile=true"), "failed", "sweep-2") == value
    assert taken_from(second) == first
    assert job_folders(second.parent) == [first]
    (run,) = runs_in(store)
    assert run.data.tags["embexp.sweep"] == "sweep-1 sweep-2"
    assert run.data.tags["embexp.folder"] == str(first)
    assert json.loads((first / "result.json").read_text())["tags"]["embexp.sweep"] == "sweep-1 sweep-2"
    third = workplace / "sweeps/day/last/0"
    finish(plan(third, "loss=cosent"), "all", "sweep-2")
    assert taken_from(third) is None
    assert len(runs_in(store)) == 2


@pytest.mark.slow
def test_a_run_that_was_deleted_in_mlflow_is_not_taken(workplace, store):
    import mlflow

    first, second = workplace / "sweeps/day/time/0", workplace / "sweeps/day/later/0"
    finish(plan(first), "failed")
    mlflow.MlflowClient(store).delete_run(read_record(first)["id"])
    finish(plan(second), "failed")
    assert taken_from(second) is None
    assert [run.data.tags["embexp.folder"] for run in runs_in(store)] == [str(second)]


@pytest.mark.slow
def test_a_job_whose_rows_have_changed_is_run_anew_and_the_old_one_is_marked(workplace, store):
    def write(word):
        rows = [f"{word} {place},words {place},{place % 5 / 4}" for place in range(60)]
        (workplace / "pairs.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]))

    folder = workplace / "sweeps/day/time/0"
    own = ("loss=cosent", "dataset=file", "dataset.reader.path=pairs.csv")
    write("some")
    finish(plan(folder, *own), "failed")
    write("other")
    finish(plan(folder, *own), "failed")
    (old,) = (folder.parent / "outdated").iterdir()
    assert read_record(old)["key"] != read_record(folder)["key"]
    runs = {run.data.tags["embexp.run"]: run.data.tags for run in runs_in(store)}
    assert "embexp.outdated" in runs[read_record(old)["key"]]
    assert "embexp.outdated" not in runs[read_record(folder)["key"]]


@pytest.mark.slow
def test_a_failed_job_is_tried_again_in_the_same_run_unless_none_is_requested(workplace, store):
    folder = workplace / "sweeps/day/time/0"
    with pytest.raises(TrainingError):
        finish(plan(folder, "loss.scale=1e39"), "failed")
    with pytest.raises(SkippedJobError, match=r"not tried again \(sweep.rerun=none\): .*loss is nan"):
        finish(plan(folder, "loss.scale=1e39"), "none")
    with pytest.raises(TrainingError):
        finish(plan(folder, "loss.scale=1e39"), "failed")
    (run,) = runs_in(store)
    assert run.info.status == "FAILED"


def test_a_job_whose_process_died_is_closed_as_failed(workplace, store):
    import mlflow

    folder = workplace / "sweeps/day/time/0"
    planned = plan(folder, "tracking.experiment=other")
    planned.tracker.prepare()
    planned.tracker.start("a/b/1", None, "key-1")
    write_json(folder / "run.json", {"key": "key-1", "name": "a/b/1"})
    record_death(folder, planned.tracker, "The process of the job ended by SIGKILL.", ["loss=mnrl"])
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("other").experiment_id])
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "The process of the job ended by SIGKILL.")
    result = json.loads((folder / "result.json").read_text())
    assert (result["run"]["status"], result["overrides"]) == ("FAILED", ["loss=mnrl"])


@pytest.mark.usefixtures("workplace")
def test_all_again_resumes_with_a_sweep_only_if_it_began_so_and_was_interrupted():
    def folder(rerun):
        return _sweep_folder(OmegaConf.create(asked | {"sweep": {"rerun": rerun}}), "key")

    asked = {"hydra": {"sweep": {"dir": "fresh"}, "overrides": {"hydra": []}}, "paths": {"sweeps": "sweeps"}}
    assert folder("failed") == folder("all") == Path("fresh")
    begin_sweep(Path("sweeps/day/1"), "key", [])
    assert (folder("failed"), folder("all")) == (Path("sweeps/day/1"), Path("fresh"))
    begin_sweep(Path("sweeps/day/2"), "key", [], begins_anew=True)
    assert folder("failed") == folder("all") == Path("sweeps/day/2")
    end_sweep(Path("sweeps/day/2"))
    assert (folder("failed"), folder("all")) == (Path("sweeps/day/2"), Path("fresh"))


def test_a_sweep_is_known_by_what_changes_its_results(workplace):
    key = sweep_key(["loss=a,b", "seed=1,2"], "config")
    same = ["sweep.workers=2", "loss=a,b", "seed=1,2", "threads=1", "profile=true", "paths.cache=null", "name=x"]
    assert sweep_key(same, "config") == key
    assert sweep_key(["loss=a,c", "seed=1,2"], "config") != key
    assert sweep_key(["sweep=losses", "loss=a,b", "seed=1,2"], "config") != key
    os.chdir(workplace.parent)
    assert sweep_key(["loss=a,b", "seed=1,2"], "config") != key


def test_the_latest_sweep_with_a_key_is_found_and_another_in_its_folder_is_refused(workplace):
    for time in ("01", "02", "03"):
        begin_sweep(workplace / "sweeps/day" / time, "other" if time == "03" else "mine", ["loss=a,b"])
    assert find_sweep(workplace / "sweeps", "mine") == workplace / "sweeps/day/02"
    assert find_sweep(workplace / "sweeps", "none") is None
    with pytest.raises(ConfigError, match=r"(?s)holds another sweep \(loss=a,b\).*hint: type hydra.sweep.dir=<folder>"):
        begin_sweep(workplace / "sweeps/day/03", "mine", ["loss=c,d"])
