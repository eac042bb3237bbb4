"""Stand-ins are named wherever a run is: in its name, its choices, its parameters and its warnings."""

import pytest
from conftest import TINY

from embexp.cli.overrides import expand_paths
from embexp.config.compose import composed
from embexp.config.session import hydra_started
from embexp.core.run_context import RunContext
from embexp.experiment.datasets import stand_ins, with_stand_in
from embexp.experiment.plan import plan_run
from embexp.experiment.stages import _parameters


def planned(folder, *overrides):
    with hydra_started():
        config, choices = composed(expand_paths([*TINY[:3], "tracking=none", *overrides]))
        return plan_run(config, choices, folder, context=RunContext())


def test_a_public_data_set_that_bundled_rows_stand_in_for_says_so(tmp_path):
    plan = planned(tmp_path, "dataset=qqp", "loss=online_contrastive", "evaluator=[binary]")
    assert plan.choices["dataset"] == plan.stages[-1].dataset.name == "qqp (stand-in: finance_en)"
    assert plan.name == "online_contrastive · tiny · 42 (stand-in: finance_en)"
    params = _parameters(plan)
    assert (params["dataset"], params["stand_ins"]) == ("qqp (stand-in: finance_en)", "dataset: finance_en")
    assert str(plan.warnings[0]).startswith("Rows of a bundled corpus stand in: finance_en for dataset. The scores say")


def test_the_data_of_an_evaluator_and_of_a_stage_are_named_too(tmp_path):
    plan = planned(tmp_path, "evaluator=[stsb]", "adapt=tsdae", "adapt.tsdae.dataset=zh_lcqmc", "name=mine")
    assert plan.choices["dataset"] == "finance"
    assert plan.name == "mine (stand-in: finance_zh, finance_en)"
    found = {"adapt.tsdae.dataset": "finance_zh", "evaluator.stsb.dataset": "finance_en"}
    assert stand_ins(plan.config) == found
    assert _parameters(plan)["stand_ins"] == "adapt.tsdae.dataset: finance_zh, evaluator.stsb.dataset: finance_en"


def test_a_model_whose_weights_are_those_of_another_says_so(tmp_path):
    plan = planned(tmp_path, "model=mpnet")
    assert plan.choices["model"] == "mpnet (stand-in: minilm)"
    assert plan.name == "mnrl · mpnet (stand-in: minilm) · 42"


@pytest.mark.parametrize("overrides", [[], ["dataset=finance_zh"], ["model=minilm"], ["paths.data=bundled"]])
def test_what_is_itself_has_no_stand_in(tmp_path, overrides):
    plan = planned(tmp_path, *overrides)
    assert "stand-in" not in f"{plan.name} {plan.choices}"
    assert "stand_ins" not in _parameters(plan)
    assert not any("stand in" in str(warning) for warning in plan.warnings)


def test_a_name_is_given_once():
    assert with_stand_in("qqp (stand-in: finance_en)", "finance_en") == "qqp (stand-in: finance_en)"
