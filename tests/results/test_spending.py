"""What a budget is spent on, in which order, and that nothing is measured twice; when it ends, what runs is stopped."""

import logging
import sys
import time

import pytest

from embexp.core.run_folder import write_json
from results.findings import is_open, progress
from results.plan import following
from results.recipes import Recipe, run_recipes

ROW = {"variant": "loss=mnrl", "metric": "test/sts/spearman_cosine", "verdict": "better"}


def recipe_in(folder, name):
    return Recipe(name, (f"loss={name}", "seed=1,2"), "none", folder / f"{name}-base")


def end(recipe, ended=True):
    recipe.folder.mkdir(parents=True)
    write_json(recipe.folder / "sweep.json", {"ended": ended})


@pytest.fixture
def recipes(tmp_path):
    return [recipe_in(tmp_path, name) for name in ("decided", "open", "unmeasured")]


def found_with(*undecided, measured=("decided", "open")):
    rows = [
        ROW | {"recipe": name, "verdict": "undecided" if name in undecided else "better", "needed": ""}
        for name in measured
    ]
    return {"rows": rows, "pairs": []}


def test_a_seed_more_is_a_sweep_of_its_own_and_found_again(recipes):
    recipe = recipes[0]
    assert recipe.seeds == [1, 2]
    more = recipe.with_next_seed
    assert more.overrides == ("loss=decided", "seed=1,2,3")
    assert more.folder != recipe.folder
    assert recipe.latest == recipe.latest_ended == recipe
    end(more, ended=False)
    assert (recipe.latest, recipe.latest_ended) == (more, recipe)
    end(more.with_next_seed)
    assert recipe.latest.seeds == [1, 2, 3, 4]


def test_what_has_no_result_comes_first_then_a_seed_more_where_something_is_undecided(recipes):
    decided, undecided, unmeasured = recipes
    end(decided)
    end(undecided)
    found = [found_with("open")]
    next_sweep = following(recipes, lambda: found[0], {})
    assert next_sweep(set()) == unmeasured
    assert next_sweep({"unmeasured"}) == undecided.with_next_seed
    assert next_sweep({"unmeasured", "open"}) is None
    end(undecided.with_next_seed)
    end(unmeasured)
    found[0] = found_with("open", "unmeasured", measured=("decided", "open", "unmeasured"))
    assert next_sweep(set()) == unmeasured.with_next_seed  # it has the fewest seeds
    assert next_sweep({"unmeasured"}).seeds == [1, 2, 3, 4]
    found[0] = found_with(measured=("decided", "open", "unmeasured"))
    assert next_sweep(set()) is None


def test_what_was_stopped_goes_on_what_failed_is_left_and_nothing_is_given_twice(recipes):
    _, undecided, unmeasured = recipes
    end(undecided)
    stopped = undecided.with_next_seed
    end(stopped, ended=False)
    codes = {}
    next_sweep = following(recipes, lambda: found_with("open"), codes)
    assert next_sweep(set()) == unmeasured
    codes["unmeasured"] = 1
    assert next_sweep(set()) == stopped
    assert next_sweep(set()) is None


def test_what_was_measured_elsewhere_begins_with_its_own_seeds(recipes):
    next_sweep = following(recipes[:2], lambda: found_with("open"), {})
    assert next_sweep(set()) == recipes[1]


def test_questions_that_only_more_examples_decide_are_closed():
    row = ROW | {"recipe": "open", "verdict": "undecided"}
    assert is_open({"rows": [row | {"needed": "1 more seed would show"}], "pairs": []}, "open")
    assert is_open({"rows": [row], "pairs": []}, "open")
    by_examples = row | {"needed": "about 900 more examples would show"}
    assert not is_open({"rows": [by_examples | {"seeds": ["1", "2"]}], "pairs": []}, "open")
    assert is_open({"rows": [by_examples | {"seeds": ["1"]}], "pairs": []}, "open")  # which says nothing of seeds
    assert not is_open({"rows": [row], "pairs": []}, "another")
    both = [ROW | {"recipe": "open"}, ROW | {"recipe": "open", "variant": "loss=cosent"}]
    assert is_open({"rows": both, "pairs": []}, "open")  # the two were not compared
    pair = {"recipe": "open", "first": "loss=mnrl", "second": "loss=cosent", "verdict": "worse"}
    assert not is_open({"rows": both, "pairs": [pair]}, "open")


def test_the_share_of_the_plan_that_is_done():
    rows = [ROW | {"recipe": "losses", "variant": f"loss={loss}"} for loss in ("mnrl", "cosent", "angle")]
    pairs = [{"recipe": "losses", "first": "loss=mnrl", "second": "loss=cosent", "verdict": "undecided"}]
    found = progress(["losses", "later"], {"rows": rows, "pairs": pairs})
    assert (found["recipes"], found["planned"]) == (1, 2)
    assert (found["decided"], found["undecided"], found["not_compared"], found["questions"]) == (3, 1, 2, 6)
    assert found["open_recipes"] == 1


def test_when_the_budget_is_used_up_what_runs_is_stopped(tmp_path, monkeypatch, caplog):
    command = tmp_path / "command"
    command.write_text("#!/bin/sh\nexec sleep 60\n")
    command.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(command))
    recipe, start = recipe_in(tmp_path, "slow"), time.monotonic()
    offers = [recipe]
    with caplog.at_level(logging.INFO, "results.reproduce"):
        assert [*run_recipes([], 2, lambda _: offers.pop() if offers else None, 0.5)] == []
    assert 0.5 < time.monotonic() - start < 20
    assert "The budget of 0.5 s is used up" in caplog.text
    assert not recipe.has_ended
