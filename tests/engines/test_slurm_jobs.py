"""Slurm as its commands say it is, with commands that a test has written; tests/test_on_slurm.py has a real one."""

import os
import stat

import pytest

from embexp.engines import slurm
from embexp.engines.slurm import SlurmEngine, minutes_in
from embexp.errors import ConfigError, EngineError


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function that puts commands on the PATH, each a line of shell; what they are called with is in `calls`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    def put(**lines):
        for name, line in lines.items():
            file = tmp_path / "bin" / name
            file.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n{line}\n')
            file.chmod(file.stat().st_mode | stat.S_IXUSR)

    config = "echo 'ClusterName             = alps'"
    put(scontrol=f'[ "$1" = show ] && {config}; true', sinfo="echo far", squeue="true", scancel="true", sbatch="true")
    return put


@pytest.fixture
def engine(tmp_path, commands):  # noqa: ARG001  # that of the test, which may replace some
    found = SlurmEngine(pause=0.01)
    found.begin("abc", tmp_path)
    return found


def calls(tmp_path, name):
    return [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith(f"{name} ")]


def test_states_are_those_of_the_sweeps_own_jobs(engine, commands, tmp_path):
    words = ["7_0|RUNNING|None", "7_1|PENDING|Resources", "8|COMPLETED|None", "9|OUT_OF_MEMORY|OutOfMemory"]
    words += ["10|NODE_FAIL|None", "11|SUSPENDED|None", "12|REQUEUE_HOLD|launch failed", "13|COMPLETING|None"]
    commands(squeue=f"printf '%s\\n' {' '.join(repr(each) for each in words)}")
    states = {name.removeprefix("slurm:alps/"): state for name, state in engine.states().items()}
    assert states == {
        "7_0": "running", "7_1": "waiting", "8": "", "9": "OUT_OF_MEMORY (Slurm)", "10": "NODE_FAIL (Slurm)",
        "11": "running",
        "12": "waiting", "13": "running",
    }  # fmt: skip
    assert "--name embexp-abc" in calls(tmp_path, "squeue")[-1]


def test_while_slurm_does_not_answer_its_last_word_holds(engine, commands, monkeypatch):
    commands(squeue="echo '7|RUNNING|None'")
    before = engine.states()
    commands(squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert engine.states() == before == {"slurm:alps/7": "running"}
    monkeypatch.setattr(slurm, "_SILENCE", -1.0)
    with pytest.raises(EngineError, match="Unable to contact slurm controller"):
        engine.states()


def test_why_jobs_wait_is_shown_once(engine, commands, caplog):
    caplog.set_level("INFO")
    commands(squeue="printf '7_0|PENDING|Priority\\n7_1|PENDING|Priority\\n'")
    engine.states()
    engine.states()
    assert [record.getMessage() for record in caplog.records] == ["Slurm lets 2 jobs wait: Priority"]


def test_a_job_that_was_requeued_starts_at_once_unless_a_time_was_typed(engine, commands, tmp_path):
    commands(squeue="echo '7_0|PENDING|BeginTime'")
    engine.states()
    assert calls(tmp_path, "scontrol")[-1] == "scontrol update JobId=7_0 StartTime=now"
    number = len(calls(tmp_path, "scontrol"))
    engine.options["begin"] = "20:00"
    engine.states()
    assert len(calls(tmp_path, "scontrol")) == number


def test_all_but_the_own_job_are_cancelled(engine, commands, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    commands(squeue='case "$*" in *-end*) echo 9; echo 10;; *"-t PENDING"*) echo 7_1;; esac')
    engine.close()
    assert calls(tmp_path, "scancel") == ["scancel 7_1", "scancel 10"]


@pytest.mark.parametrize("given", ["soon", "0", "-5", "1:2:3:4", "", True, "0:00"])
def test_a_time_that_is_none_is_refused(given):
    with pytest.raises(ConfigError, match="minutes, or a time such as 12:00:00"):
        minutes_in(given)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("jobs_per_worker", 0),
        ("retries", -1),
        ("pause", 0),
        ("cpus_per_job", 1.5),
        ("memory_gb", -1),
        ("signal_seconds", 0),
    ],
)
def test_a_number_that_cannot_be_is_refused_with_one_that_can(name, given):
    with pytest.raises(ConfigError, match=rf"(?s)sweep.engine.{name}={given} was given.*type sweep.engine.{name}="):
        SlurmEngine(**{name: given})


@pytest.mark.usefixtures("commands")
def test_without_slurm_or_workers_nothing_is_begun(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"type sweep.workers=4"):
        SlurmEngine().check(0)
    SlurmEngine().check(1)
    os.remove(tmp_path / "bin/sbatch")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    with pytest.raises(EngineError, match=r"(?s)Slurm is not here: no sbatch.*type sweep/engine=local"):
        SlurmEngine().check(2)


@pytest.mark.usefixtures("commands")
def test_without_its_package_the_line_that_installs_it_is_shown(without):
    without("submitit")
    with pytest.raises(EngineError, match=r"(?s)sweep/engine=slurm needs submitit.*pip install .*slurm"):
        SlurmEngine().check(2)


def test_what_is_requested_stands_in_the_script(commands, tmp_path):
    pytest.importorskip("submitit")
    own = SlurmEngine(
        partition="gpu", time="1-12", gpus_per_job=2, cpus_per_job=8, memory_gb=1.5, setup=["module load cuda"],
        sbatch={"account": "mine", "mail_type": "END"},
    )  # fmt: skip
    own.begin("abc", tmp_path)
    commands(srun="true", sbatch="echo Submitted batch job 77")
    own.submit(print, 3, 2, {"SECRET": "s3cret"})
    (script,) = (path for path in (tmp_path / "slurm").glob("77*.sh"))
    lines = script.read_text().splitlines()
    wanted = ["partition=gpu", "time=2160", "gpus-per-node=2", "cpus-per-task=8", "mem=1536M", "array=0-2%2"]
    wanted += ["account=mine", "mail-type=END", "job-name=embexp-abc", "requeue", "signal=USR2@90"]
    assert [each for each in wanted if f"#SBATCH --{each}" not in lines] == []
    assert "module load cuda" in lines
    assert not any(b"s3cret" in path.read_bytes() for path in (tmp_path / "slurm").iterdir())
    assert "SECRET" not in os.environ
    assert own.known.keys() == {f"slurm:alps/77_{place}" for place in range(3)}
