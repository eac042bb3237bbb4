"""Stages before the main one: what is chosen, what is refused, and what a run with them leaves and resumes from."""

import json
import logging
from pathlib import Path

import pytest
from conftest import TINY
from hydra.errors import HydraException
from killed_runs import CHOICES, assert_same_end, before, killed, resume, run
from omegaconf import OmegaConf
from typed_commands import run_typed

from embexp.cli.messages import explain
from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose, composed
from embexp.config.session import hydra_started
from embexp.errors import ConfigError, EmbexpError, TrainingError
from embexp.experiment.execute import execute
from embexp.experiment.plan import plan_run
from embexp.experiment.stage_config import check_stages
from embexp.leaderboards.runs import runs_in
from embexp.tracking.mlflow_runs import MlflowRuns
from embexp.tracking.mlflow_tracker import MlflowTracker

BOTH = "adapt=[mlm,tsdae]"
QUIET = (*TINY, "tracking=none")


def plan_of(folder, *overrides):
    with hydra_started():
        config, choices = composed(expand_paths([*QUIET, *overrides]))
    return plan_run(config, choices, folder)


def children_of(store):
    import mlflow

    client = mlflow.MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    return client, {each.info.run_name: each for each in runs if "mlflow.parentRunId" in each.data.tags}


def test_stages_come_in_the_order_typed_with_the_trainer_that_was_chosen():
    stages = compose(["adapt=[tsdae,mlm]", "trainer=smoke", "adapt.mlm.trainer.max_steps=7"]).adapt
    assert [*stages] == ["tsdae", "mlm"]
    assert (stages.tsdae.trainer.max_steps, stages.mlm.trainer.max_steps) == (4, 7)
    assert stages.tsdae.trainer.learning_rate == 3e-5
    assert compose(["adapt=tsdae"]).adapt.tsdae.trainer.max_steps == -1
    assert [*compose([]).adapt] == [*compose(["adapt=none"]).adapt] == []


def test_a_stage_chooses_data_loss_trainer_and_steps_from_the_runs_groups():
    assert expand_paths(["adapt.tsdae.dataset=nli", "adapt.tsdae.trainer=gpu"]) == [
        "dataset@adapt.tsdae.dataset=nli",
        "trainer@adapt.tsdae.trainer=gpu",
    ]
    typed = ["adapt=tsdae", "adapt.tsdae.step=[clean, noise_swap]", "adapt.tsdae.dataset=finance_zh"]
    data = compose(expand_paths(typed)).adapt.tsdae.dataset
    assert data.reader.corpus == "finance_zh"
    assert [*data.steps] == ["clean", "noise_swap"]
    as_it_is = ["adapt.tsdae.dataset=null", "adapt.tsdae.dataset=${dataset}", "adapt.tsdae.trainer.max_steps=3"]
    assert expand_paths(as_it_is) == as_it_is


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "adapt.tsdae.trainer.learning_rate=fast",
            "adapt.tsdae.trainer.learning_rate=fast is a text. Expected a number",
        ),
        ("adapt.tsdae.loss.tie_encoder_decoder=3", "is a whole number. Expected true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_a_stage_too(typed, message):
    with pytest.raises(ConfigError, match=message):
        compose(["adapt=[mlm,tsdae]", typed])


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            {"first": {"los": 1}},
            r"^adapt\.first\.los is not a key\. Expected one of: dataset, shape, loss, .*'loss'\?$",
        ),
        ({"main": {}}, r"^adapt\.main is no name for a stage before the main one\."),
        ({"a/b": {}}, r"^adapt\.a/b is no name"),
        (
            {"tsdae": {"modifier": "a"}},
            r"(?s)^adapt\.tsdae\.modifier=a was given\. Expected .*\nhint: type \+modifier@adapt\.tsdae\.modifier=a$",
        ),
        ({"tsdae": "yes"}, r"^adapt\.tsdae=yes was given\. Expected a stage\.\nhint: type adapt=\[tsdae\]"),
    ],
)
def test_a_stage_of_ones_own_has_the_keys_of_a_stage_and_a_name(stage, message):
    with pytest.raises(ConfigError, match=message):
        check_stages({"adapt": stage})


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["adapt.tsdae.shape=text"],
            "adapt.tsdae is not a key: no such stage is chosen. Expected one that is.\n"
            "hint: type adapt=[tsdae] adapt.tsdae.shape=text",
        ),
        (["adapt=tsdae", "adapt.tsdae.los=1"], "adapt.tsdae.los is not a key. Expected one of: dataset, shape, loss"),
        (
            expand_paths(["adapt=mlm", "adapt.mlm.loss=tsdae"]),
            "adapt.mlm.loss=tsdae was given; mlm has one loss, that of conf/adapt/mlm.yaml. Expected its arguments "
            "(adapt.mlm.loss.<argument>=<value>) or another stage.\nhint: type adapt=[tsdae]",
        ),
        (
            expand_paths(["adapt=mlm", "adapt.mlm.loss=gist"]),
            "adapt.mlm.loss=gist was given; mlm has one loss, that of conf/adapt/mlm.yaml. Expected its arguments "
            "(adapt.mlm.loss.<argument>=<value>) or another stage.\n"
            "hint: type adapt=[contrastive_tension] adapt.contrastive_tension.loss=gist\n"
            "hint: type adapt=[simcse] adapt.simcse.loss=gist\n",
        ),
        (
            expand_paths(["adapt=mlm", "adapt.tsdae.loss=simcse"]),
            "adapt.tsdae.loss=simcse was given; no stage tsdae is chosen. Expected one of those chosen.\n"
            "hint: type adapt=[tsdae] adapt.tsdae.loss=simcse",
        ),
        (["adapt=[tsda]"], "adapt=[tsda] is not known. Expected some of: contrastive_tension, mlm, none, simcse"),
    ],
)
def test_what_is_mistyped_gets_one_message(typed, message):
    with pytest.raises(HydraException) as refusal:
        compose(typed)
    assert explain(refusal.value).startswith(message)


def test_a_stage_trains_on_the_main_stages_texts_or_its_own(tmp_path):
    plan = plan_of(tmp_path, "adapt=[tsdae,mlm]", "adapt.mlm.dataset=finance_zh", "shape=positive_pair")
    assert [stage.dataset.shape.name for stage in plan.stages] == ["noised_text", "text", "positive_pair"]
    assert [stage.dataset.name for stage in plan.stages] == ["finance", "finance_zh", "finance"]
    swapped = plan_of(tmp_path, "adapt=tsdae", "adapt.tsdae.step=[noise_swap]").stages[0].dataset
    assert any("swap" in str(report).lower() for report in swapped.history)


def test_what_a_stage_chose_itself_is_shown_by_its_name(tmp_path):
    (tmp_path / "passages.txt").write_text("\n".join(f"passage {number} of a report" for number in range(40)))
    own = f"adapt.tsdae.dataset={tmp_path / 'passages.txt'}", "adapt.tsdae.loss=simcse"
    plan = plan_of(tmp_path, BOTH, *own, "adapt.mlm.dataset=${dataset}")
    told = [(stage.name, stage.dataset.name, stage.loss.name) for stage in plan.stages]
    assert told == [("mlm", "finance", "mlm"), ("tsdae", "passages", "simcse"), ("main", "finance", "mnrl")]
    again = plan_run(OmegaConf.create(plan.config), plan.choices, tmp_path)  # as a resumed run
    assert [(stage.name, stage.dataset.name, stage.loss.name) for stage in again.stages] == told


def test_a_loss_that_is_taken_from_the_data_keeps_name_and_modifier_when_a_run_is_resumed(tmp_path):
    stage = (
        "+adapt.first={trainer: null}",
        "+dataset@adapt.first.dataset=finance_zh",
        "adapt.first.dataset.shapes=[scored_pair]",
    )
    plan = plan_of(tmp_path, "loss=auto", "modifier=matryoshka", *stage)
    again = plan_run(OmegaConf.create(plan.config), plan.choices, tmp_path)
    for stages in (plan.stages, again.stages):
        assert [(stage.dataset.name, stage.loss.modifier.name) for stage in stages] == [
            ("finance_zh", "matryoshka"),
            ("finance", "matryoshka"),
        ]
    assert plan.stages[0].loss.name == again.stages[0].loss.name != "first"


def test_messages_name_the_keys_that_are_typed_for_a_stage(tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(f"text {number} of a report" for number in range(40)))
    own = f"adapt.tsdae.dataset={tmp_path / 'texts.txt'}", "adapt.tsdae.loss=softmax"
    with pytest.raises(EmbexpError) as refusal:
        plan_of(tmp_path, "adapt=tsdae", *own)
    whose = "adapt.tsdae (~adapt.tsdae leaves it out): adapt.tsdae.loss=softmax accepts class_pair"
    assert str(refusal.value).startswith(whose)
    assert "; data set texts is text (text), and" in str(refusal.value)
    assert "hint: type one of: adapt.tsdae.loss=contrastive_tension, adapt.tsdae.loss=" in str(refusal.value)
    with pytest.raises(EmbexpError, match=r"adapt\.tsdae\.trainer\.batch_sampler=x is not known"):
        plan_of(tmp_path, "adapt=tsdae", "+adapt.tsdae.trainer.batch_sampler=x")


def test_rows_of_a_stages_file_stand_in_the_message_as_they_stand_in_the_file(tmp_path):
    (tmp_path / "pairs.csv").write_text("sentence1,sentence2,score\na text,another,step=abc loss=0.31\n")
    with pytest.raises(EmbexpError) as refusal:
        plan_of(tmp_path, "adapt=tsdae", f"adapt.tsdae.dataset={tmp_path / 'pairs.csv'}")
    assert str(refusal.value).startswith("adapt.tsdae (~adapt.tsdae leaves it out): 1 of 1 rows cannot be used")
    assert f"{tmp_path / 'pairs.csv'}:2: score holds no number: 'step=abc loss=0.31'" in str(refusal.value)


def test_name_choices_and_parameters_tell_the_adaptation(tmp_path):
    plan = plan_of(tmp_path, BOTH)
    assert (plan.name, plan.choices["adapt"]) == ("mlm+tsdae > mnrl · tiny · 42", "mlm+tsdae")
    assert plan_of(tmp_path).name == "mnrl · tiny · 42"


def test_a_model_without_a_transformer_is_refused_with_what_to_type(tmp_path):
    with pytest.raises(EmbexpError) as refusal:
        plan_of(tmp_path, "model=static", BOTH)
    for name in ("mlm", "tsdae"):
        whose = f"adapt.{name} (~adapt.{name} leaves it out): adapt.{name}.loss={name} needs a transformer;"
        assert f"{whose} the model has none. Expected a model with one" in str(refusal.value)
    assert [problem.fix for problem in refusal.value.problems] == [
        ("model=minilm",),  # mlm has one loss
        ("model=minilm", "adapt.tsdae.loss=mnrl"),
    ]


def test_arguments_of_a_stage_are_checked_before_anything_is_loaded(tmp_path):
    with pytest.raises(EmbexpError) as refusal:
        plan_of(tmp_path, "adapt=mlm", "adapt.mlm.loss.mlm_probability=1.5")
    assert "adapt.mlm.loss.mlm_probability=1.5 was given. Expected a number above 0 and below 1." in str(refusal.value)
    with pytest.raises(EmbexpError, match=r"^adapt\.mlm .*: adapt\.mlm\.loss\.mask_prob=1 is no argument of"):
        plan_of(tmp_path, "adapt=mlm", "+adapt.mlm.loss.mask_prob=1")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, empty_store):
    """A run with two stages before the main one, and the store that it was sent to."""
    folder = tmp_path_factory.mktemp("adapted")
    (folder / "mlflow.db").write_bytes(Path(empty_store).read_bytes())
    store = f"sqlite:///{folder / 'mlflow.db'}"
    run(folder / "run", *TINY, BOTH, f"tracking.uri={store}", "tracking.log_model=false", "keep=full")
    return folder / "run", store


def test_each_stage_is_a_child_run_with_its_own_numbers(adapted):
    folder, store = adapted
    client, children = children_of(store)
    assert {*children} == {"mlm+tsdae > mnrl · tiny · 42/mlm", "mlm+tsdae > mnrl · tiny · 42/tsdae"}
    for name in ("mlm", "tsdae"):
        child = children[f"mlm+tsdae > mnrl · tiny · 42/{name}"]
        assert child.data.tags["mlflow.parentRunId"] == json.loads((folder / "run.json").read_text())["id"]
        assert (child.info.status, child.data.tags["embexp.part"]) == ("FINISHED", "stage")
        assert (child.data.params["loss"], child.data.params["dataset.train_rows"]) == (name, "767")
        assert child.data.params["trainer.max_steps"] == "4"
        steps = [entry.step for entry in client.get_metric_history(child.info.run_id, "train/loss")]
        dev = client.get_metric_history(child.info.run_id, "train/dev/sts/spearman_cosine")
        assert (steps, [entry.step for entry in dev]) == ([1, 2, 3, 4], [2, 4])
        values = child.data.metrics
        difference = values["test/sts/spearman_cosine"] - values["base/sts/spearman_cosine"]
        assert values["delta/sts/spearman_cosine"] == pytest.approx(difference)


def test_the_run_holds_what_every_stage_was_worth(adapted):
    import mlflow

    folder, store = adapted
    result = json.loads((folder / "result.json").read_text())
    assert [stage["name"] for stage in result["stages"]] == ["mlm", "tsdae"]
    parent = mlflow.MlflowClient(store).get_run(result["run"]["id"]).data
    lines = (folder / "metrics.jsonl").read_text()
    for stage in result["stages"]:
        own = json.loads((folder / "stages" / stage["name"] / "result.json").read_text())["metrics"]
        for key in ("dev/sts/spearman_cosine", "test/sts/spearman_cosine", "delta/sts/spearman_cosine_low"):
            assert stage["metrics"][key] == own[key] == parent.metrics[f"stages/{stage['name']}/{key}"]
        assert f'"stages/{stage["name"]}/test/sts/pearson_cosine"' in lines
    seconds = sum(stage["seconds"] for stage in result["stages"])
    assert result["metrics"]["cost/stages_seconds"] == pytest.approx(seconds)
    kept = [stage["training"].rpartition(", ")[2] for stage in result["stages"]]
    assert kept[0] == "the last state kept"
    assert kept[1].startswith("best at step ")
    assert parent.params["adapt"] == "mlm+tsdae"
    assert "| after tsdae |" in parent.tags["mlflow.note.content"]
    assert "stage before, mlm: `DataCollator" in (folder / "stages/main/model/README.md").read_text()


def test_a_leaderboard_takes_no_stage_for_a_run(adapted, tmp_path):
    folder, store = adapted
    tracker = MlflowTracker(store, "embexp", log_model=False, checkpoint="none", telemetry=False)
    (found,) = MlflowRuns(tracker, tmp_path).matching("")
    (read,) = runs_in([folder])
    assert found.name == read.name == "mlm+tsdae > mnrl · tiny · 42"
    assert found.primary == read.primary


def test_the_model_after_masked_language_modelling_loads_and_holds_no_layer_that_fills_in(adapted):
    from sentence_transformers import SentenceTransformer

    saved = {name: SentenceTransformer(str(adapted[0] / f"stages/{name}/model")) for name in ("mlm", "tsdae")}
    assert saved["mlm"].encode(["a bond"]).shape == (1, 32)
    assert {*saved["mlm"].state_dict()} == {*saved["tsdae"].state_dict()}


def test_a_run_with_its_main_stage_alone_has_no_child(workplace, store):
    result = run(workplace / "run", *TINY, "tracking.log_model=false")
    assert "stages" not in result
    assert "cost/stages_seconds" not in result["metrics"]
    assert children_of(store)[1] == {}
    assert not (workplace / "run/stages/main/part.json").exists()


@pytest.mark.slow
def test_a_stage_that_breaks_ends_failed_and_so_does_the_run(workplace, store):
    plan = plan_run(compose([*TINY, "adapt=simcse", "adapt.simcse.loss.scale=1e39"]), CHOICES, workplace / "run")
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) at step 1\."):
        execute(plan)
    (child,) = children_of(store)[1].values()
    assert (child.info.status, child.data.tags["error"][:14]) == ("FAILED", "TrainingError:")
    assert json.loads((workplace / "run/result.json").read_text())["run"]["status"] == "FAILED"


def test_a_stopped_stage_ends_killed_and_says_once_how_to_go_on(workplace, caplog, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("embexp.experiment.stages.train_stage", stop)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        execute(plan_of(workplace / "run", "adapt=tsdae"))
    assert caplog.text.count("was stopped. Nothing is trained yet. To resume it: python -m embexp resume=") == 1
    assert json.loads((workplace / "run/stages/tsdae/result.json").read_text())["run"]["status"] == "KILLED"


@pytest.mark.parametrize(
    "moment",
    [
        # in mlm, before its second checkpoint is marked
        pytest.param(("complete", "embexp.training.callbacks", 2), marks=pytest.mark.matrix),
        # in mlm, when all its steps are done
        pytest.param(("rotate", "embexp.training.callbacks", 2), marks=pytest.mark.matrix),
        # in tsdae, before its second checkpoint is marked
        pytest.param(("complete", "embexp.training.callbacks", 4), marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_in_a_stage_resumes_in_the_same_child_to_the_same_bits(moment, adapted, workplace, store):
    killed(before, moment, workplace / "run", *TINY, BOTH, "tracking.log_model=false", "keep=full")
    began = {name: child.info for name, child in children_of(store)[1].items()}
    assert resume(workplace / "run")["run"]["status"] == "FINISHED"
    _, children = children_of(store)
    assert {name: info.run_id for name, info in began.items()}.items() <= {
        name: child.info.run_id for name, child in children.items()
    }.items()
    for name, info in began.items():  # a child that had finished was not opened again
        assert info.status == "RUNNING" or children[name].info.end_time == info.end_time
    assert {child.info.status for child in children.values()} == {"FINISHED"}
    assert_same_end(adapted[0], workplace / "run")


@pytest.mark.matrix
def test_a_sweep_over_adaptations_has_a_row_for_each(workplace):
    code, output = run_typed(workplace, "-m", *QUIET, "trainer.max_steps=2", "adapt=none,[tsdae],[mlm]")
    assert code == 0, output
    names = {json.loads(path.read_text())["run"]["name"] for path in workplace.glob("sweeps/*/*/*/result.json")}
    assert names == {"mnrl · tiny · 42", "tsdae > mnrl · tiny · 42", "mlm > mnrl · tiny · 42"}
    (board,) = workplace.glob("sweeps/*/*/leaderboard/leaderboard.md")
    assert "adapt" in board.read_text()
