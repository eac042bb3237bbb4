"""Leaderboards of few, odd and many runs, and the files that are written of them."""

import csv
import json
import time
from dataclasses import replace

import pytest
from recorded_runs import recorded, write_run

from embexp.core.run_folder import LAYOUT, LAYOUT_TAG
from embexp.errors import ConfigError
from embexp.leaderboards.make import make_leaderboard, write_leaderboard
from embexp.leaderboards.runs import runs_in

FILES = {"leaderboard.tex", "leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.html"}
PICTURES = {"heat_map.png", "intervals.png", "pareto.png"}


def test_no_run_makes_an_empty_board_that_says_so(tmp_path):
    leaderboard = make_leaderboard(runs_in([]))
    assert (leaderboard.cells, leaderboard.notes) == ((), ("There is no run.",))
    write_leaderboard(leaderboard, tmp_path / "leaderboard")
    assert {path.name for path in (tmp_path / "leaderboard").iterdir()} == FILES


def test_one_run_makes_all_files(tmp_path):
    leaderboard = make_leaderboard([recorded(1, 0.05)])
    write_leaderboard(leaderboard, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES | PICTURES
    read = json.loads((tmp_path / "leaderboard.json").read_text())
    assert read["cells"][0]["difference"]["value"] == pytest.approx(0.05)
    assert read["cells"][0]["std"] is None
    rows = [*csv.DictReader((tmp_path / "leaderboard.csv").read_text(encoding="utf-8-sig").splitlines())]
    assert [(row["loss"], row["model"], row["verdict"]) for row in rows] == [
        ("mnrl", "minilm", "better"),
        ("(untouched)", "minilm", ""),
    ]


def test_runs_that_do_not_count_are_told_with_their_reason():
    outdated = recorded(2, 0.1, loss="cosine")
    runs = [
        recorded(1, 0.1),
        replace(outdated, tags={**outdated.tags, "embexp.outdated": "true"}),
        recorded(3, 0.1, status="FAILED"),
        recorded(4, 0.1, status="RUNNING"),
        recorded(5, 0.1, status="FAILED"),
        recorded(6, 0.2),
        replace(recorded(7, 0.1, loss="other"), tags={LAYOUT_TAG: str(LAYOUT)}),
    ]
    leaderboard = make_leaderboard(runs)
    assert [cell.runs for cell in leaderboard.trained] == [("run 6",)]
    notes = "\n".join(leaderboard.notes)
    assert "Of 7 runs 3 have not finished and do not count: 2 FAILED, 1 RUNNING." in notes
    assert "Left out: 1 run outdated: their configuration" in notes
    assert "Left out: 1 run without a value of the metric." in notes
    assert "Left out: 1 run of a configuration and seed that ran again later." in notes


def test_a_cell_of_several_configurations_is_told():
    runs = [recorded(number, 0.1, **{"loss.scale": scale}) for number, scale in enumerate((20.0, 30.0))]
    notes = make_leaderboard(runs, rows=["loss"], columns=["model"]).notes
    assert any(note.startswith("Runs of one cell differ in loss.scale besides the seed") for note in notes)
    assert not any("Runs of one cell" in note for note in make_leaderboard(runs).notes)


def test_what_goes_along_with_the_loss_without_following_from_it_is_told():
    runs = [
        recorded(1, 0.1, **{"trainer.learning_rate": 1e-5, "loss.class": "a"}),
        recorded(2, 0.1, loss="cosent", **{"trainer.learning_rate": 2e-5, "loss.class": "b"}),
    ]
    assert "Cells differ in trainer.learning_rate, too, which goes along with what the table shows." in (
        make_leaderboard(runs).notes
    )


def test_costs_are_the_mean_over_the_seeds_and_the_front_goes_by_the_chosen_one():
    runs = [recorded(1, 0.02), recorded(3, 0.02, seed=2), recorded(4, 0.03, loss="cosent"), recorded(5, 0.01, loss="c")]
    by_speed = {cell.row[0]: cell for cell in make_leaderboard(runs).trained}
    assert by_speed["mnrl"].costs["seconds"] == 20.0
    assert [name for name, cell in by_speed.items() if cell.on_front] == ["cosent", "c"]
    by_seconds = {cell.row[0]: cell for cell in make_leaderboard(runs, cost="seconds").trained}
    assert [name for name, cell in by_seconds.items() if cell.on_front] == ["cosent", "mnrl"]
    with pytest.raises(ConfigError, match=r"^cost=second was given\. Expected one of: .*Did you mean 'seconds'"):
        make_leaderboard(runs, cost="second")


def test_models_from_scratch_have_an_untouched_model_for_each_seed(tmp_path):
    folders = [write_run(tmp_path / str(seed), 0.5, base_noise=1 + seed / 10, seed=seed) for seed in (1, 2, 3)]
    leaderboard = make_leaderboard(runs_in(folders), resamples=200)
    (trained,) = leaderboard.trained
    (base,) = leaderboard.at(None, ("minilm",))
    assert trained.difference.value == pytest.approx(trained.score.value - base.score.value)


def test_eighteen_runs_with_examples_take_less_than_five_seconds(tmp_path):
    folders = [
        write_run(tmp_path / f"{loss}-{seed}", 0.5 + loss / 10, loss=f"loss {loss}", seed=seed)
        for loss in range(6)
        for seed in range(3)
    ]
    start = time.perf_counter()
    write_leaderboard(make_leaderboard(runs_in(folders)), tmp_path / "leaderboard")
    assert time.perf_counter() - start < 5


def test_an_untouched_model_without_a_score_leaves_no_difference_to_tell(tmp_path):
    folders = [write_run(tmp_path / str(seed), 0.5, base_noise=None, seed=seed) for seed in (1, 2)]
    leaderboard = make_leaderboard(runs_in(folders), resamples=200)
    (trained,) = leaderboard.trained
    assert (trained.verdict, trained.is_best) == ("no interval", True)
    assert leaderboard.cells[-1].is_base
    write_leaderboard(leaderboard, tmp_path / "leaderboard")
    assert (
        json.loads((tmp_path / "leaderboard" / "leaderboard.json").read_text())["cells"][-1]["score"]["value"] is None
    )
