"""The export command: the same as within a run, for the same tracked run; plain models; what it refuses."""

import json
import shutil
import subprocess
import sys

import mlflow
import pytest
from conftest import TINY

from embexp.config import compose
from embexp.errors import ConfigError
from embexp.export import export
from embexp.overrides import expand_paths
from embexp.plan import plan_run
from embexp.run import execute

CHOICES = {"dataset": "finance", "model": "tiny", "loss": "mnrl", "modifier": "none", "trainer": "smoke"}
FORMS = "export=[int8,binary,onnx]"


def call(*overrides, **choices):
    arguments = expand_paths(overrides)
    given = {key: value for key, _, value in (each.partition("=") for each in arguments) if "." not in key}
    return export(compose(arguments, "export"), given | choices)


def finished(folder, *overrides):
    return execute(plan_run(compose([*TINY, *overrides]), CHOICES, folder)).content


def without_times(metrics):
    return {key: value for key, value in metrics.items() if key.startswith("export/") and "speed" not in key}


def test_the_command_gives_what_the_run_gave(workplace, store):
    within = finished(workplace / "run", FORMS)
    assert [entry["name"] for entry in within["exports"]] == ["int8", "binary", "onnx"]
    assert len(without_times(within["metrics"])) > 60
    ranges = (workplace / "run/exports/int8/ranges.npy").read_bytes()
    shutil.rmtree(workplace / "run/exports")
    made = call("run=run", FORMS)
    assert {key: value for each in made for key, value in without_times(each.metrics).items()} == pytest.approx(
        without_times(within["metrics"]), abs=1e-6
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


def test_a_form_made_later_joins_the_result_of_the_run(workplace, capsys):
    finished(workplace / "run", "export=[binary]", "tracking=none")
    assert "export     binary: 32 times smaller embeddings; test/sts/spearman_cosine" in capsys.readouterr().out
    (made,) = call("run=run", "export=[int8]")
    result = json.loads((workplace / "run/result.json").read_text())
    assert [entry["name"] for entry in result["exports"]] == ["binary", "int8"]
    key = "export/int8/sts/spearman_cosine"
    assert result["metrics"][key] == made.metrics[key]
    assert "int8: 4 times smaller embeddings" in capsys.readouterr().out


def test_a_saved_model_is_exported_with_the_data_that_are_named(workplace):
    finished(workplace / "run", "tracking=none")
    arguments = ["model=run/stages/main/model", "dataset=finance", "evaluator=[sts]", "evaluator.sts.resamples=100"]
    (made,) = call(*arguments, "export=[int8]", "output=there")
    assert made.folder.as_posix() == "there/int8"
    assert "export/int8/delta/sts/spearman_cosine" in made.metrics
    (alone,) = call("model=run/stages/main/model", "export=[binary]")
    assert (alone.metrics, alone.folder.as_posix()) == ({}, "exports/model/binary")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=tiny"], "No export is chosen. Expected at least one: type export=[int8]."),
        (["export=[binary]"], "Expected one of: run=<folder of a finished run>, model=<folder of a saved model>."),
        (["run=nowhere", "export=[binary]"], "run=nowhere holds no finished run."),
        (["model=tiny", "export=[int8]"], "export=int8 needs texts to calibrate on: type dataset=<data set with a"),
        (["model=tiny", "export=[binary]", "evaluator=[sts]"], "evaluator=sts reads the data set that is trained on"),
    ],
)
@pytest.mark.usefixtures("workplace")
def test_what_is_missing_is_asked_for(arguments, message):
    with pytest.raises(ConfigError) as refusal:
        call(*arguments)
    assert str(refusal.value).startswith(message)


@pytest.mark.usefixtures("workplace")
def test_help_answers_without_the_heavy_libraries():
    code = "import sys; from embexp.export import main; sys.argv[1:] = ['--help']\ntry: main()\nfinally: "
    code += "print(sorted({'torch', 'sentence_transformers', 'numpy'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "export: binary, hub, int8, onnx" in shown
    assert shown.splitlines()[-1] == "[]"
