"""Whole races of a tiny model: killed and resumed, in workers, with a larger budget, with runs that are there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import slurm_cluster
from conftest import TINY
from typed_commands import run_typed, typed

import embexp
from embexp.core.run_folder import is_closed, read_json, status_of

SHORT = ("trainer.max_steps=8", "trainer.eval_steps=4", "trainer.save_steps=4", "tracking=none")
RACE = (
    "race",
    *TINY,
    *SHORT,
    "loss=mnrl,cosent,triplet",
    "race.learning_rates=[1x]",
    "race.rungs=[0.5,1]",
    "race.seeds=2",
)
RACE = (*RACE, "hydra.run.dir=it")
PATIENCE = 300
pytestmark = pytest.mark.slow


def decisions(folder: Path) -> tuple:
    """Everything that a race has decided, and on what: without the time that it took, and without its place."""
    race = read_json(folder / "race.json")
    for each in race["rounds"]:
        each.pop("elapsed")
        for result in each["results"].values():
            del result["seconds"], result["trained"]
            result["scores"] = Path(result["scores"]).name
    return race["rounds"], race["ending"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A race in one process."""
    place = tmp_path_factory.mktemp("undisturbed")
    code, text = run_typed(place, *RACE)
    assert code == 0, text
    assert "bottom line" in text
    assert text.index("each training reads ") < text.index("\nestimate: ")
    return place / "it"


def test_only_the_winner_is_scored_on_test(undisturbed):
    winner = read_json(undisturbed / "race.json")["ending"]["winner"]
    for run in sorted((undisturbed / "runs").iterdir()):
        result = read_json(run / "result.json")
        is_winner = run.name.startswith(f"{winner}-")
        assert is_closed(run) == is_winner
        assert status_of(run) == ("FINISHED" if is_winner else "KILLED")
        assert any(key.startswith("test/") for key in result.get("metrics", {})) == is_winner
        assert (run / "rungs/0.5.parquet").is_file() or run.name.endswith("43")
    assert {*(path.name for path in (undisturbed / "runs").iterdir())} >= {"0-42", "1-42", "2-42"}


def test_the_same_command_after_the_end_trains_nothing(undisturbed):
    before = decisions(undisturbed)
    code, text = run_typed(undisturbed.parent, *RACE)
    assert code == 0, text
    assert "of its training done in" not in text
    assert decisions(undisturbed) == before


def test_from_python_it_is_the_same_race(undisturbed, monkeypatch):
    monkeypatch.chdir(undisturbed.parent)
    before = decisions(undisturbed)
    report = embexp.race(*RACE[1:])
    assert decisions(undisturbed) == before
    assert report.text == (undisturbed / "race.md").read_text("utf-8")
    assert report.content["ending"]["winner"] == read_json(undisturbed / "race.json")["ending"]["winner"]
    assert sorted(report.table["number"]) == [-1, 0, 1, 2]
    assert (report.table["parameters"][report.table["number"] >= 0] > 0).all()  # of the dropped ones, too
    with pytest.raises(embexp.EmbexpError, match="budget=5 has no unit"):
        embexp.race(*RACE[1:], "budget=5")


def kill_at(folder: Path, is_there: Callable[[Path], bool]) -> None:
    """Kill the command and its workers at a moment."""
    command = typed(folder, *RACE, "sweep.workers=2")
    assert command.kill_when(lambda text: "race" in text and is_there(folder / "it"), PATIENCE), command.text()


def has_tasks(number: int):
    return lambda folder: len([*folder.glob("tasks/*.json")]) >= number


def has_trained(candidate: int):
    return lambda folder: any(
        "train/loss" in path.read_text() for path in folder.glob(f"runs/{candidate}-*/metrics.jsonl")
    )


ONCE = (has_trained(2),)
FIVE_TIMES = (has_trained(0), has_tasks(2), has_trained(2), has_tasks(5), has_tasks(7))


@pytest.mark.parametrize(
    "moments", [ONCE, pytest.param(FIVE_TIMES, marks=pytest.mark.matrix)], ids=["once", "five times"]
)
def test_killed_with_its_workers_it_decides_the_same(workplace, undisturbed, moments):
    for moment in moments:
        kill_at(workplace, moment)
    code, text = run_typed(workplace, *RACE, "sweep.workers=2")
    assert code == 0, text
    assert decisions(workplace / "it") == decisions(undisturbed)
    winner = read_json(undisturbed / "race.json")["ending"]["winner"]
    metrics = [
        read_json(each / "runs" / f"{winner}-42" / "result.json")["metrics"] for each in (workplace / "it", undisturbed)
    ]
    first, second = ({key: value for key, value in each.items() if not key.startswith("cost/")} for each in metrics)
    assert first == second


@pytest.mark.matrix  # tests/racing/test_course.py has it without trainings
def test_a_larger_budget_lets_those_go_on_that_were_not_reached(workplace):
    code, text = run_typed(workplace, *RACE, "budget=96examples")
    assert code == 0, text
    small = json.loads((workplace / "it/race.json").read_text())
    assert any(each["waiting"] for each in small["rounds"])
    code, text = run_typed(workplace, *RACE, "budget=100000examples")
    assert code == 0, text
    large = json.loads((workplace / "it/race.json").read_text())
    assert large["rounds"][0]["tasks"] == small["rounds"][0]["tasks"]
    assert len(large["rounds"]) > len(small["rounds"])
    assert large["ending"]["winner"] is not None


@pytest.mark.matrix
def test_a_finished_run_of_the_same_configuration_is_taken(workplace):
    code, text = run_typed(workplace, *TINY, *SHORT, "loss=mnrl", "seed=42", "hydra.run.dir=runs/2026-01-01/00-00-00")
    assert code == 0, text
    code, text = run_typed(workplace, *RACE)
    assert code == 0, text
    assert Path(read_json(workplace / "it/runs/0-42/taken.json")["folder"]) == workplace / "runs/2026-01-01/00-00-00"
    assert not (workplace / "it/runs/0-42/run.json").exists()


def test_a_candidate_that_fails_is_out_with_its_error(workplace):
    own = (
        "loss=mnrl",
        "loss.scale=20,1e39",
        "race.learning_rates=[1x]",
        "race.rungs=[1]",
        "race.seeds=1",
        "hydra.run.dir=it",
    )
    code, text = run_typed(workplace, "race", *TINY, *SHORT, *own)
    assert code == 0, text
    race = read_json(workplace / "it/race.json")
    failed = [result["error"] for each in race["rounds"] for result in each["results"].values() if result["error"]]
    assert len(failed) == 1
    assert failed[0].startswith("TrainingError: The loss is nan at step 1")
    assert race["ending"]["winner"] == 0
    assert "failed" in text.partition("bottom line")[0]


def test_rows_that_have_changed_are_refused_and_another_races_folder_is_too(workplace):
    rows = [f"question {number},answer {number % 7} of {number}" for number in range(60)]
    (workplace / "faq.csv").write_text("\n".join(["question,answer", *rows]))
    own = ("race", *TINY[:3], *SHORT, "dataset=faq.csv", "loss=mnrl", "race.learning_rates=[1x]", "race.rungs=[1]")
    own = (*own, "race.seeds=1", "hydra.run.dir=it")
    code, text = run_typed(workplace, *own)
    assert code == 0, text
    (workplace / "faq.csv").write_text("\n".join(["question,answer", *rows[1:]]))
    code, text = run_typed(workplace, *own)
    assert code == 1
    assert "The race cannot go on, because what it began with has changed: main/" in text
    code, text = run_typed(workplace, *own, "loss.scale=30")
    assert code == 1
    assert "it holds another race (" in text
    assert "type hydra.run.dir=<folder>" in text


@pytest.mark.matrix
@pytest.mark.cluster
@pytest.mark.skipif(bool(slurm_cluster.lacks()), reason=slurm_cluster.lacks() or "-")
def test_on_slurm_it_decides_the_same(workplace, undisturbed):
    with slurm_cluster.running(workplace / "slurm") as cluster:
        environment = {**cluster.environment, "OMP_NUM_THREADS": "1"}
        own = ("sweep/engine=slurm", "sweep.workers=2", "sweep.engine.pause=1")
        code, text = run_typed(workplace, *RACE, *own, environment=environment)
    assert code == 0, text
    assert decisions(workplace / "it") == decisions(undisturbed)


@pytest.mark.matrix
@pytest.mark.cluster
def test_on_ray_it_decides_the_same(workplace, undisturbed):
    pytest.importorskip("ray", reason="Ray is missing: pip install 'ray[client]>=2.40,<3'")
    code, text = run_typed(workplace, *RACE, "sweep/engine=ray", "sweep.workers=2", "sweep.engine.pause=0.2")
    assert code == 0, text
    assert decisions(workplace / "it") == decisions(undisturbed)
