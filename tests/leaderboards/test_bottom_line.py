"""The bottom line of a leaderboard: ship, keep, or what would decide; and the command that adds only that."""

import json
import shlex
from dataclasses import replace

import pytest
from recorded_runs import recorded, write_run

from embexp.core.run_folder import RECORD
from embexp.experiment.sweep_record import RATES, TAKEN, TRIALS, changes_no_job, searched_in
from embexp.leaderboards.axes import PART
from embexp.leaderboards.bottom_line import KEEP, SHIP, WAIT, command_with_seeds
from embexp.leaderboards.make import make_leaderboard, write_leaderboard
from embexp.leaderboards.runs import runs_in, runs_of_sweep
from embexp.leaderboards.tables import as_markdown


def runs_of(folder, cells, seeds=(1, 2, 3)):
    """Runs of cells (loss, noise, model), as jobs of a sweep."""
    found = []
    for loss, noise, model in cells:
        for seed in seeds:
            path = write_run(folder / f"{loss}-{model}-{seed}", noise, loss=loss, model=model, seed=seed)
            (run,) = runs_in([path])
            found.append(replace(run, typed=(f"loss={loss}", f"model={model}", f"seed={seed}", "sweep.workers=2")))
    return found


def line_of(runs):
    leaderboard = make_leaderboard(runs, resamples=500)
    return leaderboard, *leaderboard.bottom_lines


def said(line, label):
    return [text for name, text in line.lines if name == label]


def test_the_best_cell_is_shipped_where_all_others_are_decided(tmp_path):
    runs = runs_of(tmp_path, [("mnrl", 0.3, "minilm"), ("cosent", 0.6, "minilm"), ("cosine", 0.9, "minilm")])
    for run, dev in zip(runs, (0.1, 0.3, 0.2) * 3, strict=True):
        run.metrics["dev/sts/spearman_cosine"] = dev
    leaderboard, line = line_of(runs)
    assert line.decision == SHIP
    assert said(line, "ship") == ["mnrl · minilm, seed 2, the best of 3 on dev"]
    against = said(line, "against")
    assert [text.partition(":")[0] for text in against] == [
        "the untouched minilm",
        "the runner-up cosent · minilm",
        "cosine · minilm",
    ]
    assert all(text.endswith(": better") for text in against)
    assert line.folder == str(tmp_path / "mnrl-minilm-2" / "stages" / "main" / "model")
    assert shlex.split(line.command)[3:] == [f"run={tmp_path / 'mnrl-minilm-2'}", "export=[onnx]"]
    text = as_markdown(leaderboard)
    assert text.index("**bottom line** ship") < text.index("| ---")
    assert f"`{line.command}`" in text


def test_undecided_cells_are_named_and_the_command_that_adds_only_their_seeds_decides(tmp_path):
    cells = [("mnrl", 0.5, "minilm"), ("cosent", 0.56, "minilm"), ("cosine", 1.2, "minilm")]
    _, line = line_of(runs_of(tmp_path / "first", cells))
    assert line.decision == WAIT
    (undecided,) = said(line, "undecided")
    assert undecided.startswith("cosent · minilm: +0.0")
    assert undecided.endswith(": undecided; 2 more seeds would show this difference in 80 of 100 cases")
    assert shlex.split(line.command)[3:] == [
        "-m",
        "loss=mnrl,cosent",
        "model=minilm",
        "sweep.workers=2",
        "seed=1,2,3,4,5",
    ]
    _, after = line_of(runs_of(tmp_path / "second", cells[:2], (1, 2, 3, 4, 5)))
    assert after.decision == SHIP


def test_where_so_many_seeds_would_be_needed_no_command_is_proposed(tmp_path):
    _, line = line_of(runs_of(tmp_path, [("mnrl", 0.5, "minilm"), ("cosent", 0.501, "minilm")]))
    assert (line.decision, line.command) == (WAIT, "")
    assert said(line, "next") == ["up to 30 seeds alone cannot decide it: more test rows"]


@pytest.mark.parametrize("noise", [1.2, 1.0])
def test_where_no_cell_is_better_the_untouched_model_is_kept(tmp_path, noise):
    _, line = line_of(runs_of(tmp_path, [("mnrl", noise + 0.4, "minilm"), ("cosent", noise + 1, "minilm")]))
    assert line.decision == KEEP
    assert said(line, "kept") == ["the untouched minilm: no cell is better"]
    assert (line.command, line.folder) == ("", "")


def test_an_untouched_model_that_beats_all_trained_ones_is_kept(tmp_path):
    runs = runs_of(tmp_path, [("mnrl", 0.9, "minilm")])
    runs += [*runs_in(write_run(tmp_path / f"b{seed}", 1.5, base_noise=0.2, model="b", seed=seed) for seed in (1, 2))]
    _, line = line_of(runs)
    assert line.decision == KEEP
    assert said(line, "kept") == ["(untouched) · b: no cell is better"]


def test_equal_cells_may_be_shipped_in_place_of_each_other(tmp_path):
    runs = runs_of(tmp_path, [("mnrl", 0.3, "minilm")], seeds=(1,))
    copied = write_run(tmp_path / "same", 0.3, loss="mnrl", seed=1)
    content = json.loads((copied / "result.json").read_text())
    content["params"]["loss"] = "twin"
    (copied / "result.json").write_text(json.dumps(content))
    _, line = line_of([runs[0], *runs_in([copied])])
    assert line.decision == SHIP
    assert said(line, "equal")[0].endswith("as good, so that the cheaper one may be shipped")
    assert said(line, "note") == [
        "each cell has one seed: this is about these models, not about what another seed would give"
    ]


@pytest.mark.parametrize(("gain", "decision"), [(0.02, SHIP), (0.0495, WAIT)])
def test_without_values_of_examples_ties_are_undecided(gain, decision):
    runs = [recorded(1, 0.05, 0.002), recorded(2, gain, 0.002, loss="cosent")]
    (line,) = make_leaderboard(runs).bottom_lines
    assert line.decision == decision
    assert line.command.startswith("python -m embexp.export") == (decision == SHIP)


def test_a_cell_that_is_identical_to_its_untouched_model_is_decided_with_that_one(tmp_path):
    runs = runs_of(tmp_path, [("mnrl", 0.3, "minilm"), ("contrastive", 1.0, "minilm")], seeds=(1, 2))
    for run in runs[2:]:
        run.tags["verdict"] = "identical"
    leaderboard, line = line_of(runs)
    assert [cell.verdict for cell in leaderboard.trained] == ["better", "identical"]
    assert line.decision == SHIP
    assert [text.partition(":")[0] for text in said(line, "against")] == ["the untouched minilm"]


def test_runs_that_did_not_finish_are_said(tmp_path):
    runs = [*runs_of(tmp_path, [("mnrl", 0.3, "minilm")]), recorded(9, 0.0, status="FAILED", loss="x")]
    _, line = line_of(runs)
    assert said(line, "note")[-1] == "1 run of this leaderboard did not finish and may change this"


def test_a_group_each_has_a_bottom_line_and_an_empty_board_has_none(tmp_path):
    runs = [recorded(1, 0.05), recorded(2, 0.05, dataset="other")]
    leaderboard = make_leaderboard(runs)
    assert [line.group for line in leaderboard.bottom_lines] == [1, 2]
    assert "**bottom line** group 2: ship" in as_markdown(leaderboard)
    assert make_leaderboard([]).bottom_lines == ()
    write_leaderboard(leaderboard, tmp_path)
    assert 'id="bottom-line"' in (tmp_path / "leaderboard.html").read_text()
    assert json.loads((tmp_path / "leaderboard.json").read_text())["bottom_lines"][0]["decision"] == SHIP


@pytest.mark.parametrize(
    ("jobs", "seeds", "number", "typed", "extra"),
    [
        ([["loss=a", "seed=1"]], {"1", "2"}, 4, "loss=a seed=1,2,3,4", 0),
        ([["loss=a"], ["loss=b"]], {"42"}, 3, "loss=a,b seed=42,43,44", 0),
        ([["loss=a", "model=x"], ["loss=b", "model=y"]], {"1"}, 2, "loss=a,b model=x,y seed=1,2", 2),
        ([["loss=a", "loss.scale=20"], ["loss=b"]], {"3", "10"}, 3, "loss=a,b loss.scale=20 seed=3,10,11", 0),
        ([["+x=[1,2]", "~export"], ["+x=[3]", "~export"]], {"1"}, 2, "+x=[1,2],[3] ~export seed=1,2", 0),
        (
            [["loss=a", "sweep.fair=true", "seed=1", "trainer.learning_rate=1e-05"]],
            {"1"},
            2,
            "loss=a sweep.fair=true seed=1,2",
            0,
        ),
        ([["trainer.learning_rate=1e-05"]], {"1"}, 2, "trainer.learning_rate=1e-05 seed=1,2", 0),
    ],
)
def test_the_command_holds_these_cells_and_the_seeds_that_there_were(jobs, seeds, number, typed, extra):
    command, found = command_with_seeds(jobs, seeds, number)
    assert (shlex.split(command)[3:], found) == (["-m", *typed.split()], extra)


def test_two_jobs_that_took_one_run_are_both_there(tmp_path):
    write_run(tmp_path / "other", 0.3)
    (tmp_path / "other" / RECORD).write_text("{}")
    for number, part in enumerate(("all", "without clean")):
        (tmp_path / "sweep" / str(number) / ".hydra").mkdir(parents=True)
        overrides = tmp_path / "sweep" / str(number) / ".hydra" / "overrides.yaml"
        overrides.write_text(f"- sweep.part={part}\n")
        (tmp_path / "sweep" / str(number) / TAKEN).write_text(json.dumps({"folder": str(tmp_path / "other")}))
    assert [run.params[PART] for run in runs_of_sweep(tmp_path / "sweep")] == ["all", "without clean"]


def test_a_sweeps_runs_know_what_was_typed_and_what_was_searched(tmp_path):
    for number, noise in enumerate((0.3, 0.6)):
        write_run(tmp_path / str(number), noise, loss=f"l{number}")
        (tmp_path / str(number) / ".hydra").mkdir()
        (tmp_path / str(number) / ".hydra" / "overrides.yaml").write_text(f"- loss=l{number}\n- seed=1\n")
    write_run(tmp_path / TRIALS / "0", 0.3)
    tried = [{"rate": 1e-5, "dev": 0.5}, {"rate": 1e-4, "dev": None, "error": "nan"}]
    cells = [{"jobs": [1], "tried": tried, "chosen": 1e-5}, {"jobs": [0], "tried": tried[1:], "chosen": None}]
    (tmp_path / RATES).write_text(json.dumps({"share": 0.25, "cells": cells}))
    runs = runs_of_sweep(tmp_path)
    assert [run.typed for run in runs] == [("loss=l0", "seed=1"), ("loss=l1", "seed=1")]
    assert [run.searched.get("chosen") for run in runs] == [None, 1e-5]
    assert {*searched_in(tmp_path)} == {1}
    assert not changes_no_job("sweep.fair=true")
