"""Whole runs with a tiny model: what they leave in the folder and in MLflow, however they end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import TINY

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose
from embexp.errors import TrainingError
from embexp.experiment.execute import execute
from embexp.experiment.plan import plan_run


def plan_of(folder, *overrides, context=None):
    """A tiny run; group choices go to the plan as Hydra's command line would pass them."""
    arguments = expand_paths([*TINY, *overrides])
    choices = {"dataset": "finance", "model": "minilm", "loss": "mnrl", "modifier": "none", "trainer": "default"}
    choices |= {key: value for key, _, value in (argument.partition("=") for argument in arguments) if key in choices}
    return plan_run(compose(arguments), choices, folder, context=context)


def run_of(client, experiment="embexp"):
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return run


def test_a_run_leaves_its_record_in_the_folder_and_in_mlflow(workplace, store):
    import mlflow

    folder = workplace / "run"
    result = execute(plan_of(folder)).content
    assert result["run"]["status"] == "FINISHED"
    assert result == json.loads((folder / "result.json").read_text()) | {"metrics": result["metrics"]}
    run = run_of(mlflow.MlflowClient(store))
    assert run.info.status == "FINISHED"
    assert "| test/sts/spearman_cosine\\* |" in run.data.tags["mlflow.note.content"]
    assert {each.tags[0].value for each in run.inputs.dataset_inputs} == {"train", "dev", "test", "base model"}
    assert run.info.run_name == "mnrl · tiny · 42"
    assert run.data.params["loss.class"].endswith("MultipleNegativesRankingLoss")
    assert run.data.params["loss.scale"] == "20.0"
    assert run.data.params["dataset.shape"] == "triplet"
    assert run.data.tags["verdict"] == result["verdict"]
    assert {"commit", "version.torch", "host.cpus", "data.train"} <= set(run.data.tags)
    for key in ("base/sts", "dev/sts", "test/sts", "delta/sts", "base/sts/dev"):
        assert f"{key}/spearman_cosine" in run.data.metrics
    base, trained = run.data.metrics["base/sts/spearman_cosine"], run.data.metrics["test/sts/spearman_cosine"]
    assert run.data.metrics["delta/sts/spearman_cosine"] == pytest.approx(trained - base)


@pytest.mark.slow
def test_warnings_of_the_check_stand_in_the_result_and_in_a_tag(workplace, store):
    import mlflow

    result = execute(
        plan_of(workplace / "run", "trainer.gradient_accumulation_steps=2", "modifier=adaptive_layer")
    ).content
    (warning,) = result["warnings"]
    assert "adds no negatives" in warning
    run = run_of(mlflow.MlflowClient(store))
    assert run.data.tags["data.warnings"] == warning
    assert (run.data.params["modifier"], run.data.params["modifier.n_layers_per_step"]) == ("adaptive_layer", "1")


def test_step_metrics_and_artifacts_are_logged(workplace, store):
    import mlflow

    execute(plan_of(workplace / "run"))
    client = mlflow.MlflowClient(store)
    run_id = run_of(client).info.run_id
    assert [metric.step for metric in client.get_metric_history(run_id, "train/loss")][:4] == [1, 2, 3, 4]
    assert [metric.step for metric in client.get_metric_history(run_id, "train/dev/sts/spearman_cosine")] == [0, 2, 4]
    paths = {artifact.path for artifact in client.list_artifacts(run_id)}
    assert {"config.yaml", "examples", "plots", "metrics.jsonl", "result.json"} <= paths
    (model,) = mlflow.search_logged_models(experiment_ids=[run_of(client).info.experiment_id], output_format="list")
    assert mlflow.sentence_transformers.load_model(model.model_uri).encode(["a bond"]).shape == (1, 32)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_metrics_whatever_ran_before(workplace):
    first = execute(plan_of(workplace / "1", "tracking=none")).content["metrics"]
    execute(plan_of(workplace / "2", "tracking=none", "loss=contrastive", "seed=1"))
    again = execute(plan_of(workplace / "3", "tracking=none")).content["metrics"]
    other = execute(plan_of(workplace / "4", "tracking=none", "seed=7")).content["metrics"]
    measured = [key for key in first if not key.startswith("cost/")]
    assert len(measured) > 40
    assert [first[key] for key in measured] == [again[key] for key in measured]
    assert [first[key] for key in measured] != [other[key] for key in measured]


@pytest.mark.matrix
@pytest.mark.parametrize("loss", ["mnrl", "cosine", "cosent", "softmax", "contrastive", "triplet"])
def test_every_loss_trains_on_the_bundled_corpus(loss, workplace):
    result = execute(plan_of(workplace / "run", "tracking=none", f"loss={loss}")).content
    assert result["metrics"]["test/sts/spearman_cosine"] != result["metrics"]["base/sts/spearman_cosine"]


@pytest.mark.slow
def test_a_stage_before_the_main_one_is_trained_first(workplace):
    stage = "+adapt.first={loss:{_target_:embexp.losses.distances.contrastive,_accepts_:[binary_pair],margin:0.4}}"
    plan = plan_of(workplace / "run", "tracking=none", stage)
    assert [stage.name for stage in plan.stages] == ["first", "main"]
    assert [stage.dataset.shape.name for stage in plan.stages] == ["binary_pair", "triplet"]
    execute(plan)
    assert (workplace / "run/stages/first/done").is_file()
    assert (workplace / "run/stages/main/model/modules.json").is_file()


def test_a_training_that_breaks_ends_failed_with_its_error(workplace, store):
    import mlflow

    plan = plan_of(workplace / "run", "loss=cosent", "loss.scale=1e39")
    with pytest.raises(TrainingError, match=r"The loss is nan at step 1\."):
        execute(plan)
    run = run_of(mlflow.MlflowClient(store))
    assert run.info.status == "FAILED"
    assert run.data.tags["error"].startswith("TrainingError: The loss is nan")
    assert json.loads((workplace / "run/result.json").read_text())["run"]["status"] == "FAILED"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.matrix)]
)
def test_a_stopped_run_ends_killed(sent, code, workplace, store):
    import mlflow

    command = [sys.executable, "-m", "embexp", *TINY, "trainer.max_steps=5000", "hydra.run.dir=run"]
    process = subprocess.Popen(command, cwd=workplace, env=os.environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    metrics = workplace / "run" / "metrics.jsonl"
    for _ in range(1800):
        if metrics.is_file() and "train/loss" in metrics.read_text():
            break
        time.sleep(0.1)
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert run_of(mlflow.MlflowClient(store)).info.status == "KILLED"
    assert json.loads((workplace / "run/result.json").read_text())["run"]["status"] == "KILLED"


def test_a_users_own_file_is_split_trained_and_evaluated(workplace):
    rows = [f"question {place}\tanswer {place}\t{place % 6}" for place in range(60)]
    (workplace / "mine.tsv").write_text("\n".join(["a\tb\trating", *rows]))
    columns = "dataset.reader.columns={sentence1:a,sentence2:b,score:rating}"
    plan = plan_of(
        workplace / "run",
        "dataset=mine.tsv",
        columns,
        "dataset.reader.score_range=[0,5]",
        "loss=cosent",
        "tracking=none",
    )
    sizes = {split: rows.num_rows for split, rows in plan.stages[0].dataset.splits.items()}
    assert sizes == pytest.approx({"train": 48, "dev": 6, "test": 6}, abs=6)
    assert sum(sizes.values()) == 60
    assert execute(plan).content["choices"]["dataset"] == "mine"
