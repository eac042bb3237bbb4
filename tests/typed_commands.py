"""`python -m embexp` as a person types it, in a process group of its own that starts in a moment and can be killed."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from killed_runs import SERVER


@dataclass(frozen=True)
class Typed:
    """A command that was typed: its process, which leads a group, and the file that holds what it prints."""

    process: BaseProcess
    output: Path

    def wait(self, timeout: float = 180) -> int:
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


def typed(folder: Path, *arguments: str) -> Typed:
    """Start `python -m embexp <arguments>` in a folder."""
    output = folder / f"output-{time.monotonic_ns()}.txt"
    process = SERVER.Process(target=_command, args=(folder, arguments, output))
    process.start()
    return Typed(process, output)


def run_typed(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `python -m embexp <arguments>`."""
    command = typed(folder, *arguments)
    return command.wait(), command.text()


def _command(folder: Path, arguments: tuple[str, ...], output: Path) -> None:
    os.setsid()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with open(output, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["embexp", *arguments]
    from embexp.__main__ import main

    main()
