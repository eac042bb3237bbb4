"""The export command: the same as within a run, for the same tracked run; plain models; what it refuses."""

import json
import shutil
import subprocess
import sys

import pytest
from conftest import TINY
from omegaconf import OmegaConf

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose
from embexp.core.claims import held
from embexp.core.run_folder import LAYOUT
from embexp.errors import ConfigError, ExportError
from embexp.experiment.execute import execute
from embexp.experiment.export_run import export
from embexp.experiment.plan import plan_run

CHOICES = {"dataset": "finance", "model": "tiny", "loss": "mnrl", "modifier": "none", "trainer": "smoke"}
FORMS = "export=[int8,binary,onnx]"


def call(*overrides, **choices):
    arguments = expand_paths(overrides)
    given = {key: value for key, _, value in (each.partition("=") for each in arguments) if "." not in key}
    return export(compose(arguments, "export"), given | choices)


def run_once(folder, *overrides):
    return execute(plan_run(compose([*TINY, *overrides]), CHOICES, folder)).content


def without_times(metrics):
    return {key: value for key, value in metrics.items() if key.startswith("export/") and "speed" not in key}


@pytest.mark.slow
def test_the_command_gives_what_the_run_gave(workplace, store):
    import mlflow

    within = run_once(workplace / "run", FORMS)
    assert [entry["name"] for entry in within["exports"]] == ["int8", "binary", "onnx"]
    assert len(without_times(within["metrics"])) > 60
    ranges = (workplace / "run/exports/int8/ranges.npy").read_bytes()
    shutil.rmtree(workplace / "run/exports")
    made = call("run=run", FORMS)
    assert {key: value for each in made for key, value in without_times(each.metrics).items()} == pytest.approx(
        without_times(within["metrics"]), abs=1e-5
    )
    assert (workplace / "run/exports/int8/ranges.npy").read_bytes() == ranges
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    assert run.info.status == "FINISHED"
    assert "export/int8/delta/sts/spearman_cosine_low" in run.data.metrics
    assert {entry.path for entry in client.list_artifacts(run.info.run_id, "exports")} == {
        "exports/int8",
        "exports/binary",
        "exports/onnx",
    }


@pytest.mark.slow
def test_a_form_made_later_joins_the_result_of_the_run(workplace, capsys):
    run_once(workplace / "run", "export=[binary]", "tracking=none")
    assert "export     binary: 32 times smaller embeddings; test/sts/spearman_cosine" in capsys.readouterr().out
    (made,) = call("run=run", "export=[int8]")
    result = json.loads((workplace / "run/result.json").read_text())
    assert [entry["name"] for entry in result["exports"]] == ["binary", "int8"]
    key = "export/int8/sts/spearman_cosine"
    assert result["metrics"][key] == made.metrics[key]
    assert "int8: 4 times smaller embeddings" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_whose_model_is_an_adapter_says_that_it_needs_its_base(workplace, capsys):
    result = run_once(workplace / "run", "tracking=none", "model=minilm_l3", "model/adapter=lora")
    assert result["adapter_base"] == str(workplace / "run/base")
    shown = capsys.readouterr().out
    assert (
        f"adapter    the model's folder needs peft and its base, {workplace / 'run/base'}; for a whole model" in shown
    )
    card = (workplace / "run/stages/main/model/README.md").read_text()
    assert "This folder holds an adapter, not the whole model" in card
    assert str(workplace) not in card


@pytest.mark.slow
def test_an_export_that_fails_leaves_the_earlier_one_and_what_is_known_of_it(workplace):
    run_once(workplace / "run", "export=[onnx]", "tracking=none")
    graph = workplace / "run/exports/onnx/model.onnx"
    before, told = graph.read_bytes(), (workplace / "run/result.json").read_text()
    with pytest.raises(ExportError, match=r"1 of 1 exports failed.*: onnx \(the earlier one stays as it is\)\."):
        call("run=run", "export=[onnx]", "export.onnx.max_difference=0")
    assert graph.read_bytes() == before
    assert (workplace / "run/result.json").read_text() == told
    assert [path.name for path in (workplace / "run/exports").iterdir()] == ["onnx"]
    shutil.rmtree(workplace / "run/exports")
    result = json.loads(told) | {"exports": []}
    (workplace / "run/result.json").write_text(json.dumps(result))
    with pytest.raises(ExportError, match=r"1 of 1 exports failed.*: onnx\."):
        call("run=run", "export=[onnx]", "export.onnx.max_difference=0")
    (entry,) = json.loads((workplace / "run/result.json").read_text())["exports"]
    assert "Expected at most 0 " in entry["problem"]


def test_an_export_made_again_with_less_leaves_no_metrics_of_the_earlier_one(finished_run):
    path = finished_run / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | {"metrics": result["metrics"] | {"export/binary/old": 1.0}}))
    call("run=run", "export=[binary]")
    assert "export/binary/old" not in json.loads(path.read_text())["metrics"]


def test_a_run_that_another_process_holds_is_not_touched(finished_run):
    with held(finished_run), pytest.raises(ConfigError, match="still running in another process"):
        call("run=run", "export=[binary]")
    assert not (finished_run / "exports").exists()


@pytest.mark.slow
def test_exporting_again_adds_nothing_that_the_trackers_run_has_and_does_not_open_it(workplace, store):
    import mlflow

    run_id = run_once(workplace / "runs/one", "export=[binary]")["run"]["id"]
    client = mlflow.MlflowClient(store)
    ended = client.get_run(run_id).info.end_time
    call(f"run={run_id}", "export=[binary,int8]")
    run = client.get_run(run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", ended)
    for name in ("binary", "int8"):
        assert len(client.get_metric_history(run_id, f"export/{name}/sts/spearman_cosine")) == 1
    assert {entry.path for entry in client.list_artifacts(run_id, "exports")} == {"exports/binary", "exports/int8"}


@pytest.mark.slow
def test_a_run_that_the_tracker_does_not_know_is_reported(workplace, store, caplog):
    import mlflow

    folder = workplace / "run"
    run_once(folder, "tracking=none")
    text = (folder / "config.yaml").read_text()
    tracking = OmegaConf.to_yaml(compose([]).tracking).replace("\n", "\n  ")
    none = "tracking:\n  _target_: embexp.tracking.run_parts.NullTracker\n"
    (folder / "config.yaml").write_text(text.replace(none, f"tracking:\n  {tracking}\n"))
    call("run=run", "export=[binary]")
    assert "has no run with embexp.run=" in caplog.text
    assert not mlflow.MlflowClient(store).search_experiments(filter_string="name = 'embexp'")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("run.json", "run is no run: there is no run.json in it. Expected the folder of a finished run"),
        (
            "KILLED",
            "The run in run ended as KILLED. Expected one that has finished: resume it, then export.\n"
            "hint: type python -m embexp resume=run",
        ),
        ("result.json", "The run in run was interrupted. Expected one that has finished"),
    ],
)
def test_what_is_no_finished_run_is_reported_with_what_fits(change, message, workplace):
    folder = workplace / "run"
    folder.mkdir()
    for name in ("run.json", "config.yaml", "result.json"):
        if name != change:
            (folder / name).write_text(json.dumps({"run": {"status": change}, "layout": LAYOUT}))
    with pytest.raises(ConfigError) as refusal:
        call("run=run", "export=[binary]")
    assert str(refusal.value).startswith(message)


def test_a_saved_model_given_as_a_run_is_reported_as_one(workplace):
    (workplace / "modules.json").touch()
    with pytest.raises(ConfigError, match=r"It is a saved model: .* take it as model=\."):
        call("run=.", "export=[binary]")


@pytest.mark.usefixtures("finished_run")
def test_a_saved_model_is_exported_with_the_data_that_are_named():
    arguments = ["model=run/stages/main/model", "dataset=finance", "evaluator=[sts]", "evaluator.sts.resamples=100"]
    (made,) = call(*arguments, "export=[int8]", "output=there")
    assert made.folder.as_posix() == "there/int8"
    assert "export/int8/delta/sts/spearman_cosine" in made.metrics
    (alone,) = call("model=run/stages/main/model", "export=[binary]")
    assert (alone.metrics, alone.folder.as_posix()) == ({}, "exports/model/binary")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=tiny"], "No export is chosen. Expected at least one.\nhint: type export=[int8]"),
        (["export=[binary]"], "What is to be exported is not clear. Expected one of run and model.\nhint: type run="),
        (["run=nowhere", "export=[binary]"], "nowhere is neither a folder nor the id of a run in "),
        (
            ["model=tiny", "export=[int8]"],
            "export=[int8] needs texts to calibrate on. Expected a data set.\nhint: type dataset=<data",
        ),
        (["model=tiny", "export=[binary]", "evaluator=[sts]"], "evaluator=[sts] reads the data set that is trained on"),
    ],
)
@pytest.mark.usefixtures("workplace")
def test_what_is_missing_is_requested(arguments, message):
    with pytest.raises(ConfigError) as refusal:
        call(*arguments)
    assert str(refusal.value).startswith(message)


@pytest.mark.usefixtures("workplace")
def test_help_answers_without_the_heavy_libraries():
    code = "import runpy, sys; sys.argv[1:] = ['--help']\ntry: runpy.run_module('embexp.export', run_name='__main__')\n"
    code += "finally: print(sorted({'torch', 'sentence_transformers', 'transformers'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "[] binary, hub, int8, merge, onnx, soup" in shown
    assert shown.splitlines()[-1] == "[]"


def test_a_run_whose_model_has_gone_is_reported(finished_run):
    shutil.rmtree(finished_run / "stages/main/model")
    with pytest.raises(ConfigError, match=r"The run in run has no model any more.*embexp clean removes it"):
        call("run=run", "export=[binary]")
