"""How a multirun ends: the leaderboard, the failed jobs with their causes, and the parent run with both."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from types import TracebackType
from typing import Any

from embexp.config.session import shell_command
from embexp.core.run_folder import RESULT, read_json, readable, status_of
from embexp.errors import TrackingError
from embexp.experiment.sweep_record import end_sweep, job_folders
from embexp.sweep.start import OPENED, OpenSweep
from embexp.sweep.train import TRACE

_BOARD = "leaderboard"  # the folder of its files, in a sweep's folder and among its parent's artifacts


def _failure_lines(folder: Path, result: Mapping[str, Any]) -> str:
    """A failed job in a few lines: what it was, its error, where the log is, and how to run only it."""
    overrides = [each for each in result["overrides"] if not each.startswith("sweep.")]
    logs = [name for name in ("embexp.log", "output.txt", TRACE) if (folder / name).is_file()]
    return (
        f"{result['run']['status']}: {' '.join(overrides)}\n  {shorten(result['error'], 200)}\n"
        f"  log:   {folder} ({', '.join(logs)})\n"
        f"  again: {shell_command('', map(shlex.quote, overrides))}"
    )


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
        killed = isinstance(error, SystemExit) and error.code in (130, 143)  # after Ctrl-C and SIGTERM
        with sweep.lock:
            failed = _close_sweep(sweep, "KILLED" if killed else "FINISHED" if error is None else "FAILED")
        if failed and error is None:
            sys.exit(1)


def _close_sweep(sweep: OpenSweep, status: str) -> int:
    """Print the leaderboard and the failures, store them with the parent run, and end it; the number of failures."""
    from embexp.leaderboards.make import make_leaderboard, write_leaderboard
    from embexp.leaderboards.runs import runs_in
    from embexp.leaderboards.tables import as_markdown, print_leaderboard
    from embexp.reports.tables import wide_console

    console = wide_console()
    folders = job_folders(sweep.folder)
    statuses = readable([folder for folder in folders if (folder / RESULT).is_file()], status_of)
    failed = [_failure_lines(folder, read_json(folder / RESULT)) for folder, status in statuses if status == "FAILED"]
    board = make_leaderboard(runs_in(folders))
    write_leaderboard(board, sweep.folder / _BOARD)
    print_leaderboard(board)
    for line in failed:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    note = as_markdown(board) + "".join(f"\n```\n{line}\n```\n" for line in failed)
    if status != "KILLED":
        end_sweep(sweep.folder)
    else:
        console.print("The sweep was stopped. To resume it, type the same command again.")
    try:
        sweep.tracker.log_artifact(sweep.folder / _BOARD, _BOARD)
        sweep.tracker.describe(note)
        sweep.tracker.finish("FAILED" if failed and status == "FINISHED" else status)
    except TrackingError as error:
        console.print(f"{error} All of it is in {sweep.folder}; the same command sends it.", markup=False)
    lines = f"sweep      {sweep.id} in {sweep.folder}\ntracked    {sweep.tracker.where()}"
    console.print(lines, highlight=False, soft_wrap=True)
    return len(failed)
