"""Models scored without training: found before any is loaded, placed, and shown in the tracker."""

import csv
import json
import re
import subprocess
import sys

import pytest

from embexp.cli.overrides import each_model, expand_paths
from embexp.config.compose import compose, instantiate, resolve
from embexp.errors import ConfigError, ModelError
from embexp.experiment.presets import model_prompts
from embexp.experiment.score_models import _rows_judged, evaluate, plan_evaluation
from embexp.reports.comparisons import model_tables
from embexp.sweep.evaluations import ModelScorer, evaluate_command, evaluate_models
from embexp.sweep.jobs import Job
from tests.models.test_served import openai
from tests.steps.llm.chat_server import ChatServer

TWO = ("model=tiny,static_scratch", "threads=1", "evaluator.sts.resamples=100", "speed_texts=20")


def composed(*arguments):
    models, others = each_model(arguments)
    return [
        (
            compose([*model, *others], "evaluate"),
            {"dataset": "finance", "model": model[0].partition("=")[2] if model else "minilm"},
        )
        for model in models
    ]


def test_every_model_gets_a_run_below_one_parent_and_a_place_in_the_table(workplace, store, capsys):
    import mlflow

    found = evaluate(composed(*TWO), workplace / "out")
    (experiment,) = [each for each in mlflow.MlflowClient(store).search_experiments() if each.name == "embexp"]
    runs = mlflow.MlflowClient(store).search_runs([experiment.experiment_id])
    children = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    (parent,) = [run for run in runs if run.info.run_name == "evaluate finance"]
    assert set(children) == {"tiny", "static_scratch"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert all(run.info.status == "FINISHED" for run in runs)
    key = "test/sts/spearman_cosine"
    for row in found["models"]:
        score, metrics = row["scores"][key], children[row["model"]].data.metrics
        assert score["value"] == metrics[key]
        assert score["low"] < score["value"] < score["high"]
        assert metrics["cost/parameters"] == row["parameters"] > 0
        assert metrics["cost/encode_texts_per_second"] > 0
        assert "z_more/dev/geometry/uniformity" in metrics
    values = [row["scores"][key]["value"] for row in found["models"]]
    assert values == sorted(values, reverse=True)
    assert found["models"][0]["scores"][key]["is_best"]
    printed = capsys.readouterr().out
    assert key in printed
    assert "texts/s" in printed
    rows = [*csv.DictReader((workplace / "out" / "models.csv").read_text().splitlines())]
    assert [row["model"] for row in rows] == [row["model"] for row in found["models"]]
    assert json.loads((workplace / "out" / "models.json").read_text()) == found["models"]
    assert "pearson" in printed
    assert rows[0]["test/sts/pearson_cosine"] == str(found["models"][0]["metrics"]["test/sts/pearson_cosine"])
    written = {path.relative_to(workplace / "out").as_posix() for path in (workplace / "out").glob("[erp]*s/*")}
    kinds = ("examples/sts_{}.parquet", "reports/sts_{}.csv", "plots/sts_{}_scores.png", "plots/sts_{}_gold.png")
    assert written == {kind.format(split) for kind in kinds for split in ("dev", "test")}
    (kept,) = [each for each in mlflow.MlflowClient(store).list_artifacts(parent.info.run_id) if each.path == "reports"]
    assert kept.is_dir


@pytest.mark.parametrize(("rows", "others", "columns"), [
    (["sentence1,sentence2,label", *(f"股票{n},份额{n},{n % 2}" for n in range(12))],
     ["test/binary/accuracy_cosine", "test/binary/f1_cosine"],
     ["id", "sentence1", "sentence2", "gold", "tiny", "static_scratch"]),
    (["问题,答案", *(f"谁{n},某人{n}" for n in range(12))],
     ["test/retrieval/mrr_at_10", "test/retrieval/recall_at_10"],
     ["id", "query", "num_relevant", "relevant_document", "tiny", "tiny_first_rank", "tiny_top_document"]),
    (["text,category", *(f"编号{n},{'钱车'[n % 2]}" for n in range(12))],
     ["test/classification/macro_f1"], ["id", "text", "label", "gold", "tiny", "tiny_class"]),
])  # fmt: skip
def test_predictions_of_every_kind_of_data_are_kept_model_beside_model(rows, others, columns, workplace, capsys):
    (workplace / "数据.csv").write_text("\n".join(rows), encoding="utf-8")
    typed = ("dataset=file", 'dataset.reader.path="数据.csv"', "tracking=none")
    scored = evaluate(composed(*TWO[:2], TWO[3], *typed), workplace / "out")
    assert {*others} == {*scored["models"][0]["metrics"]} == {*scored["models"][1]["metrics"]}
    (file,) = (workplace / "out" / "reports").glob("*_test.csv")
    header, *lines = [*csv.reader(file.read_text(encoding="utf-8-sig").splitlines())]
    assert set(columns) <= {*header}
    assert len(lines) == 12
    assert str(file.name) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "evaluator.nope.dataset=x",
            "Error: evaluator.nope.dataset=x is not known. Expected a path, a Hub id, or one of",
        ),
        ("model=tinny", "Error: model=tinny is not known. Expected "),
        ("pairs.csv", "Error: pairs.csv is no override. Expected <key>=<value>."),
        ("model=[", "Error: model=[ cannot be read by Hydra"),
        ("model=,", "Error: model="),
        ("model=", "Error: "),
    ],
)
def test_a_mistake_is_one_message(typed, message, monkeypatch, workplace, capsys):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr("sys.argv", ["embexp.evaluate", "tracking=none", typed])
    with pytest.raises(SystemExit) as end:
        evaluate_command()
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith(message)
    assert [*workplace.iterdir()] == []


def run_with(folder, named, default=None, **model):
    """A run's folder with a model that was saved with these prompts, and what its configuration says of them."""
    trained = folder / "stages/main/model"
    trained.mkdir(parents=True)
    saved = {"prompts": named, "default_prompt_name": default}
    (trained / "config_sentence_transformers.json").write_text(json.dumps(saved))
    (folder / "config.yaml").write_text(json.dumps({"model": {"prompts": None, "prompt": "auto"} | model}))
    return folder


SIDES = {"query": "query: ", "document": "passage: ", "passage": "passage: "}


@pytest.mark.parametrize(
    ("saved", "default", "model", "brought"),
    [
        (SIDES, None, {"prompts": {"query": "query: ", "passage": "passage: "}}, ["model.prompts=saved"]),
        (SIDES, None, {"prompts": "saved", "prompt": "sides"}, ["model.prompts=saved", "model.prompt=sides"]),
        ({"query": "Q: ", "document": ""}, None, {"base": {"prompts": {"query": "Q: "}}}, ["model.prompts=saved"]),
        (SIDES, None, {"step": {"_target_": "embexp.steps.prompting.set_prompts"}}, ["model.prompts=saved"]),
        (SIDES, None, {}, []),  # of its base, and not trained with
        (SIDES, "query", {"prompts": {"query": "query: "}}, []),  # the default, which the model puts by itself
        ({"query": "", "passage": ""}, None, {"prompts": {"query": "query: "}, "prompt": None}, []),
    ],
)
def test_a_run_brings_the_prompts_of_two_sides_that_it_was_trained_with(saved, default, model, brought, tmp_path):
    run = run_with(tmp_path / "run", saved, default, **model)
    (own, other), others = each_model([f"model={run},minilm", "model.task=x"])
    assert own == ["model=pretrained", f"model.path={run}/stages/main/model", *brought]
    assert (other, others) == (["model=minilm"], ["model.task=x"])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("evaluator=[retrieval]", ("query: ", "passage: ")),
        ("evaluator=[sts]", ("query: ", "query: ")),
        ("model.prompts=null", None),
    ],
)
def test_the_prompts_of_a_run_go_by_the_evaluator_unless_others_are_typed(typed, expected, tmp_path):
    run = run_with(tmp_path / "run", SIDES, None, prompts={"query": "query: ", "passage": "passage: "})
    (run / "stages/main/model/model.safetensors").write_bytes(b"")
    config = resolve(composed(f"model={run}", typed, "tracking=none")[0][0])
    found = model_prompts(instantiate(config["model"]), config["evaluator"])
    assert (found and (found.prompt_for("query"), found.prompt_for("positives"))) == expected


@pytest.mark.slow
def test_the_same_models_have_the_same_scores_again(workplace):
    scores = [
        [row["scores"] for row in evaluate(composed(*TWO, "tracking=none"), workplace / name)["models"]]
        for name in ("one", "two")
    ]
    assert scores[0] == scores[1]


def test_all_models_that_are_not_there_are_reported_before_any_is_loaded(workplace):
    with pytest.raises(ModelError) as error:
        plan_evaluation(composed("model=./no/such,tiny,./neither/this", "tracking=none"), workplace / "out")
    assert "./no/such" in str(error.value)
    assert "neither/this" in str(error.value)


def test_a_model_cannot_be_named_twice(workplace):
    with pytest.raises(ConfigError, match=r"^model names tiny more than once\. Expected each model once"):
        plan_evaluation(composed("model=tiny,tiny", "tracking=none"), workplace / "out")


@pytest.mark.slow
def test_the_command_scores_several_models_on_all_rows_of_a_file_in_other_dimensions_too(workplace):
    rows = [f"第{number}季度的利润,第{number}季度净利,{number % 6 / 5}" for number in range(20)]
    (workplace / "句对.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]), encoding="utf-8")
    command = [sys.executable, "-m", "embexp.evaluate", *TWO, "tracking=none", "experiment=base_model_selection"]
    command += ["dataset=句对.csv", "evaluator.sts.dimensions=[8]"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "test/sts/spearman_cosine, 20 examples" in done.stdout
    assert "spread.md" in done.stdout
    (file,) = workplace.glob("evaluations/*/*/models/1/result.json")
    assert "test/sts/spearman_cosine_dim8" in json.loads(file.read_text())["metrics"]


@pytest.mark.parametrize("is_of_torch", [False, True])
def test_a_model_that_cannot_be_scored_does_not_end_the_others(workplace, monkeypatch, capsys, caplog, is_of_torch):
    from torch import OutOfMemoryError

    from embexp.models.scratch import ScratchModel

    def broken(*_):
        raise OutOfMemoryError("The weights are torn.") if is_of_torch else ModelError("The weights are torn.")

    monkeypatch.setattr(ScratchModel, "load", broken)  # of tiny, not of static_scratch
    with pytest.raises(ModelError, match=r"^1 of 2 models could not be scored \(the reasons are above\): tiny\."):
        evaluate(composed(*TWO, "tracking=none"), workplace / "out")
    kind = "OutOfMemoryError: " * is_of_torch
    assert f"tiny could not be scored: {kind}The weights are torn." in caplog.text
    assert "static_scratch" in capsys.readouterr().out
    assert [row["model"] for row in json.loads((workplace / "out" / "models.json").read_text())] == ["static_scratch"]
    assert json.loads((workplace / "out" / "models" / "1" / "result.json").read_text())["run"]["status"] == "FAILED"


def test_all_rows_of_a_file_are_evaluated_or_the_table_says_of_how_many(workplace):
    lines = "".join(f"text {n},other {n},0.{n % 7}\n" for n in range(60))
    (workplace / "pairs.csv").write_text(f"sentence1,sentence2,score\n{lines}")
    file = ("dataset=file", "dataset.reader.path=pairs.csv", "model=tiny", "threads=1", "tracking=none")

    def first_line(*overrides):
        plan = plan_evaluation(composed(*file, *overrides), workplace / "out")
        (evaluator,) = plan.evaluators
        rows = evaluator.dataset.splits["test"].num_rows
        score = {"value": 0.5, "low": 0.4, "high": 0.6, "to_best": 0.0, "p": 1.0, "is_best": True, "examples": rows}
        row = {"model": "tiny", "scores": {"test/sts": score | _rows_judged(evaluator, "test")}}
        return str(next(iter(model_tables([row])))[0].title)

    assert first_line() == "test/sts, 60 examples (60 of 60 rows)"
    split = first_line("dataset.steps.split.ratios=[1,1,1]")
    rows = int(split.partition(" (")[2].partition(" of ")[0])
    assert split == f"test/sts, {rows} examples ({rows} of 60 rows)"
    assert rows < 40


def test_a_url_is_scored_beside_other_models_and_what_it_gave_is_kept(workplace, monkeypatch, caplog):
    monkeypatch.setenv("TOY_KEY", "sk-very-secret-4711")
    caplog.set_level("INFO")
    rows = [f"第{number}季度的利润,第{number}季度净利,{number % 6 / 5}" for number in range(20)]
    (workplace / "pairs.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]), encoding="utf-8")
    settings = ["model.api_key_env=TOY_KEY", "model.price=1", *TWO[1:], "tracking=none", "dataset=pairs.csv"]
    with ChatServer(openai).running() as server:
        typed = f"model={server.url}/embeddings?model=toy,static_scratch"
        found = evaluate(composed(typed, *expand_paths(settings)), workplace / "out")
        first = len(server.requests)
        again = evaluate(composed(typed.replace(",static_scratch", ""), *expand_paths(settings)), workplace / "again")
        assert len(server.requests) == first + 1 + 3  # the check, and the probes
    name = f"toy@{server.url.split('/')[2]}"
    rows = {row["model"]: row for row in found["models"]}
    assert {*rows} == {name, "static_scratch"}
    key = "test/sts/spearman_cosine"
    assert rows[name]["scores"][key]["value"] == again["models"][0]["scores"][key]["value"]
    assert (rows[name]["dimensions"], "parameters" in rows[name]) == (8, False)
    assert re.search(rf"{name} \| .* - \| 8 \|", (workplace / "out" / "models.md").read_text())
    assert "tokens, cost 0.0" in caplog.text
    assert not [path for path in workplace.rglob("*") if path.is_file() and b"very-secret" in path.read_bytes()]


@pytest.mark.slow
def test_workers_find_the_scores_that_one_process_finds(workplace):
    typed = ("tracking=none", "paths.cache=null")
    models = ("model=tiny,static_scratch", *TWO[1:])
    expected = evaluate_models(composed(*models, *typed), workplace / "alone")
    found = evaluate_models(composed(*models, *typed, "sweep.workers=2"), workplace / "workers")
    for rows in zip(found["models"], expected["models"], strict=True):
        assert [row["scores"] for row in rows] == [rows[0]["scores"]] * 2
        assert rows[0]["model"] == rows[1]["model"]
    assert not [*(workplace / "workers").rglob("*.pickle")]
    assert not (workplace / "workers/engine").exists()


def test_a_model_that_a_worker_cannot_load_is_an_error_and_no_death(workplace):
    outcome = ModelScorer(composed("model=./no/such", "tracking=none"), workplace, "", "id").run(Job(1, ()))
    assert outcome.value is None
    assert "no/such" in outcome.error


@pytest.mark.parametrize("then", ["leave", "cancel"])
def test_an_evaluation_waits_for_its_workers(workplace, then):
    with pytest.raises(ConfigError, match=f"sweep.engine.then={then} was given. Expected wait") as refusal:
        evaluate_models(
            composed(*TWO, "tracking=none", "sweep/engine=slurm", f"sweep.engine.then={then}"), workplace / "out"
        )
    assert refusal.value.problems[0].fix == ("sweep.engine.then=wait",)
    assert not (workplace / "out").exists()


def test_a_refused_evaluation_leaves_no_folder(workplace, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["embexp.evaluate", "model=./no/such", "tracking=none"])
    with pytest.raises(SystemExit):
        evaluate_command()
    assert [*workplace.iterdir()] == []
