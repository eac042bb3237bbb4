"""The command, on a sweep of runs written by hand that stands in folders and in MLflow."""

import json

import pytest
from recorded_runs import write_run

from embexp.config.compose import compose
from embexp.core.run_folder import write_json
from embexp.errors import ConfigError
from embexp.leaderboards.make import _run_leaderboard, as_overrides
from embexp.tracking.mlflow_tracker import MlflowTracker

SWEEP_ID = "1a2b3c4d"
LOSSES = {"mnrl": 0.6, "cosent": 1.0}


def tracker_of(store: str) -> MlflowTracker:
    tracker = MlflowTracker(store, "embexp", log_model=False, checkpoint="none", telemetry=False)
    tracker.prepare()
    return tracker


@pytest.fixture
def sweep(store, workplace):
    """The parent run's id of a sweep of two losses with two seeds, one job of which has failed."""
    folder = workplace / "sweeps" / "2026-11-30" / "10-00-00"
    tracker = tracker_of(store)
    parent = tracker.start("sweep", key=SWEEP_ID)
    jobs = [(loss, noise, seed) for loss, noise in LOSSES.items() for seed in (1, 2)]
    for number, (loss, noise, seed) in enumerate(jobs):
        send(write_run(folder / str(number), noise, loss=loss, seed=seed), tracker_of(store), parent)
    failed = tracker_of(store)
    failed.start("failed", parent)
    failed.finish("FAILED")
    (folder / "4").mkdir()
    write_json(folder / "4" / "result.json", {"run": {"status": "FAILED"}})
    write_json(folder / "sweep.json", {"id": SWEEP_ID, "key": "", "overrides": [], "ended": True})
    tracker.finish("FINISHED")
    return parent


def send(folder, tracker, parent):
    """A run's folder to MLflow, as its journal sends it."""
    result = json.loads((folder / "result.json").read_text())
    tracker.start(folder.name, parent)
    tracker.log_params(result["params"])
    tracker.log_metrics(result["metrics"])
    tracker.log_tags(result["tags"] | {"primary": result["primary"]["key"]})
    tracker.log_artifact(folder / "examples" / "sts_test.parquet", "examples")
    tracker.finish("FINISHED")


def ranked(*arguments):
    return _run_leaderboard(compose([*as_overrides(arguments), "resamples=200"], "leaderboard"))


def without_ids(leaderboard):
    """The leaderboard without what runs are called in folders and in MLflow."""
    lines = [{"decision": each["decision"], "lines": each["lines"]} for each in leaderboard["bottom_lines"]]
    own = ("seed", "score", "difference")
    cells = [
        {**cell, "runs": len(cell["runs"]), "by_seed": [{key: each[key] for key in own} for each in cell["by_seed"]]}
        for cell in leaderboard["cells"]
    ]
    return {**leaderboard, "cells": cells, "bottom_lines": lines}


def test_folders_and_mlflow_give_the_same_leaderboard(sweep, workplace, capsys):
    boards = [
        without_ids(ranked(f"sweep={given}"))
        for given in (SWEEP_ID, sweep, workplace / "sweeps" / "2026-11-30" / "10-00-00")
    ]
    boards.append(without_ids(ranked("filter=params.model = 'minilm'")))
    told = [board.pop("measured") for board in boards]  # the store does not know what was typed
    assert told[0][-1] == told[2][-1] != told[1][-1] == told[3][-1]
    assert len({tuple(sentences[:-1]) for sentences in told}) == 1
    failed = boards[0]["notes"][-1]
    assert failed == "Of 5 runs 1 have not finished and do not count: 1 FAILED."
    assert boards[0] == boards[1] == boards[2]
    (line,) = boards[0]["bottom_lines"]
    assert line["lines"][-1] == ["note", "1 run of this leaderboard did not finish and may change this"]
    whole = [line | {"lines": line["lines"][:-1]}]
    assert boards[3] == {**boards[0], "notes": boards[0]["notes"][:-1], "bottom_lines": whole}
    assert [(cell["row"], cell["verdict"]) for cell in boards[0]["cells"]] == [
        (["mnrl"], "better"),
        (["cosent"], "undecided"),
        (["(untouched)"], ""),
    ]
    assert "taken of the runs' examples, paired" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("form", "begins"), [("latex", "% \\usepackage{booktabs}"), ("csv", "loss,model,"), ("markdown", "# ")]
)
@pytest.mark.usefixtures("sweep")
def test_the_leaderboard_is_printed_as_text_to_copy(capsys, form, begins):
    capsys.readouterr()
    ranked(f"sweep={SWEEP_ID}", f"format={form}")
    printed = capsys.readouterr().out
    assert printed.startswith(begins)
    assert "in         " not in printed
    with pytest.raises(ConfigError, match="format"):
        ranked(f"sweep={SWEEP_ID}", "format=tex")


@pytest.mark.parametrize("by_id", [True, False])
def test_the_files_go_to_the_artifacts_of_the_sweep_and_where_they_were_requested(sweep, store, workplace, by_id):
    import mlflow

    board = ranked(f"sweep={SWEEP_ID if by_id else sweep}", "output=my leaderboard")
    pages = [each["page"] for cell in board["cells"] for each in cell["by_seed"]]
    assert len(pages) == 4
    for page in pages:  # of runs from the store; those of folders have the page that result.json names
        assert page == "" if by_id else page.startswith("http://127.0.0.1:5000/#/experiments/1/runs/")
    stored = {each.path for each in mlflow.MlflowClient(store).list_artifacts(sweep, "leaderboard")}
    assert {"leaderboard/leaderboard.html", "leaderboard/heat_map.png"} <= stored
    assert (workplace / "my leaderboard" / "leaderboard.csv").is_file()
    own = workplace / "sweeps" / "2026-11-30" / "10-00-00" / "leaderboard"
    assert (own / "leaderboard.json").is_file() == by_id


def test_without_a_tracker_a_folder_is_enough(sweep, capsys):
    ranked(f"sweep={SWEEP_ID}", "tracking=none")
    assert "tracked" not in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"^sweep=\w+ is no sweep's folder, and there is no MLflow"):
        ranked(f"sweep={sweep}", "tracking=none")


@pytest.mark.usefixtures("sweep")
def test_a_server_that_is_down_leaves_the_files_in_the_folder(workplace, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ranked(f"sweep={SWEEP_ID}", "tracking.uri=http://127.0.0.1:9")
    assert "The files were not sent: MLflow at http://127.0.0.1:9 failed" in capsys.readouterr().err
    assert (workplace / "sweeps" / "2026-11-30" / "10-00-00" / "leaderboard" / "leaderboard.html").is_file()


@pytest.mark.usefixtures("sweep")
def test_rows_columns_and_metric_can_be_typed():
    leaderboard = ranked(f"sweep={SWEEP_ID}", "rows=loss,seed", "columns=dataset", "metric=sts/spearman_cosine")
    assert (leaderboard["row_keys"], leaderboard["column_keys"]) == (["loss", "seed"], ["dataset"])
    assert len(leaderboard["rows"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sweep=1a2b3c4d", "filter=params.loss = 'mnrl'"), r"were both given\. Expected one of them"),
        (("resamples=0",), r"^resamples=0 was given\. Expected a whole number of at least 40"),
        (("cost=second",), r"^cost=second was given\. Expected one of"),
        (("sweep=sweeps",), r"^sweep=sweeps is no sweep's folder: there is no sweep\.json in it"),
        (("sweep=1a2b3c4d", "rows=los"), r"^rows=los names los, which no run has\."),
    ],
)
@pytest.mark.usefixtures("sweep")
def test_mistakes_are_reported(arguments, message):
    with pytest.raises(ConfigError, match=message):
        _run_leaderboard(compose(as_overrides(arguments), "leaderboard"))
