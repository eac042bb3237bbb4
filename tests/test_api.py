"""embexp from Python: runs and numbers of the command line, exceptions in place of exits, nothing left changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY
from typed_commands import run_typed

import embexp

# Runs in a process of its own, as a notebook's kernel would: two runs, then everything else on them.
STORY = """
import json, os, sys
import embexp
assert not {"torch", "hydra", "pandas"} & {*sys.modules}, "import embexp is to be cheap"
TINY = json.loads(sys.argv[1])
environment, arguments = dict(os.environ), [*sys.argv]
first = embexp.run(*TINY, "dataset=faq.csv", "loss=cosent", "name=实验", "tracking=mlflow", "seed=1")
second = embexp.run(*TINY, "loss=mine", "seed=2", "tracking=mlflow", config_dir="own")
assert dict(os.environ) == environment and sys.argv == arguments
loaded = embexp.load(json.loads((second.folder / "run.json").read_text())["id"])
compared = embexp.compare(embexp.run(*TINY, "seed=3", "tracking=none"), loaded.folder, "resamples=100")
ranked = embexp.leaderboard("rows=loss", "resamples=100")
scored = embexp.evaluate("model=tiny,static_scratch", "tracking=none", "threads=1", "speed_texts=0")
examples = loaded.examples("sts", "test")
print("FOUND", json.dumps({
    "first": first.metrics, "folders": [str(first.folder), str(second.folder)], "repr": [repr(first), repr(loaded)],
    "html": first._repr_html_(), "same": loaded.result == second.result,
    "examples": [*examples.columns], "rows": len(examples),
    "encoded": len(loaded.model().encode(["a text"])[0]),
    "compared": [*compared.table.columns], "page": repr(compared).splitlines()[0],
    "ranked": ranked.table.loc[~ranked.table.is_base, ["loss", "model", "score"]].to_dict("records"),
    "scored": scored.table.to_dict("records"), "kinds": sorted(compared.tables),
}))
"""
FAQ = "sentence1,sentence2,score\n" + "".join(
    f"问题 {n} 怎么办,{'问题' if n % 2 else '别的事'} {n} 如何处理,{n % 5 / 4}\n" for n in range(40)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, empty_store) -> Path:
    import shutil

    folder = tmp_path_factory.mktemp("api")
    shutil.copy(empty_store, folder / "mlflow.db")
    (folder / "faq.csv").write_text(FAQ, "utf-8")
    (folder / "own/loss").mkdir(parents=True)
    shipped = Path(__file__).parent.parent / "conf/loss/mnrl.yaml"
    (folder / "own/loss/mine.yaml").write_text(shipped.read_text("utf-8").replace("20.0", "33.0"), "utf-8")
    return folder


@pytest.fixture(scope="module")
def story(place) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", STORY, json.dumps(TINY)], cwd=place, capture_output=True, text=True, timeout=500,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.partition("FOUND ")[2])


def test_a_run_is_what_the_command_line_makes(story, place):
    code, output = run_typed(place, *TINY, "dataset=faq.csv", "loss=cosent", "name=实验", "seed=1", "tracking=none")
    assert code == 0, output
    result = json.loads(max((place / "runs").glob("*/*/result.json")).read_text("utf-8"))
    of_time = ("cost/", "loss/")
    expected = {key: value for key, value in result["metrics"].items() if not key.startswith(of_time)}
    assert expected
    assert {key: value for key, value in story["first"].items() if not key.startswith(of_time)} == expected


def test_a_run_shows_itself(story):
    first, loaded = story["repr"]
    assert first.startswith("<Run 实验 FINISHED test/sts/spearman_cosine ") or first.startswith(
        "<Run 实验 FINISHED dev/"
    )
    assert story["folders"][0] in first
    assert story["folders"][1] in loaded
    assert story["same"]
    assert "<table" in story["html"]
    assert (Path(story["folders"][0]) / "embexp.log").read_text("utf-8")
    assert "name=" in (Path(story["folders"][0]) / ".hydra/overrides.yaml").read_text("utf-8")


def test_examples_and_the_model_are_at_hand(story):
    assert {"id", "gold", "base_cosine", "trained_cosine"} <= {*story["examples"]}
    assert story["rows"] > 100
    assert story["encoded"] == 32


def test_other_results_come_as_tables(story):
    assert {"metric", "first", "second", "difference", "low", "high", "verdict"} <= {*story["compared"]}
    assert story["page"].startswith("# ")
    assert {"metrics", "other_tests", "configuration"} <= {*story["kinds"]}
    assert {"mnrl", "mine"} & {row["loss"] for row in story["ranked"]}
    assert {row["model"] for row in story["scored"]} == {"tiny", "static_scratch"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=mnlr"], "Did you mean 'mnrl'"),
        (["-m", "loss=mnrl,cosent"], "embexp.run takes no -m: a sweep is for the command line"),
        (["seed=1,2"], "seed=1,2 names several values, and embexp.run makes one run"),
        (["--cfg", "job"], "takes no flag such as --cfg"),
        (["los=mnrl"], "los is not a key"),
        (["resume=nowhere"], "resume=nowhere is neither a folder nor the id of a run"),
    ],
)
def test_mistakes_are_exceptions_and_leave_nothing(overrides, message, workplace):
    before = dict(os.environ)
    with pytest.raises(embexp.EmbexpError, match=message):
        embexp.run(*overrides)
    assert dict(os.environ) == before
    assert not [*workplace.iterdir()]


@pytest.mark.usefixtures("workplace")
def test_other_functions_raise_too():
    with pytest.raises(embexp.EmbexpError, match="neither a folder nor the id of a run"):
        embexp.load("nowhere")
    with pytest.raises(embexp.EmbexpError, match="neither a folder nor the id of a run"):
        embexp.compare("a", "b")
    with pytest.raises(embexp.EmbexpError, match="evaluator"):
        embexp.evaluate("evaluator=[foo]")
    with pytest.raises(embexp.EmbexpError, match="rows"):
        embexp.leaderboard("row=loss")
    with pytest.raises(embexp.EmbexpError, match="not a folder"):
        embexp.run(config_dir="nowhere")


# An application that uses Hydra itself, with a configuration of its own and one group of ours.
APPLICATION = """
import hydra, json
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import getbase

@hydra.main(config_path=None, config_name="mine", version_base="1.1")
def main(config):
    before = GlobalHydra.instance(), GlobalHydra.instance().hydra, HydraConfig.instance(), getbase()
    import embexp
    try:
        embexp.run("loss=mnlr")
    except embexp.EmbexpError as error:
        assert "Did you mean 'mnrl'" in str(error)
    run = embexp.run(*config.overrides)
    after = GlobalHydra.instance(), GlobalHydra.instance().hydra, HydraConfig.instance(), getbase()
    assert all(one is other for one, other in zip(before[:3], after[:3])) and before[3] == after[3]
    assert HydraConfig.get().job.config_name == "mine"
    print("FOUND", run.result["run"]["status"], config.loss._target_)

from hydra.core.config_store import ConfigStore
ConfigStore.instance().store("mine", {
    "defaults": ["_self_", {"loss": "cosent"}], "hydra": {"searchpath": ["pkg://embexp.conf"]}, "overrides": []})
main()
"""


@pytest.mark.slow
def test_an_application_with_hydra_of_its_own_keeps_it(workplace):
    (workplace / "app.py").write_text(APPLICATION, "utf-8")
    typed = [*TINY, "tracking=none", "trainer.max_steps=1"]
    overrides = ",".join(f'"{each}"' for each in typed)
    done = subprocess.run(
        [sys.executable, "app.py", f"overrides=[{overrides}]"],
        cwd=workplace, capture_output=True, text=True, timeout=400,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "HYDRA_FULL_ERROR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "FOUND FINISHED sentence_transformers" in done.stdout


def test_the_configuration_is_a_package():
    code = (
        "import hydra\n"
        "with hydra.initialize_config_module('embexp.conf', version_base='1.3'):\n"
        "    print(hydra.compose('config', overrides=['loss=cosent']).loss._target_)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip().endswith("CoSENTLoss"), done.stderr


def test_the_functions_are_not_shadowed_by_the_commands_modules():
    assert all(
        callable(getattr(embexp, name)) for name in ("compare", "evaluate", "gate", "leaderboard", "load", "race")
    )
    assert embexp.Run.__module__ == "embexp.reports.frames"
    assert not hasattr(embexp, "nothing")


def test_what_an_engine_types_again_for_a_race_is_what_was_given(workplace, monkeypatch):
    from embexp.cli.app import TYPED
    from embexp.errors import EngineError
    from embexp.racing import race_run

    def died(*_):
        raise EngineError(" ".join(TYPED.get()))

    before = TYPED.get()
    (workplace / "own/loss").mkdir(parents=True)
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(race_run, "run_race", died)
    with pytest.raises(EngineError) as found:
        embexp.race(*TINY, "budget=20000examples", config_dir="own")
    assert str(found.value).split() == ["--config-dir", str(workplace / "own"), *TINY, "budget=20000examples"]
    assert TYPED.get() == before
