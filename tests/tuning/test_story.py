"""Whole studies of a tiny model: trials below one parent, failures, trials that are stopped, more trials later."""

import csv
import json
from pathlib import Path

import pytest
from conftest import TINY
from studies import study

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose
from embexp.errors import ConfigError, TrainingError
from embexp.experiment.execute import execute
from embexp.experiment.plan import plan_run

SPACE = ("loss.scale=5,40", "trainer.learning_rate=tag(log, interval(1e-5, 1e-2))", "trainer.max_steps=2")
KEY = "dev/sts/spearman_cosine"


def runs_in(store):
    import mlflow

    client = mlflow.MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    trials = sorted((run for run in runs if run is not parent), key=lambda run: int(run.data.tags["embexp.trial"]))
    return client, parent, trials


@pytest.mark.slow
def test_trials_stand_below_one_parent_and_more_can_be_added(workplace, store, capsys):
    found = study(workplace / "study", *SPACE, "trials=2")
    again = study(workplace / "study", *SPACE, "trials=3")
    client, parent, trials = runs_in(store)
    assert [run.data.tags["embexp.trial"] for run in trials] == ["0", "1", "2"]
    assert {run.data.tags["embexp.study"] for run in (parent, *trials)} == {found["study"]}
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *trials)} == {"FINISHED"}
    assert trials[1].info.run_name == "trial 1: mnrl · tiny · 42"
    assert parent.data.params["space.loss.scale"] == "5,40"
    assert parent.data.params["trainer.max_steps"] == "2"
    assert parent.data.params["tune.sampler"] == "TPESampler"
    values = [run.data.metrics[KEY] for run in trials]
    assert {row["trial"]: row["value"] for row in again["trials"]} == dict(enumerate(values))
    assert [row["value"] for row in again["trials"]] == sorted(values, reverse=True)
    history = client.get_metric_history(parent.info.run_id, f"best/{KEY}")
    assert [(point.step, point.value) for point in history] == [(n, max(values[: n + 1])) for n in range(3)]
    assert {each.path for each in client.list_artifacts(parent.info.run_id)} >= {"trials.md", "trials.csv", "plots"}
    assert "| trial | dev | scale | learning_rate | outcome |" in parent.data.tags["mlflow.note.content"]
    with open(workplace / "study" / "trials.csv", encoding="utf-8") as file:
        assert [int(row["trial"]) for row in csv.DictReader(file)] == [row["trial"] for row in again["trials"]]
    printed = capsys.readouterr().out
    assert "2 of 3 trials" not in printed
    assert "3 of 3 trials, best" in printed
    assert "picked on dev, so its value there is flattered; the one on test is not" in printed


@pytest.mark.slow
def test_a_trial_is_the_run_that_its_values_alone_would_give(workplace):
    found = study(workplace / "study", *SPACE, "tracking=none", "trials=1")
    (row,) = found["trials"]
    drawn = [f"{key}={value}" for key, value in row["drawn"].items()]
    arguments = expand_paths([*TINY, "trainer.max_steps=2", "tracking=none", *drawn])
    choices = {"dataset": "finance", "model": "tiny", "loss": "mnrl", "modifier": "none", "trainer": "smoke"}
    alone = execute(plan_run(compose(arguments), choices, workplace / "alone")).content
    trial = json.loads((Path(row["folder"]) / "result.json").read_text())
    assert alone["primary_value"] == row["value"]
    measured = [key for key in alone["metrics"] if not key.startswith("cost/")]
    assert [alone["metrics"][key] for key in measured] == [trial["metrics"][key] for key in measured]


def test_a_finished_study_is_only_shown_again(workplace, monkeypatch, capsys):
    command = ("tracking=none", "loss.scale=5,40", "trainer.max_steps=2", "trials=1")
    found = study(workplace / "study", *command)
    monkeypatch.setattr("embexp.tuning.trials.execute", None)
    first = capsys.readouterr().out.partition("trials by")[2]
    assert study(workplace / "study", *command)["trials"] == found["trials"]
    assert capsys.readouterr().out.partition("trials by")[2] == first
    _edit_study(workplace / "study", "began", "main/train")
    with pytest.raises(ConfigError, match=r"has changed: main/train other is now .*\nhint: type tune.seed=\d+"):
        study(workplace / "study", *command)


def _edit_study(folder, part, key):
    record = json.loads((folder / "study.json").read_text())
    assert {"main/train", "prompts of main", "sts/dev"} <= {*record["began"]}
    record[part][key] = "other"
    (folder / "study.json").write_text(json.dumps(record))


@pytest.mark.slow
def test_a_failed_trial_does_not_end_the_study(workplace, store, capsys):
    found = study(workplace / "study", "loss.scale=1e39,5", "tune.seed=1", "trainer.max_steps=2", "trials=2")
    states = [row["state"] for row in found["trials"]]
    assert states == ["done", "failed"]
    _, parent, trials = runs_in(store)
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in trials} == {"FINISHED", "FAILED"}
    assert "failed     trial" in capsys.readouterr().out
    assert found["trials"][-1]["note"].startswith("TrainingError: The loss is nan at step 1.")


@pytest.mark.slow
def test_a_study_all_of_whose_trials_fail_is_a_failure(workplace):
    with pytest.raises(TrainingError, match=r"^All 2 trials failed"):
        study(workplace / "study", "tracking=none", "loss.scale=1e39", "seed=1,2", "trials=2")
    assert json.loads((workplace / "study" / "result.json").read_text())["run"]["status"] == "FAILED"


@pytest.mark.slow
def test_a_hopeless_trial_is_stopped_and_shown_as_killed(workplace, store):
    pruning = ("tune.pruner.n_startup_trials=1", "tune.pruner.n_warmup_steps=0", "tune.sampler=random", "trials=4")
    found = study(workplace / "study", "trainer.learning_rate=tag(log, interval(1e-5, 1e-1))", *pruning)
    stopped = [row for row in found["trials"] if row["state"] == "stopped early"]
    assert stopped
    assert stopped[0]["note"] == "at evaluation 1"
    _, _, trials = runs_in(store)
    run = trials[stopped[0]["trial"]]
    assert (run.info.status, run.data.tags["pruned"]) == ("KILLED", "true")
    assert "error" not in run.data.tags
    assert run.data.metrics["train/dev/sts/spearman_cosine"] == stopped[0]["value"]
    result = json.loads((Path(stopped[0]["folder"]) / "result.json").read_text())
    assert result["run"]["status"] == "KILLED"
    assert result["pruned"].startswith("stopped at step 2, evaluation 1, with ")
    assert "primary" not in result


def test_a_tuning_without_a_dev_split_is_refused(workplace):
    rows = [f'{{"anchor": "question {number}", "positive": "answer {number}"}}' for number in range(40)]
    Path("rows").mkdir()
    for split in ("train", "test"):
        text = "\n".join(rows).replace("question", f"{split} question")
        Path(f"rows/{split}.jsonl").write_text(text, encoding="utf-8")
    data = ("dataset=./rows", "~dataset.steps.split", "evaluator=[retrieval]", "tracking=none")
    with pytest.raises(ConfigError, match=r"^retrieval has no dev split, only test\. Expected one to choose by"):
        study(workplace / "study", *data, "loss.scale=5,40", tiny=TINY[:3])
    assert not (workplace / "study").exists()


@pytest.mark.slow
def test_trials_on_other_rows_fail_as_they_cannot_be_compared(workplace):
    short = ("trainer.max_steps=1", "tracking=none", "tune.seed=1", "trials=2")
    done, failed = study(workplace / "study", "dataset=finance,finance_zh", *short)["trials"]
    assert (done["state"], done["drawn"]) == ("done", {"dataset": "finance"})
    assert (failed["state"], failed["drawn"]) == ("failed", {"dataset": "finance_zh"})
    assert "would be measured on other rows" in failed["note"]


@pytest.mark.slow
def test_values_that_were_drawn_before_are_not_trained_again(workplace, store):
    found = study(workplace / "study", "loss.scale=5,40", "tune.seed=2", "trainer.max_steps=1", "trials=3")
    _, _, trials = runs_in(store)
    assert [run.data.tags["embexp.trial"] for run in trials] == ["0", "2"]
    first, again, other = sorted(found["trials"], key=lambda row: row["trial"])
    assert first["drawn"] == again["drawn"] != other["drawn"]
    assert (again["value"], again["folder"], again["note"]) == (first["value"], first["folder"], "as trial 0")
