"""A multirun reads the command line as a single run does: each of its jobs has the configuration of that command."""

import sys

import pytest
from conftest import thinned
from omegaconf import OmegaConf

from embexp.cli.app import JOBS, _for_hydra, run_command
from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose

PAIRS = "dataset=pairs.csv"


def jobs_of(monkeypatch, folder, *typed):
    """The configurations of the jobs that a command has, in their order; nothing is trained."""
    seen = []

    def task(config, *_):
        seen.append(OmegaConf.to_container(config))
        return 0.0

    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["embexp", "-m", "tracking=none", *typed])
    run_command(task)
    return seen


def alone(*typed):
    """The configuration of a single run."""
    return OmegaConf.to_container(compose(quote_texts(expand_paths(["tracking=none", *typed]))))


@pytest.mark.parametrize(
    ("typed", "cells"),
    thinned(
        [
            ((PAIRS, "~dataset.steps.split"), [("loss=mnrl",), ("loss=cosent",)]),
            ((PAIRS, "dataset.steps.split.seed=3"), [("loss=mnrl",), ("loss=cosent",)]),
            (("loss.margin=0.3",), [("loss=contrastive",), ("loss=triplet",)]),
            (("~loss.distance", "+loss.distance=cosine"), [("loss=contrastive",), ("loss=triplet",)]),
            (("+dataset@evaluator.sts.dataset=stsb", "seed=3"), [("model=tiny",), ("model=bow",)]),
            (("++loss.scale=3", "+trainer.dataloader_drop_last=true"), [("seed=1",), ("seed=2",)]),
            (("adapt=[tsdae]", "adapt.tsdae.trainer.max_steps=3"), [("loss=mnrl",), ("loss=cosent",)]),
            (("model.adapter=lora", "model.adapter.r=3"), [("model=minilm",), ("model=minilm_l3",)]),
            (("name=实验 b", "loss.scale=null"), [("loss=mnrl",), ("loss=cosent",)]),
            (("modifier=null", "experiment=null"), [("seed=1",), ("seed=2",)]),
            (("step=[clean]", "dataset.steps.clean.min_chars=3"), [("dataset=finance",), (PAIRS,)]),
            (("experiment=stsb_regression", "~trainer.weight_decay"), [("model=tiny",), ("model=bow",)]),
        ],
        5,
    ),
    ids=str,
)
def test_each_job_has_the_configuration_of_its_command(monkeypatch, tmp_path, typed, cells):
    (tmp_path / "pairs.csv").write_text("anchor,positive\na,b\n")
    monkeypatch.chdir(tmp_path)
    swept = {cell[0].partition("=")[0]: [] for cell in cells}
    for cell in cells:
        swept[cell[0].partition("=")[0]].append(cell[0].partition("=")[2])
    if swept.get("dataset"):
        cells = [("dataset=finance",), ("dataset=finance_zh",)]
        swept = {"dataset": ["finance", "finance_zh"]}
    sweep = [f"{key}={','.join(values)}" for key, values in swept.items()]
    jobs = jobs_of(monkeypatch, tmp_path, *typed, *sweep)
    assert jobs == [alone(*typed, *cell) for cell in cells]


def test_a_key_that_only_some_jobs_have_is_refused_or_left_out(monkeypatch, tmp_path, capsys):
    command = ("loss=mnrl,contrastive", "~loss.size_average")
    with pytest.raises(SystemExit):
        jobs_of(monkeypatch, tmp_path, *command)
    assert "~loss.size_average is for some jobs of the sweep only: loss=mnrl has no such key" in capsys.readouterr().err
    jobs = jobs_of(monkeypatch, tmp_path, *command, "sweep.unknown_keys=leave_out")
    assert ["size_average" in job["loss"] for job in jobs] == [False, False]
    assert jobs[0] == alone("loss=mnrl", "sweep.unknown_keys=leave_out")


def test_what_no_job_has_is_said_before_any_runs(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        jobs_of(monkeypatch, tmp_path, "loss=mnrl,cosent", "~loss.nothing")
    assert "~loss.nothing leaves out what is not there" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["hydra.verbose=true", "sweep.workers=2", "paths.runs=r", "experiment=tsdae"])
def test_what_the_multirun_reads_itself_goes_to_hydra(typed):
    assert _for_hydra(["--multirun", typed, "~loss.scale", "seed=1,2"], "config") == ["--multirun", typed]
    assert JOBS.get()[-2:] == ("~loss.scale", "seed=1,2")


def test_the_configuration_that_is_shown_is_that_of_the_first_job():
    typed = ["-m", "--cfg", "job", "loss=angle,mnrl", "seed=range(3,5)", "~trainer.optim"]
    assert _for_hydra(typed, "config") == ["--cfg", "job", "loss=angle", "seed=3", "~trainer.optim"]
