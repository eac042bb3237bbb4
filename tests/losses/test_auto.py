"""loss=auto: each shape gets the loss in the table, with its own arguments, and says why."""

import json
import logging

import pytest

from embexp.config.compose import compose, option_of
from embexp.config.session import conf_dir
from embexp.data.shapes import SHAPES
from embexp.errors import ConfigError
from embexp.experiment.plan import plan_run
from embexp.experiment.stages import _parameters
from embexp.losses.spec import is_auto, loss_for
from embexp.steps.conversions.convert import route

AUTO = option_of("loss", "auto")
CHOICES = {"dataset": "finance", "model": "tiny", "loss": "auto", "modifier": "none", "trainer": "smoke"}
TINY = ["model=tiny", "trainer=smoke", "tracking=none", "paths.cache=null", "loss=auto"]


def test_the_table_has_a_loss_for_every_shape_and_one_that_the_shape_leads_to():
    assert {row["shape"] for row in AUTO["_by_shape_"]} == set(SHAPES)
    for row in AUTO["_by_shape_"]:
        assert (conf_dir() / "loss" / f"{row['loss']}.yaml").is_file()
        accepted = tuple(option_of("loss", row["loss"])["_accepts_"])
        assert row["shape"] in accepted or route([row["shape"]], accepted), row
        assert row["because"]


@pytest.mark.parametrize(
    ("shape", "label_names", "loss"),
    [
        ("scored_pair", (), "cosent"),
        ("ranked", (), "mnrl"),
        ("class_pair", ("contradiction", "entailment", "neutral"), "mnrl"),
        ("class_pair", ("yes", "no"), "softmax"),
        ("text", (), "contrastive_tension_in_batch"),
    ],
)
def test_a_shape_gets_its_loss_with_the_arguments_of_its_yaml(shape, label_names, loss, caplog):
    with caplog.at_level(logging.INFO):
        name, node = loss_for("auto", AUTO, shape, label_names)
    assert (name, node) == (loss, option_of("loss", loss))
    assert caplog.messages[-1].startswith(f"loss=auto took loss={loss}: ")


def test_only_auto_is_auto():
    assert is_auto(AUTO)
    assert not is_auto(option_of("loss", "mnrl"))


def test_arguments_of_auto_are_refused():
    with pytest.raises(ConfigError, match=r"loss\.scale=30 was given\. loss=auto has no arguments .*name the loss"):
        loss_for("auto", AUTO | {"scale": 30}, "triplet")


def test_a_shape_without_a_row_is_refused():
    with pytest.raises(ConfigError, match=r"loss=auto has no loss for text\. .*\nhint: type loss=<name>"):
        loss_for("auto", AUTO | {"_by_shape_": AUTO["_by_shape_"][:2]}, "text")


def test_the_first_shape_of_a_dataset_chooses_and_the_name_is_recorded(tmp_path):
    plan = plan_run(compose(TINY), CHOICES, tmp_path)
    assert plan.choices["loss"] == "mnrl"
    assert plan.config["loss"] == option_of("loss", "mnrl")
    assert plan.name == "mnrl · tiny · 42"
    logged = _parameters(plan)
    assert (logged["loss"], logged["loss.scale"], logged["dataset.shape"]) == ("mnrl", 20.0, "triplet")


def test_the_shape_that_is_requested_chooses_before_the_datasets_own(tmp_path):
    assert plan_run(compose([*TINY, "shape=scored_pair"]), CHOICES, tmp_path).choices["loss"] == "cosent"


def test_the_shape_of_a_file_is_read_from_it(tmp_path):
    rows = [{"text": f"text {number} here", "label": number % 2} for number in range(20)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = ["dataset=file", f"dataset.reader.path={tmp_path}/mine.jsonl"]
    own = (
        "evaluator.sts.dataset={shapes: [scored_pair], steps: {}, reader: {_target_: embexp.data.bundled.read_bundled, "
    )
    config = compose([*TINY, *file, own + "corpus: finance_en}}"])
    plan = plan_run(config, CHOICES | {"dataset": "file"}, tmp_path)
    assert plan.choices["loss"] == "batch_hard_soft_margin"
    assert plan.stages[0].loss.batch_sampler == "group_by_label"


def test_a_stage_before_the_main_one_may_leave_the_choice_to_its_data(tmp_path):
    adapt = "+adapt.first={shape: scored_pair}"
    plan = plan_run(compose([*TINY, adapt]), CHOICES, tmp_path)
    assert [stage.loss.name for stage in plan.stages] == ["cosent", "mnrl"]
    assert plan.config["adapt"]["first"]["loss"]["_target_"].endswith("CoSENTLoss")
