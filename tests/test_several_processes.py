"""Whole runs in two processes: one run whoever starts them, and a process that dies ends all, to be resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY
from killed_runs import assert_same_end

from embexp.core.run_folder import status_of

STEPS = (*TINY, "keep=full", "trainer.max_steps=8", "trainer.eval_steps=2", "trainer.save_steps=2")
RUN = (sys.executable, "-m", "embexp", *STEPS)
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "-m", "embexp", *STEPS)
CHECKPOINT = "stages/main/checkpoints/checkpoint-4/complete.json"


def started(folder: Path, *command: str) -> subprocess.Popen:
    """A command in the folder above a run's, as a person's terminal starts it."""
    with open(folder.with_suffix(".txt"), "a", encoding="utf-8") as output:
        return subprocess.Popen(
            command,
            cwd=folder.parent,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


def text_of(folder: Path) -> str:
    return folder.with_suffix(".txt").read_text(encoding="utf-8")


def others_of(process: subprocess.Popen) -> dict[str, int]:
    """The processes below a process, by their ranks."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = {}
    for child in children:
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found |= {each[5:].decode(): int(child) for each in variables if each.startswith(b"RANK=")}
    return found


def wait_for_checkpoint(folder: Path, process: subprocess.Popen) -> None:
    end = time.monotonic() + 240
    while not (folder / CHECKPOINT).is_file():
        assert process.poll() is None and time.monotonic() < end, text_of(folder)  # noqa: PT018
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that torchrun started, and that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    process = started(folder, *TORCHRUN, f"hydra.run.dir={folder}")
    assert process.wait(300) == 0, text_of(folder)
    return folder


@pytest.mark.slow
def test_two_processes_are_one_run(whole):
    from mlflow import MlflowClient

    assert status_of(whole) == "FINISHED"
    assert [*whole.parent.rglob("run.json")] == [whole / "run.json"]
    client = MlflowClient(f"sqlite:///{whole.parent}/mlflow.db")
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert (run.info.status, run.data.params["trainer.processes"]) == ("FINISHED", "2")
    assert text_of(whole).count("Training main on") == 1


@pytest.mark.slow
def test_a_killed_process_ends_the_others_soon_and_the_run_resumes_to_the_same_end(whole):
    folder = whole.parent / "killed"
    process = started(folder, *RUN, "trainer.processes=2", f"hydra.run.dir={folder}")
    wait_for_checkpoint(folder, process)
    os.kill(others_of(process)["1"], signal.SIGKILL)
    killed = time.monotonic()
    assert process.wait(60) == 1
    assert time.monotonic() - killed < 30
    assert "Process 1 of 2 was ended by signal 9 (out of memory?)." in text_of(folder)
    assert status_of(folder) == "FAILED"
    assert started(folder, *RUN[:3], f"resume={folder}").wait(300) == 0, text_of(folder)
    assert_same_end(whole, folder)


@pytest.mark.matrix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_torchrun_saves_a_checkpoint_and_the_run_resumes_to_the_same_end(whole, number):
    folder = whole.parent / number.name
    process = started(folder, *TORCHRUN, f"hydra.run.dir={folder}")
    wait_for_checkpoint(folder, process)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as the terminal does: to all
    else:
        process.send_signal(number)
    assert process.wait(60) != 0
    assert status_of(folder) == "KILLED"
    assert "was stopped. checkpoint-" in text_of(folder)
    resumed = started(folder, *TORCHRUN[:6], f"resume={folder}")
    assert resumed.wait(300) == 0, text_of(folder)
    assert_same_end(whole, folder)


@pytest.mark.slow
def test_rank_0_that_refuses_its_data_ends_all_with_one_message(tmp_path):
    folder = tmp_path / "refused"
    assert started(folder, *TORCHRUN, "dataset=nothing.csv").wait(120) == 1
    assert text_of(folder).count("Error: There is no file nothing.csv.") == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
