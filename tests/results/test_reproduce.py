"""Recipes measured one after the other: a failure stops no other, nothing is run again, and the page has all."""

import json
import logging
import os
import signal
import time

import pytest
from killed_runs import SERVER
from omegaconf import OmegaConf

from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose, composed, resolve
from embexp.config.session import hydra_started
from embexp.core.run_folder import read_json, write_json
from embexp.errors import ConfigError
from results.recipes import read_recipes
from results.reproduce import as_overrides, reproduce

SMOKE = ["trainer=smoke", "trainer.max_steps=2", "model=tiny", "threads=1", "evaluator.sts.resamples=50"]
RECIPES = {
    "two_losses": {"overrides": ["loss=mnrl,cosent"], "published": "none"},
    "wrong": {"overrides": ["loss=mnrk"], "published": "none"},
    "one_loss": {"overrides": ["loss=angle"], "published": "test 84.7"},
}


def configured(recipes, *overrides):
    with hydra_started():
        config, choices = composed(quote_texts(as_overrides(overrides)), "reproduce")
    OmegaConf.set_struct(config, False)
    config.recipes = recipes
    config.size = {"seeds": [1], "side_by_side": 1, "common": SMOKE, "recipes": {}}
    return config, choices


def reproduce_in(folder, recipes):
    """The command in a process group of its own, so that it can be killed with all that it started."""
    os.setsid()
    os.chdir(folder)
    reproduce(*configured(recipes, "tracking=none"))


def runs_below(folder):
    return {path.parent: path.stat().st_mtime_ns for path in folder.glob("sweeps/reproduce/*/*/result.json")}


@pytest.mark.slow
def test_killed_and_typed_again_it_repeats_nothing_and_reports_all_and_what_failed(workplace, caplog):
    process = SERVER.Process(target=reproduce_in, args=(workplace, RECIPES))
    process.start()
    end = time.monotonic() + 120
    while len(runs_below(workplace)) < 2 and process.is_alive() and time.monotonic() < end:
        time.sleep(0.05)
    second = next((workplace / "sweeps/reproduce").glob("one_loss-*"), None)
    while not (second and (second / "0/metrics.jsonl").is_file()) and process.is_alive() and time.monotonic() < end:
        second = next((workplace / "sweeps/reproduce").glob("one_loss-*"), None)
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    before = runs_below(workplace)
    assert [path.parent.name.partition("-")[0] for path in before].count("two_losses") == 2

    process = SERVER.Process(target=reproduce_in, args=(workplace, RECIPES))
    process.start()
    process.join(120)
    assert process.exitcode == 1
    after = runs_below(workplace)
    assert len(after) == 3
    assert all(after[path] == when for path, when in before.items() if path.parent.name.startswith("two_losses"))
    page = (workplace / "RESULTS.md").read_text()
    found = json.loads((workplace / "results/cpu.json").read_text())
    rows = found["rows"]
    assert [(row["recipe"], row["variant"]) for row in rows] == [
        ("two_losses", "loss=mnrl"),
        ("two_losses", "loss=cosent"),
        ("one_loss", ""),
    ]
    for row in rows:
        assert row["seeds"] == ["1"]
        assert row["score"][1] < row["score"][0] < row["score"][2]
        assert row["rows_trained"] == 16
        assert f"| {row['score'][0]:.4f} (" in page
        assert all(run in page for run in row["runs"])
        assert row["examples"] > 1
        assert row["steps"] == 2
        assert row["fingerprints"][0] in page
    assert "| 1 (examples only) |" in page
    assert [row["corrected_for"] for row in rows] == [2, 2, 1]
    (pair,) = found["pairs"]
    assert (pair["first"], pair["second"]) == ("loss=mnrl", "loss=cosent")
    assert pair["difference"][0] == pytest.approx(rows[1]["score"][0] - rows[0]["score"][0])
    assert "| two_losses | loss=cosent | loss=mnrl | test/sts/spearman_cosine |" in page
    assert found["progress"]["recipes"] == 2
    assert f"Of 3 recipes 2 are measured; of {found['progress']['questions']} questions about these" in page
    assert "python -m embexp -m loss=angle trainer=smoke" in page
    (failure,) = found["failures"]
    assert failure.startswith("wrong: ")
    assert "mnrk" in failure
    assert f"- failed: {failure}" in page
    assert_rows_are_replaced_by_those_of_ended_sweeps_that_were_chosen(workplace, rows, caplog)


def assert_rows_are_replaced_by_those_of_ended_sweeps_that_were_chosen(workplace, rows, caplog):
    path = workplace / "results/cpu.json"
    pairs = read_json(path)["pairs"]
    earlier = [row | {"published": "earlier"} for row in rows]
    write_json(path, {"size": "cpu", "rows": earlier, "pairs": pairs, "failures": []})
    reproduce(*configured(RECIPES, "tracking=none", "only=[one_loss]"))
    assert read_json(path)["rows"] == [*earlier[:2], rows[2]]

    (folder,) = (workplace / "sweeps/reproduce").glob("two_losses-*")
    write_json(folder / "sweep.json", read_json(folder / "sweep.json") | {"ended": False})
    write_json(path, {"size": "cpu", "rows": earlier, "pairs": pairs, "failures": []})
    with caplog.at_level(logging.INFO, "results.reproduce"):
        reproduce(*configured(RECIPES, "tracking=none", "only=[]"))
    assert read_json(path)["rows"] == [*earlier[:2], rows[2]]
    assert read_json(path)["pairs"] == pairs
    assert f"two_losses loss=mnrl so far: test/sts/spearman_cosine {rows[0]['score'][0]:.4f}, seeds: 1" in caplog.text


def test_rows_measured_elsewhere_stay_on_the_page(workplace):
    config, choices = configured(RECIPES, "tracking=none", "size=gpu", "only=[]")
    row = {"recipe": "one_loss", "variant": "", "model": "minilm", "dataset": "nli", "shape": "triplet"}
    row |= {"train_rows": 7198, "rows_trained": 19200, "metric": "test/stsb/spearman_cosine", "base": 0.82}
    row |= {"score": [0.83, 0.82, 0.84], "difference": [0.01, None, None], "verdict": "no interval", "dev": None}
    row |= {"seeds": ["1"], "seconds": 12.3, "runs": ["1a2b"], "device": "NVIDIA H100", "commit": "c0ffee"}
    row |= {"published": "none", "command": "python -m embexp -m loss=angle"}
    (workplace / "results").mkdir()
    (workplace / "results/gpu.json").write_text(json.dumps({"size": "gpu", "rows": [row], "pairs": [], "failures": []}))
    (workplace / "results/notes.md").write_text("The order is the published one.")
    reproduce(config, choices)
    page = (workplace / "RESULTS.md").read_text()
    assert "Measured on NVIDIA H100." in page
    assert "| 0.8300 (0.8200 to 0.8400) | +0.0100 | no interval † |" in page
    assert "The order is the published one." in page


def test_what_is_measured_with_more_is_kept_apart(workplace):
    reproduce(*configured(RECIPES, "tracking=none", "only=[]", "more=[trainer.max_steps=1]"))
    (folder,) = (workplace / "results").iterdir()
    assert folder.name.startswith("with_trainer.max_steps=1_")
    assert (folder / "RESULTS.md").is_file()
    assert read_json(folder / "results/cpu.json")["rows"] == []
    assert not (workplace / "RESULTS.md").exists()


@pytest.mark.slow
@pytest.mark.parametrize("size", ["cpu", pytest.param("gpu", marks=pytest.mark.matrix)])
def test_every_shipped_recipe_composes_at_every_size_with_several_seeds(size, tmp_path):
    settings = resolve(compose(as_overrides([f"size={size}", f"paths.data={tmp_path}"]), "reproduce"))
    recipes = read_recipes(settings, size, "mlflow_metrics")
    assert len(recipes) >= 14
    assert len(settings["size"]["seeds"]) >= 2
    for recipe in recipes:
        compose([last_value(override) for override in recipe.overrides])


def last_value(override):
    """An override with the last of the values that are swept."""
    key, _, value = override.partition("=")
    return override if "[" in value else f"{key}={value.rpartition(',')[2]}"


def test_all_problems_are_raised_at_once():
    settings = resolve(compose(["only=[sbert_mnlr,sbert_from_scratch]", "paths.data=/nonexist"], "reproduce"))
    with pytest.raises(ConfigError) as refused:
        read_recipes(settings, "cpu", "mlflow_metrics")
    unknown, unmeasured, missing = map(str, refused.value.problems)
    assert unknown.startswith("only names the unknown recipe sbert_mnlr. Expected some of: ")
    assert "Did you mean 'sbert_" in unknown
    assert unmeasured.startswith("only names sbert_from_scratch, which is not measured at size=cpu. ")
    assert unmeasured.endswith("hint: type size=gpu")
    assert missing.startswith("paths.data=/nonexist is no folder. Expected a folder with public data sets")
    assert missing.endswith("hint: type paths.data=<folder>\nhint: type paths.data=bundled")


def test_bundled_rows_need_no_folder():
    settings = resolve(compose(["paths.data=bundled"], "reproduce"))
    assert all("paths.data=bundled" in each.overrides for each in read_recipes(settings, "cpu", "mlflow_metrics"))


def test_the_settings_of_the_tracker_and_the_folder_of_data_are_typed_as_hydra_reads_them(tmp_path):
    data = tmp_path / "news, old"
    data.mkdir()
    settings = resolve(compose(["only=[tsdae]"], "reproduce"))
    settings["paths"]["data"] = str(data)
    settings["tracking"] |= {"experiment": "recipes (1), seeds", "checkpoint": None, "register": "null"}
    overrides = read_recipes(settings, "cpu", "mlflow_metrics")[0].overrides
    config = compose([each for each in overrides if each.startswith(("tracking", "paths"))])
    assert config.paths.data == str(data)
    tracking = config.tracking
    assert (tracking.experiment, tracking.checkpoint, tracking.register) == ("recipes (1), seeds", None, "null")


def test_a_budget_is_a_time():
    config, choices = configured(RECIPES, "tracking=none", "only=[]", "budget=200examples")
    with pytest.raises(ConfigError, match="is no time"):
        reproduce(config, choices)


@pytest.mark.slow
def test_a_budget_adds_a_seed_and_measures_nothing_twice(workplace, monkeypatch):
    monkeypatch.setattr("results.plan.MOST_SEEDS", 2)
    monkeypatch.setattr("results.plan.is_open", lambda *_: True)
    recipes = {"one_loss": RECIPES["one_loss"]}
    reproduce(*configured(recipes, "tracking=none", "budget=10m"))
    (row,) = read_json(workplace / "results/cpu.json")["rows"]
    assert row["seeds"] == ["1", "2"]
    taken = [path.parent for path in (workplace / "sweeps/reproduce").glob("*/*/taken.json")]
    assert len(taken) == 1
    before = runs_below(workplace)
    assert len(before) == 2
    reproduce(*configured(recipes, "tracking=none", "budget=10m"))
    reproduce(*configured(recipes, "tracking=none"))
    assert runs_below(workplace) == before
    assert read_json(workplace / "results/cpu.json")["rows"] == [row]
