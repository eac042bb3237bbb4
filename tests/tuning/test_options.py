"""Every sampler and pruner that can be chosen is made from its YAML."""

import pytest

import embexp.tuning.study  # noqa: F401  # knows the folder that conf/tune.yaml names
from embexp.config.compose import compose, instantiate
from embexp.config.session import conf_dir

OPTIONS = [(path.parent.name, path.stem) for path in sorted((conf_dir() / "tune").rglob("*.yaml"))]


def test_there_are_options():
    assert OPTIONS == [("pruner", "median"), ("pruner", "none"), ("sampler", "random"), ("sampler", "tpe")]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_an_option_makes_what_it_is_for(group, option):
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    node = compose([f"tune/{group}={option}"], "tune").tune[group]
    seed = {"seed": 1} if group == "sampler" else {}
    assert isinstance(instantiate(node, **seed), {"sampler": BaseSampler, "pruner": BasePruner}[group])


def test_a_study_has_all_values_of_a_run_as_they_are():
    run, study = compose(["loss=cosent", "seed=7"]), compose(["loss=cosent", "seed=7"], "tune")
    assert {key: study[key] for key in run} == dict(run)
    assert set(study) - set(run) == {"trials", "tune"}
