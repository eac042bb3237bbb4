"""`python -m embexp` as a person types it, in a process group of its own that starts in a moment and can be killed."""

import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from killed_runs import SERVER


@dataclass(frozen=True)
class Typed:
    """A command that was typed: its process, which leads a group, and the files that hold what it prints."""

    process: BaseProcess
    output: Path
    errors: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, timeout: float = 400) -> int:
        """The exit code."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, "the command takes too long"
        return self.process.exitcode

    def text(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(encoding="utf-8") if self.output.is_file() else ""

    def kill_when(self, is_time: Callable[[str], bool], timeout: float = 120) -> bool:
        """SIGKILL to the whole group as soon as `is_time` says so of its output; False if it had ended before."""
        end = time.monotonic() + timeout
        while self.process.is_alive() and time.monotonic() < end:
            if is_time(self.text()):
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.join()
                return self.process.exitcode == -signal.SIGKILL
            time.sleep(0.01)
        return False


def typed(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None, apart: bool = False) -> Typed:
    """Start `python -m embexp <arguments>` in a folder; the first argument may be the name of a command.

    Args:
        environment: in place of ours; what libraries read of it while they are imported does not count any more.
        apart: what goes to stderr is a file of its own.
    """
    name = f"output-{time.monotonic_ns()}"
    output = errors = folder / f"{name}.txt"
    if apart:
        errors = folder / f"{name}-errors.txt"
    process = SERVER.Process(target=_command, args=(folder, arguments, output, errors, dict(environment or os.environ)))
    process.start()
    return Typed(process, output, errors)


def run_typed(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output of `python -m embexp <arguments>`."""
    command = typed(folder, *arguments, environment=environment)
    return command.wait(), command.text()


@dataclass(frozen=True)
class Done:
    """How a command ended, in the words of `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def done_in(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    """The end of `python -m embexp <arguments>`, which leaves no file behind."""
    command = typed(folder, *arguments, environment=environment, apart=True)
    try:
        return Done(command.wait(), command.text(), command.errors.read_text(encoding="utf-8"))
    finally:
        command.output.unlink()
        command.errors.unlink()


def _command(folder: Path, arguments: tuple[str, ...], output: Path, errors: Path, environment: dict[str, str]) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    for path, number in ((output, 1), (errors, 2)):
        with open(path, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), number)
    sys.argv = ["embexp", *arguments]
    try:
        runpy.run_module("embexp", run_name="__main__", alter_sys=True)
    except Exception:  # noqa: BLE001  # as Python ends a program; multiprocessing would not call the hook
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
