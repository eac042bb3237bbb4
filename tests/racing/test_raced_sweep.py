"""Sweeps whose configurations race: who gets further seeds, what a kill leaves, what is refused."""

import json
from types import SimpleNamespace

import pytest
from conftest import TINY
from omegaconf import OmegaConf
from simulated_races import World
from typed_commands import done_in, run_typed, typed

from embexp.evaluation.stats.racing import Prior
from embexp.racing import raced_sweep
from embexp.racing.budget import Budget
from embexp.racing.course import Course, Rules
from embexp.racing.record import Entrant, Race
from embexp.racing.rounds import levels_of
from embexp.sweep.jobs import Job, Outcome

MEANS = [0.62, 0.618, 0.45]
JOBS = [
    Job(number, (f"loss={name}", f"seed={seed}"))
    for number, (seed, name) in enumerate((seed, name) for seed in (7, 8, 9) for name in "abc")
]


@pytest.fixture
def simulated(tmp_path, monkeypatch):
    """Runs a raced sweep of candidates whose truth is known; jobs of some numbers fail."""

    def run(fails=()):
        world, ran = World(MEANS, 3, of_untouched=0.3), []
        entrants = [Entrant(number, f"loss={name}") for number, name in enumerate("abc")]
        entrants.append(Entrant(-1, "untouched m", model="m"))
        rules = Rules(levels_of([1], 3), 0.005, 0.05, 3, Prior(), ["m"] * 3, [0] * 3, [None] * 3)
        race = Race("id", "", [], "dev/sts/x", "", entrants, [], [7, 8, 9], Budget(), Course(rules, untouched=(-1,)))
        result = raced_sweep._result

        def shown(_race, runner, number, outcome):
            if outcome.value is None:
                return result(_race, runner, number, outcome)
            candidate, seed = number % 3, number // 3
            return world.result(candidate, rules.levels[seed], 1)

        def do(jobs):
            ran.append([job.number for job in jobs])
            return [Outcome(error="broken") if job.number in fails else Outcome(0.5) for job in jobs]

        monkeypatch.setattr(raced_sweep, "_begun", lambda *_: race)
        monkeypatch.setattr(raced_sweep, "_result", shown)
        monkeypatch.setattr(raced_sweep, "RaceScores", lambda *_: SimpleNamespace(cells_at=world.cells_at))
        names = {job.number: job.overrides[0] for job in JOBS}
        runner = SimpleNamespace(place=tmp_path, config=OmegaConf.create())
        raced_sweep.in_rounds(runner, JOBS, names, 0.005, do)
        return ran, names, json.loads((tmp_path / "raced.json").read_text())

    return run


def test_a_loser_gets_no_further_seed_and_close_ones_get_all(simulated):
    ran, names, raced = simulated()
    assert ran == [[0, 1, 2], [3, 4], [6, 7]]
    assert {*names} == {0, 1, 2, 3, 4, 6, 7}
    (line,) = raced["dropped"]
    assert line.startswith("loss=c was dropped after 1 seed: worse, on dev -0.1")
    assert raced["saved"].startswith("2 of 9 runs, with 1 configuration dropped on dev")


def test_who_was_beaten_by_one_that_fails_later_is_back_and_the_one_that_fails_gets_no_seed(simulated):
    ran, _, raced = simulated(fails=(3, 4))
    assert ran == [[0, 1, 2], [3, 4], [5], [8]]
    assert raced["dropped"] == []


SHORT = ("threads=1", "evaluator.sts.resamples=200", "tracking=none", "trainer.max_steps=10")
SWEEP = ("-m", *SHORT, "model=static", "trainer.learning_rate=0.01,1e-6")
SWEEP = (*SWEEP, "seed=1,2,3", "sweep.race=true", "hydra.sweep.dir=it")


def decisions(folder):
    race = json.loads((folder / "it/race.json").read_text())
    return [(each["leader"], each["leads"], each["dropped"]) for each in race["rounds"]]


@pytest.mark.slow
def test_killed_between_its_rounds_it_decides_the_same_and_trains_nothing_twice(tmp_path):
    command = typed(tmp_path, *SWEEP)
    assert command.kill_when(lambda text: "left after seed 1" in text, 300), command.text()
    before = decisions(tmp_path) if (tmp_path / "it/race.json").is_file() else None
    ended = {path: path.stat().st_mtime_ns for path in tmp_path.glob("it/*/stages/main/done")}
    assert len(ended) == 2
    code, text = run_typed(tmp_path, *SWEEP)
    assert code == 0, text
    assert before is None or decisions(tmp_path)[:1] == before
    assert {path: path.stat().st_mtime_ns for path in ended} == ended
    assert sorted(path.parts[-4] for path in tmp_path.glob("it/*/stages/main/done")) == ["0", "1", "2", "3"]
    assert "trainer.learning_rate=1e-06 was dropped after 1 seed: worse, on dev -0." in text.replace("1e-6", "1e-06")
    assert "saved       2 of 6 runs, with 1 configuration dropped on dev" in text
    code, text = run_typed(tmp_path, *(each for each in SWEEP if each != "sweep.race=true"))
    assert code == 0, text
    assert len([*tmp_path.glob("it/*/stages/main/done")]) == 6
    assert "was dropped" not in text


NO_DEV = ("dataset=pairs.csv", "dataset.steps.split.ratios=[8,0,2]")
REFUSED = [
    (["loss=mnrl,cosent"], "fewer than two seeds", "seed=1,2,3,4,5"),
    (["seed=1,2"], "nothing but the seed varies", "sweep.race=false"),
    (["loss=mnrl,cosent", "seed=1,1"], "fewer than two seeds", "seed=1,2,3,4,5"),
    (["sweep=leave_one_out", "without=[clean]", "seed=1,2"], "parts to leave out", "sweep.race=false"),
    (["loss=mnrl,cosent", "seed=1,2", "hydra/launcher=basic"], "another launcher", "hydra/launcher=embexp"),
    (["loss=mnrl,cosent", "seed=1,2", "dataset=finance,finance_zh"], "on other rows of dev", "sweep.race=false"),
    (["loss=angle,cosent", "seed=1,2", *NO_DEV], "has no dev split", "ratios=[8,1,1]"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message", "fix"), REFUSED)
def test_what_cannot_race_is_one_message_before_anything_runs(tmp_path, arguments, message, fix):
    rows = (f"a fund of {number},a share of {number % 7},{number % 5 / 4}\n" for number in range(60))
    (tmp_path / "pairs.csv").write_text("sentence1,sentence2,score\n" + "".join(rows))
    done = done_in(tmp_path, "-m", *TINY, "tracking=none", "sweep.race=true", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert fix in done.stderr
    assert not (tmp_path / "sweeps").exists()
