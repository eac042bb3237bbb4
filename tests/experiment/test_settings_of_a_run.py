"""Keys of the run itself, of its folders and of its sweep: nonsense is refused before anything is read."""

from pathlib import Path

import pytest
from conftest import TINY

from embexp.config.compose import compose, composed
from embexp.config.session import hydra_started
from embexp.core.run_context import RunContext
from embexp.errors import EmbexpError
from embexp.experiment.plan import plan_run
from embexp.experiment.settings_checks import sweep_problems

SWEEP = {"rerun": "failed", "workers": 0, "gpus": None, "unknown_keys": "refuse"}


def refused(*overrides: str) -> EmbexpError:
    with pytest.raises(EmbexpError) as refusal, hydra_started():
        plan_run(*composed(["tracking=none", "paths.cache=null", *overrides]), Path("none"), context=RunContext())
    return refusal.value


def keys_refused(*overrides: str) -> set[str]:
    return {problem.key for problem in refused(*TINY, *overrides).problems}


@pytest.mark.parametrize(
    "overrides",
    [
        ("seed=-1", "threads=0", "name=", "keep=some"),
        ("seed=4294967296", "threads=100000", "paths.runs=null", "paths.cache=5", "paths.data="),
        ("sweep.workers=-1", "sweep.rerun=never", "sweep.gpus=[-1]", "+sweep.wrokers=2", "evaluator.sts=null"),
        ("dataset.reader=null",),
    ],
    ids=str,
)
def test_nonsense_is_refused_all_at_once(overrides):
    assert keys_refused(*overrides) == {each.lstrip("+").partition("=")[0] for each in overrides}


@pytest.mark.parametrize("key", ["trainr", "foo", "loss_scale"])
def test_a_key_of_no_run_is_refused_unless_another_refers_to_it(key):
    with pytest.raises(EmbexpError, match=f"^{key} is no key here, and nothing refers to it"):
        compose([f"+{key}=5"])
    assert compose([f"+{key}=5", f"loss.scale=${{{key}}}"]).loss.scale == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", -1),
        ("workers", 1.5),
        ("workers", True),
        ("workers", None),
        ("rerun", ["failed"]),
        ("rerun", ""),
        ("gpus", 0),
        ("gpus", ["a"]),
        ("gpus", [0.5]),
        ("unknown_keys", None),
    ],
)
def test_a_sweep_of_nonsense_is_refused(name, value):
    (problem,) = sweep_problems(SWEEP | {name: value})
    assert problem.key == f"sweep.{name}"


@pytest.mark.parametrize("sense", [{}, {"workers": 3}, {"gpus": [0, 0], "workers": 2}, {"gpus": []}, {"rerun": "all"}])
def test_a_sweep_of_sense_is_taken(sense):
    assert [*sweep_problems(SWEEP | sense)] == []


@pytest.mark.parametrize(
    "overrides",
    [
        ("+evaluator.sts.name=foo", "export=[int8]", "+export.int8.name=foo"),
        ("+evaluator.sts.leaked=null",),
        ("+dataset.reader.name=foo", "+dataset.reader.shape=ranked"),
        ("step=[clean]", "+dataset.steps.clean.dataset=foo"),
        ("model=minilm_dense", "model.base.adapter=lora"),
        pytest.param(
            (
                "+loss.model=foo",
                "modifier=matryoshka",
                "+modifier.loss=foo",
                "adapt=mlm",
                "+adapt.mlm.loss.tokenizer=x",
            ),
            marks=pytest.mark.slow,  # imports torch
        ),
        pytest.param(("silver=bm25", "+dataset.steps.silver.unfinished=here"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_what_the_run_itself_gives_cannot_be_given_too(overrides):
    own = {each.lstrip("+").partition("=")[0] for each in overrides if each.startswith("+") or "base" in each}
    assert keys_refused(*overrides) == own


@pytest.mark.parametrize(("key", "of_study"), [("sampler", "seed"), ("sampler", "sed"), ("pruner", "n_warmup")])
def test_sampler_and_pruner_take_what_they_know_and_the_study_does_not_give(key, of_study):
    pytest.importorskip("optuna")
    from embexp.tuning.study_run import _check_tuners

    with pytest.raises(EmbexpError, match=rf"^tune\.{key}\.{of_study}=5 is "):
        _check_tuners(compose([f"+tune.{key}.{of_study}=5"], "tune"))


@pytest.mark.parametrize(("model", "rate"), [("tiny", "5e-05"), ("static_scratch", "0.1"), ("bow", "0.001")])
def test_a_refused_learning_rate_is_answered_with_that_of_the_model(model, rate):
    (problem,) = refused(f"model={model}", "trainer.learning_rate=-1").problems
    assert problem.fix == (f"trainer.learning_rate={rate}",)
