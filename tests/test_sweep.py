"""Multiruns: children below one parent, a leaderboard, nothing done twice, one failing job that stops no other."""

import json

import pytest
from conftest import TINY
from typed_commands import run_typed

QUICK = (*TINY, "trainer.max_steps=2")


def sweep(folder, *arguments):
    return run_typed(folder, "-m", *QUICK, *arguments)


def runs_in(store):
    import mlflow

    client = mlflow.MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return client, parents, [run for run in runs if run not in parents]


def result_in(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_a_grid_gives_children_under_one_parent_and_a_leaderboard_and_is_not_done_twice(workplace, store):
    changed = ("+trainer.dataloader_drop_last=true", "~trainer.weight_decay")
    code, output = sweep(workplace, "loss=mnrl,cosent", "seed=1,2", *changed)
    assert code == 0, output
    client, (parent,), children = runs_in(store)
    assert {child.info.run_name for child in children} == {
        f"{loss} · tiny · {seed}" for loss in ("mnrl", "cosent") for seed in "12"
    }
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert parent.data.params["override.loss"] == "mnrl,cosent"
    assert parent.data.params["override.trainer.dataloader_drop_last"] == "true"
    assert parent.data.params["override.trainer.weight_decay"] == "left out"
    assert parent.data.metrics["sweep/done"] == 4
    (sweep_id,) = {child.data.tags["embexp.sweep"] for child in children}
    (folder,) = (workplace / "sweeps").glob("*/*")
    assert f"sweep      {sweep_id} in sweeps/{folder.relative_to(workplace / 'sweeps')}" in output
    names = {path.path for path in client.list_artifacts(parent.info.run_id, "leaderboard")}
    assert {f"leaderboard/leaderboard.{kind}" for kind in ("md", "csv", "json", "html")} < names
    assert {"leaderboard/heat_map.png", "leaderboard/intervals.png"} < names
    mean = sum(result_in(folder / str(number))["primary"]["trained"] for number in (0, 1)) / 2
    assert f"{mean:.4f}" in (folder / "leaderboard/leaderboard.md").read_text()
    assert f"{mean:.4f}" in parent.data.tags["mlflow.note.content"]
    assert "[4/4] loss=cosent seed=2" in output

    when = {child.info.run_id: child.info.end_time for child in children}
    code, output = sweep(workplace, "loss=mnrl,cosent", "seed=1,2", *changed, "profile=false", "sweep.rerun=failed")
    assert code == 0, output
    assert output.count("was done before") == 4
    _, (again,), children = runs_in(store)
    assert again.info.run_id == parent.info.run_id
    assert {child.info.run_id: child.info.end_time for child in children} == when

    code, output = sweep(workplace, "loss=cosent,angle", "seed=2", *changed)
    assert code == 0, output
    _, parents, children = runs_in(store)
    assert (len(parents), len(children)) == (2, 5)
    taken = next(child for child in children if child.info.run_name == "cosent · tiny · 2")
    assert taken.data.tags["embexp.sweep"].split()[0] == sweep_id
    assert len(taken.data.tags["embexp.sweep"].split()) == 2


@pytest.mark.matrix
def test_the_tenth_job_gives_what_it_gives_alone_and_takes_no_more_memory_than_the_second(workplace):
    seeds = range(1, 11)
    code, output = sweep(workplace, f"seed={','.join(map(str, seeds))}", "tracking=none", "hydra.sweep.dir=sweep")
    assert code == 0, output
    code, output = run_typed(workplace, *QUICK, "seed=10", "tracking=none", "hydra.run.dir=alone")
    assert code == 0, output
    last, alone = (result_in(workplace / folder) for folder in ("sweep/9", "alone"))
    measured = [key for key in alone["metrics"] if not key.startswith("cost/")]
    assert len(measured) > 10
    assert {key: last["metrics"][key] for key in measured} == {key: alone["metrics"][key] for key in measured}
    memory = [result_in(workplace / f"sweep/{number}")["metrics"]["cost/peak_memory_mb"] for number in (1, 9)]
    assert memory[1] < 1.1 * memory[0]


@pytest.mark.slow
def test_one_failing_job_does_not_end_the_others_and_only_it_is_tried_again(workplace, store):
    grid = ("loss.scale=20.0,1e39,10.0", "hydra.sweep.dir=sweep")
    code, output = sweep(workplace, *grid)
    assert code == 1
    _, (parent,), children = runs_in(store)
    assert sorted(child.info.status for child in children) == ["FAILED", "FINISHED", "FINISHED"]
    assert parent.info.status == "FAILED"
    assert "TrainingError: The loss is nan at step 1." in output
    assert "log:   sweep/1 (embexp.log, error.txt)" in output
    assert "again: python -m embexp model=tiny trainer=smoke threads=1 " in output
    assert "loss.scale=1e+39" in parent.data.tags["mlflow.note.content"]
    assert "TrainingError" in (workplace / "sweep/1/error.txt").read_text()
    code, output = sweep(workplace, *grid, "sweep.rerun=none")
    assert code == 1
    assert output.count("was done before") == 2
    assert "not tried again (sweep.rerun=none): TrainingError" in output
    assert "Training main on" not in output
    code, output = sweep(workplace, *grid)
    assert output.count("was done before") == 2
    assert output.count("Training main on") == 1
    _, (parent,), children = runs_in(store)
    assert sorted(child.info.status for child in children) == ["FAILED", "FINISHED", "FINISHED"]


@pytest.mark.slow
def test_a_cell_that_does_not_fit_is_listed_and_the_others_run(workplace, store):
    code, output = sweep(workplace, "shape=triplet,text")
    assert code == 1
    early = "1 of 2 jobs do not fit and will fail when their turn comes:\n- shape=text: shape=text is not accepted"
    assert early in output.partition("Training main on")[0]
    assert "ShapeError: shape=text is not accepted by the loss mnrl" in output
    _, _, children = runs_in(store)
    assert [child.info.status for child in children] == ["FINISHED"]


@pytest.mark.slow
def test_a_key_that_only_some_jobs_have_is_left_out_of_the_others_where_that_is_requested(workplace, store):
    typed = ("loss=contrastive,cosine", "loss.margin=0.3")
    code, output = sweep(workplace, *typed)
    assert code == 1
    assert "loss.margin=0.3 is for some jobs of the sweep only: loss=cosine has no such key." in output
    code, output = sweep(workplace, *typed, "sweep.unknown_keys=leave_out")
    assert code == 0, output
    assert "loss.margin=0.3 is left out of 1 of 2 jobs, which have no such key." in output
    _, (parent,), children = runs_in(store)
    assert {child.data.params["loss"]: child.data.params.get("loss.margin") for child in children} == {
        "contrastive": "0.3",
        "cosine": None,
    }
    assert parent.data.params["override.loss.margin"] == "0.3"


@pytest.mark.matrix
def test_all_again_is_another_sweep(workplace, store):
    for number in (1, 2):
        code, output = sweep(workplace, "loss=mnrl", "sweep.rerun=all")
        assert code == 0, output
        _, parents, children = runs_in(store)
        assert (len(parents), len(children)) == (number, number)
    assert "was done before" not in output


@pytest.mark.slow
def test_each_cell_gets_its_own_learning_rate_and_the_proposed_command_trains_only_what_is_new(workplace, store):
    typed = ("loss=mnrl,cosent", "sweep.learning_rates=[1e-4,1e-2]")
    code, output = sweep(workplace, *typed, "seed=1")
    assert code == 0, output
    assert output.count("] trial: ") == 4
    (folder,) = (workplace / "sweeps").glob("*/*")
    searched = json.loads((folder / "rates.json").read_text())["cells"]
    assert [cell["jobs"] for cell in searched] == [[0], [1]]
    for number, cell in enumerate(searched):
        assert cell["chosen"] == max(cell["tried"], key=lambda each: each["dev"])["rate"]
        assert result_in(folder / str(number))["params"]["trainer.learning_rate"] == cell["chosen"]
    _, _, children = runs_in(store)
    assert len(children) == 2  # trials are sent nowhere
    board = json.loads((folder / "leaderboard" / "leaderboard.json").read_text())
    assert any(note.startswith("Each cell's learning rate is the best on dev of 2 trials") for note in board["notes"])
    assert board["bottom_lines"][0]["decision"] in output

    code, output = sweep(workplace, *typed, "seed=1,2")
    assert code == 0, output
    assert output.count("was done before") == 4 + 2
    _, _, children = runs_in(store)
    assert len(children) == 4


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "sweep.rerun=fialed",
            "sweep.rerun=fialed was given. Expected one of: failed, all, none. Did you mean 'failed'?",
        ),
        ("sweep.unknown_keys=leaveout", "Expected one of: refuse, leave_out. Did you mean 'leave_out'?"),
        ("adapt.tsdae.loss.scale=1", "adapt.tsdae is not a key: no such stage is chosen."),
        ("sweep.gpus=0", "sweep.gpus=0 was given. Expected a list.\nhint: type sweep.gpus=[0]"),
        (
            "sweep.workers=-1",
            "sweep.workers=-1 was given. Expected a whole number of at least 0 and of at most",
        ),
        ("sweep.learning_rates=1e-5", "sweep.learning_rates=1e-05 was given. Expected a list."),
        (
            "sweep.learning_rates=[0]",
            "sweep.learning_rates=[0] was given. Expected a list, each of it a number above 0",
        ),
        ("sweep.trial_share=2", "sweep.trial_share=2 was given. Expected a number above 0 and of at most 1."),
        ("resume=x", "resume was typed with -m. Expected it alone, without -m, for each run."),
    ],
)
def test_a_mistake_is_reported_before_anything_begins(workplace, typed, message):
    code, output = run_typed(workplace, "-m", "loss=mnrl,cosent", typed)
    assert code == 1
    assert message in output
    assert not (workplace / "sweeps").exists()
    assert not (workplace / "mlflow.db").exists()


@pytest.mark.slow
def test_what_a_file_sweeps_over_is_checked_shown_and_run(workplace, store):
    code, output = sweep(workplace, "sweep=learning_rate", "seed=1", "trainer.learning_rate=1e-5,2e-5")
    assert code == 0, output
    _, (parent,), children = runs_in(store)
    assert {child.data.params["trainer.learning_rate"] for child in children} == {"1e-05", "2e-05"}
    assert parent.data.params["override.seed"] == "1"
    (workplace / "own/sweep").mkdir(parents=True)
    mistaken = "# @package _global_\ndefaults: [default@sweep]\nhydra: {sweeper: {params: {loss: 'mnrl,mnlr'}}}\n"
    (workplace / "own/sweep/mine.yaml").write_text(mistaken)
    code, output = run_typed(workplace, "-m", "--config-dir", "own", *QUICK, "sweep=mine")
    assert code == 1
    assert "mnlr" in output
    assert len(runs_in(store)[1]) == 1
