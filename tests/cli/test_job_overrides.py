"""Overrides that a multirun's jobs alone see are hidden from Hydra's first look, and come back as typed."""

import pytest

from embexp.cli.app import _leave_to_jobs, as_typed


@pytest.mark.parametrize(
    "typed",
    ["loss.margin=0.3", "loss.dims=[1,2]", 'name="实验, b"', "+a.b=1e-5", "trainer@adapt.x.trainer=gpu", "a.b=${c.d}"],
)
def test_a_value_is_left_to_the_jobs_and_comes_back_as_typed(typed):
    _, hidden = _leave_to_jobs(["-m", typed])
    assert "=choice(" in hidden
    assert as_typed(hidden) == typed


@pytest.mark.parametrize(
    "typed",
    ["seed=1,2", "x=range(1,3)", "x=null", "x=", "~a.b", "x=a)", "x={", "x=a=b", "hydra.verbose=true", "paths.runs=r"],
)
def test_sweeps_deletions_what_hydra_cannot_read_and_the_multiruns_own_stay(typed):
    assert _leave_to_jobs(["--multirun", typed]) == ["--multirun", typed]
