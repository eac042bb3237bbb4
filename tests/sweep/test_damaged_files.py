"""One file that cannot be read costs its own run at most: sweeps, leaderboards and studies go on, and name it."""

import os
from types import SimpleNamespace

import pytest
from recorded_runs import write_run

from embexp.core.run_folder import RECORD, RESULT, read_json, write_json
from embexp.experiment.sweep_record import SWEEP, TAKEN, find_sweep, job_folders
from embexp.leaderboards.make import make_leaderboard
from embexp.leaderboards.runs import _sweep_folder, runs_in
from embexp.sweep.jobs import _fingerprint_in, _finished_elsewhere, _retire, record_death
from embexp.sweep.progress import _finished_run
from embexp.sweep.train import _recorded
from embexp.tracking.run_parts import NullTracker, is_closed_part
from embexp.tuning import trials
from embexp.tuning.study import _study_folder

TORN = ['{"key": "a', "", "[]", "{}"]


def finish(folder, fingerprint="same", **more):
    folder.mkdir(parents=True)
    write_json(folder / RECORD, {"key": folder.name, "fingerprint": fingerprint, "closed": True, "name": "x", **more})
    write_json(folder / RESULT, {"run": {"status": "FINISHED", "name": folder.name}, "primary_value": 0.5})
    return folder


@pytest.fixture
def plan(tmp_path):
    """What a job that looks for others like it knows."""
    paths = {"runs": str(tmp_path / "runs"), "sweeps": str(tmp_path / "sweeps")}
    return SimpleNamespace(folder=tmp_path / "sweeps/day/time/0", config={"paths": paths}, tracker=NullTracker())


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("file", [RECORD, RESULT])
@pytest.mark.parametrize("place", ["runs/day/first", "sweeps/day/first/3"])
def test_a_job_is_found_elsewhere_next_to_a_damaged_run(plan, tmp_path, caplog, torn, file, place):
    whole = finish(tmp_path / "runs/day/second")
    os.utime(whole / RECORD, (0, 0))  # the latest is looked at first
    finish(tmp_path / place)
    (tmp_path / place / file).write_text(torn)
    assert _finished_elsewhere(plan, "same") == whole
    if torn != "{}" or file == RESULT:  # a record without fingerprint is that of another run
        assert f"{tmp_path / place / file}: cannot be read" in caplog.text


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("file", [RECORD, RESULT])
def test_a_job_with_a_damaged_file_is_put_aside_and_run_anew(plan, torn, file):
    finish(plan.folder)
    assert (_fingerprint_in(plan.folder), _finished_run(plan.folder)) == ("same", "0")
    (plan.folder / file).write_text(torn)
    assert (_fingerprint_in(plan.folder), _finished_run(plan.folder)) == (None, None)
    _retire(plan.folder, plan.tracker)
    assert [*plan.folder.iterdir()] == []
    (aside,) = (plan.folder.parent / "outdated").iterdir()
    assert (aside / file).read_text() == torn


@pytest.mark.parametrize("torn", TORN)
def test_a_sweep_and_a_study_are_found_next_to_damaged_ones(tmp_path, torn, caplog):
    for name in ("1", "2", "3"):
        for kind in (SWEEP, "study.json"):
            (tmp_path / kind / "day" / name).mkdir(parents=True)
            write_json(tmp_path / kind / "day" / name / kind, {"key": "mine", "id": name})
    for kind in (SWEEP, "study.json"):
        (tmp_path / kind / "day/3" / kind).write_text(torn)
    assert find_sweep(tmp_path / SWEEP, "mine") == tmp_path / SWEEP / "day/2"
    assert _sweep_folder("2", tmp_path / SWEEP) == tmp_path / SWEEP / "day/2"
    assert f"{tmp_path / SWEEP / 'day/3' / SWEEP}: cannot be read" in caplog.text
    assert _study_folder([], str(tmp_path / "none"), "fresh") == str(tmp_path / "none/fresh")


@pytest.mark.parametrize("torn", TORN)
def test_what_a_job_took_is_its_own_folder_where_that_cannot_be_read(tmp_path, torn):
    (tmp_path / "0").mkdir()
    other = finish(tmp_path / "elsewhere")
    write_json(tmp_path / "0" / TAKEN, {"folder": str(other)})
    assert job_folders(tmp_path) == [other]
    (tmp_path / "0" / TAKEN).write_text(torn)
    assert job_folders(tmp_path) == [tmp_path / "0"]


@pytest.mark.parametrize("torn", TORN)
def test_a_leaderboard_leaves_a_damaged_run_out(tmp_path, torn, caplog):
    folders = [write_run(tmp_path / loss, 0.5, loss=loss) for loss in ("a", "b", "c")]
    (tmp_path / "b" / RESULT).write_text(torn)
    assert {cell.row for cell in make_leaderboard(runs_in(folders), resamples=20).trained} == {("a",), ("c",)}
    assert f"{tmp_path / 'b' / RESULT}: cannot be read" in caplog.text


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:99], lambda data: data[:300] + b"?" * 64 + data[364:]]
)
def test_examples_that_cannot_be_read_leave_a_leaderboard_with_metrics(tmp_path, damage, caplog):
    folders = [write_run(tmp_path / loss, 0.5, loss=loss) for loss in ("a", "b")]
    file = tmp_path / "b" / "examples" / "sts_test.parquet"
    file.write_bytes(damage(file.read_bytes()))
    found = make_leaderboard(runs_in(folders), resamples=20)
    assert {cell.row for cell in found.trained} == {("a",), ("b",)}
    assert any("metrics alone" in note for note in found.notes)
    assert f"{file}: cannot be read" in caplog.text


@pytest.mark.parametrize("torn", TORN)
def test_the_end_of_a_job_is_written_over_a_damaged_result(tmp_path, torn):
    for kind in ("died", "failed"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / RESULT).write_text(torn)
    (tmp_path / "died" / RECORD).write_text(torn)
    record_death(tmp_path / "died", NullTracker(), "killed", ["loss=a"])
    with pytest.raises(ValueError, match="x"), _recorded(tmp_path / "failed", ["loss=a"]):
        raise ValueError("x")
    for kind in ("died", "failed"):
        assert read_json(tmp_path / kind / RESULT)["overrides"] == ["loss=a"]


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("file", ["part.json", RESULT])
def test_a_part_with_a_damaged_file_is_not_closed(tmp_path, torn, file):
    finish(tmp_path / "part")
    write_json(tmp_path / "part" / "part.json", {"id": "", "closed": True})
    assert is_closed_part(tmp_path / "part")
    (tmp_path / "part" / file).write_text(torn)
    assert not is_closed_part(tmp_path / "part")


def test_a_trial_whose_files_are_damaged_fails_alone(tmp_path, monkeypatch):
    (tmp_path / RESULT).write_text("{")
    monkeypatch.setattr(trials, "_value_of", lambda *_: read_json(tmp_path / RESULT))
    attributes, states = {}, []
    study = SimpleNamespace(tell=lambda trial, value=None, state=None: states.append(state.name))
    trial = SimpleNamespace(set_user_attr=attributes.__setitem__)
    trials.run_trial(SimpleNamespace(study=study, run_folder=lambda trial: tmp_path), trial, None)
    assert states == ["FAIL"]
    assert f"{tmp_path / RESULT}: cannot be read" in attributes[trials.ERROR]
