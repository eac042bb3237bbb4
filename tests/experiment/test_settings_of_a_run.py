"""Keys of the run itself, of its folders and of its sweep: nonsense is refused before anything is read."""

import pytest
from conftest import TINY

from embexp.config.compose import compose
from embexp.core.run_context import RunContext
from embexp.errors import EmbexpError
from embexp.experiment.plan import plan_run
from embexp.experiment.settings_checks import sweep_problems

SWEEP = {"rerun": "failed", "workers": 0, "gpus": None, "unknown_keys": "refuse"}


def keys_refused(*overrides: str) -> set[str]:
    with pytest.raises(EmbexpError) as refusal:
        plan_run(compose([*TINY, "tracking=none", *overrides]), {}, None, context=RunContext())
    return {problem.key for problem in refusal.value.problems}


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
    with pytest.raises(EmbexpError, match=f"^{key} is not a key of a run"):
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
