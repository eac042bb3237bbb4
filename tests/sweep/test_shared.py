"""What workers elsewhere must share: folders, files, versions, code, a store that they reach."""

import dataclasses
import os
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from embexp.errors import ConfigError, EngineError
from embexp.sweep import shared as module
from embexp.sweep.jobs import Job, JobRunner
from embexp.sweep.shared import check_shared, check_stores, share, store_problem


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """What a sweep in a folder of its own shares with its workers; the check changes the directory back."""
    monkeypatch.setattr(module, "code_of", lambda package: "one")
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("my rows.csv").write_text("a,b\n")
    config = {"paths": {"data": "data", "cache": None}, "dataset": {"paths": ["my rows.csv"]}, "hydra": {"x": "data"}}
    jobs = [Job(0, ("model.path=data", "seed=1")), Job(1, ("dataset='my rows.csv'", "seed=2"))]
    runner = JobRunner(None, None, OmegaConf.create(config))
    return share(runner, jobs, Path("sweeps/2026/10/engine"), {"tracking.uri": "http://tracking.example:5000"})


def test_a_worker_that_finds_everything_works_in_the_sweeps_directory(shared, monkeypatch, tmp_path):
    assert shared.files == {"data": None, "my rows.csv": 4}
    monkeypatch.chdir("/")
    check_shared(shared)
    assert Path.cwd() == tmp_path
    assert [path.name for path in shared.folder.iterdir()] == ["token"]


def test_workers_of_an_earlier_process_know_the_folder_still(shared):
    again = share(JobRunner(None, None, OmegaConf.create({})), [], shared.folder, {})
    assert again.token == shared.token
    check_shared(shared)


def no_folder(shared):
    (shared.folder / "token").unlink()
    return shared


def another_folder(shared):
    (shared.folder / "token").write_text("of another machine")
    return shared


def no_rows(shared):
    Path("my rows.csv").unlink()
    return shared


def other_rows(shared):
    Path("my rows.csv").write_text("a,b\nc,d\n")
    return shared


def no_data(shared):
    Path("data").rmdir()
    return shared


def changed(**fields):
    return lambda shared: dataclasses.replace(shared, **fields)


def other_version(shared):
    return dataclasses.replace(shared, versions=shared.versions | {"torch": "1.0"})


def no_ray_there(shared):
    return dataclasses.replace(shared, versions=shared.versions | {"faiss-gpu": "1"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_folder, r"The folder .*/sweeps/2026/10 of .* cannot be used on .*No such file"),
        (
            another_folder,
            r"The folder .* cannot be used on .* Expected a folder of a file system that all machines",
        ),
        (no_rows, r"Not as on .*: my rows.csv"),
        (other_rows, r"Not as on .*: my rows.csv"),
        (no_data, r"Not as on .*: data"),
        (other_version, r"other versions are installed than on .*: torch 1.0 is now"),
        (no_ray_there, r"faiss-gpu 1 is now None"),
        (changed(code="another"), r"embexp on .* has other code"),
        (changed(directory="/no such folder"), r"The working directory /no such folder of .* cannot be used"),
        (
            changed(machine="another", stores={"tracking.uri": "http://127.0.0.1:5000"}),
            r"an address that every machine has for itself",
        ),
        (changed(machine="another", stores={"tracking.uri": "sqlite:///mlflow.db"}), r"is a file of one machine"),
    ],
)
def test_a_worker_says_what_it_lacks_before_it_takes_a_job(shared, change, said):
    with pytest.raises(EngineError, match=said):
        check_shared(change(shared))


def test_all_that_is_lacking_is_said_at_once(shared):
    with pytest.raises(EngineError) as found:
        check_shared(other_version(no_rows(no_folder(shared))))
    assert len(found.value.problems) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_none(shared):
    shared.folder.chmod(0o500)
    with pytest.raises(EngineError, match="Permission denied"):
        check_shared(shared)


@pytest.mark.parametrize("store", ["http://127.0.0.1:5000", "postgresql+psycopg://u@localhost/db", "postgresql:///db"])
def test_a_store_of_this_machine_is_warned_of_where_workers_may_be_elsewhere(store):
    (warning,) = check_stores({"tracking.uri": store}, is_here=False)
    assert "every machine has for itself" in warning
    assert check_stores({"tracking.uri": store}, is_here=True) == []


@pytest.mark.parametrize("store", ["sqlite:///mlflow.db", "sqlite:////shared/mlflow.db", "sqlite:///C:/mlflow.db"])
def test_a_store_in_a_file_is_refused_where_workers_may_be_elsewhere(store):
    assert check_stores({"tracking.uri": store}, is_here=True) == []
    with pytest.raises(ConfigError, match=r"mlflow server --host 0.0.0.0.*\nhint: type tracking.uri=") as found:
        check_stores({"tracking.uri": store}, is_here=False)
    for fix in found.value.problems[0].fix:  # what it says to type is not refused
        uri = re.fullmatch(r"tracking.uri=(.*)|tracking=none", fix)[1] or ""
        assert check_stores({"tracking.uri": uri}, is_here=False) == []
        assert store_problem(uri) is None
