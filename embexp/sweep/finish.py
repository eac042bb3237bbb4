"""How a multirun ends: the leaderboard, the failed jobs with their causes, and the parent run with both."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from types import TracebackType
from typing import Any

from embexp.config.session import shell_command
from embexp.core.run_folder import RESULT
from embexp.errors import TrackingError
from embexp.experiment.sweep_record import end_sweep, job_folders
from embexp.sweep.start import OPENED, OpenSweep
from embexp.sweep.train import TRACE

_LONGEST = 200  # characters of an error that are shown


def _failure_lines(folder: Path, result: Mapping[str, Any]) -> str:
    """A failed job in a few lines: what it was, its error, where the log is, and how to run only it."""
    overrides = [each for each in result["overrides"] if not each.startswith("sweep.")]
    logs = [name for name in ("embexp.log", "output.txt", TRACE) if (folder / name).is_file()]
    return (
        f"{result['run']['status']}: {' '.join(overrides)}\n  {shorten(result['error'], _LONGEST)}\n"
        f"  log:   {folder} ({', '.join(logs)})\n"
        f"  again: {shell_command('', map(shlex.quote, overrides))}"
    )


_BOARD = "leaderboard"  # the folder of its files, in a sweep's folder and among its parent's artifacts
_KILLED_CODES = (130, 143)  # exit codes after Ctrl-C and SIGTERM


class closing_sweep:  # noqa: N801
    """Context in which a command runs: closes the sweep that was opened inside, if any, however it ends.

    A sweep with failed jobs ends the program with exit code 1.
    """

    def __enter__(self) -> None:
        self.opened: list[OpenSweep] = []
        self.token = OPENED.set(self.opened)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        OPENED.reset(self.token)
        if not self.opened:
            return
        sweep = self.opened[0]
        killed = isinstance(error, SystemExit) and error.code in _KILLED_CODES
        with sweep.lock:
            failed = _close_sweep(sweep, "KILLED" if killed else "FINISHED" if error is None else "FAILED")
        if failed and error is None:
            sys.exit(1)


def _close_sweep(sweep: OpenSweep, status: str) -> int:
    """Print the leaderboard and the failures, store them with the parent run, and end it; the number of failures."""
    from embexp.reports.tables import wide_console

    console = wide_console()
    results = _job_results(sweep.folder)
    failed = [_failure_lines(folder, result) for folder, result in results if result["run"]["status"] == "FAILED"]
    board = _show_board(job_folders(sweep.folder), sweep.folder / _BOARD)
    for line in failed:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    note = board + "".join(f"\n```\n{line}\n```\n" for line in failed)
    if status != "KILLED":
        end_sweep(sweep.folder)
    else:
        console.print("The sweep was stopped. To resume it, type the same command again.")
    try:
        sweep.tracker.log_artifact(sweep.folder / _BOARD, _BOARD)
        sweep.tracker.describe(note)
        sweep.tracker.finish("FAILED" if failed and status == "FINISHED" else status)
    except TrackingError as error:
        console.print(f"{error} All of it is in {sweep.folder}.", markup=False)
    lines = f"sweep      {sweep.id} in {sweep.folder}\ntracked    {sweep.tracker.where()}"
    console.print(lines, highlight=False, soft_wrap=True)
    return len(failed)


def _show_board(folders: Sequence[Path], output: Path) -> str:
    """Print the leaderboard of the jobs that have finished, write its files; it as Markdown."""
    from embexp.leaderboards.make import make_leaderboard, write_leaderboard
    from embexp.leaderboards.runs import runs_in
    from embexp.leaderboards.tables import as_markdown, print_leaderboard

    board = make_leaderboard(runs_in(folders))
    write_leaderboard(board, output)
    print_leaderboard(board)
    return as_markdown(board)


def _job_results(sweep_folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and result.json of every job that has one, in the order of the jobs."""
    return [
        (folder, json.loads((folder / RESULT).read_text(encoding="utf-8")))
        for folder in job_folders(sweep_folder)
        if (folder / RESULT).is_file()
    ]
