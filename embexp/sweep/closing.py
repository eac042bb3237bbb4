"""The end of a multirun: the leaderboard, the jobs that failed, and the parent run with both."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from embexp.environment import PARENT_RUN, SWEEP_FOLDER, SWEEP_ID
from embexp.errors import TrackingError
from embexp.run_record import RESULT
from embexp.sweep.cells import BUILDERS
from embexp.sweep.failures import failure_lines
from embexp.sweep.opening import OpenSweep, SweepCallback
from embexp.sweep.record import end_sweep, job_folders

BOARD = "leaderboard"  # the folder of its files, in a sweep's folder and among its parent's artifacts
KILLED_CODES = (130, 143)  # exit codes after Ctrl-C and SIGTERM


class closing_sweep:  # noqa: N801
    """Context in which a command runs: closes the sweep that was opened inside, if any, however it ends.

    A sweep with failed jobs ends the program with exit code 1.
    """

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sweep, SweepCallback.current = SweepCallback.current, None
        BUILDERS.clear()
        for name in (PARENT_RUN, SWEEP_ID, SWEEP_FOLDER):
            os.environ.pop(name, None)
        if sweep is None:
            return
        killed = isinstance(error, SystemExit) and error.code in KILLED_CODES
        with sweep.lock:
            failed = close_sweep(sweep, "KILLED" if killed else "FINISHED" if error is None else "FAILED")
        if failed and error is None:
            sys.exit(1)


def close_sweep(sweep: OpenSweep, status: str) -> int:
    """Print the leaderboard and the failures, store them with the parent run, and end it; the number of failures."""
    from embexp.reports.tables import wide_console

    console = wide_console()
    results = job_results(sweep.folder)
    failed = [failure_lines(folder, result) for folder, result in results if result["run"]["status"] == "FAILED"]
    board = show_board(job_folders(sweep.folder), sweep.folder / BOARD)
    for line in failed:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    note = board + "".join(f"\n```\n{line}\n```\n" for line in failed)
    if status != "KILLED":
        end_sweep(sweep.folder)
    else:
        console.print("The sweep was stopped. To go on with it, type the same command again.")
    try:
        sweep.tracker.log_artifact(sweep.folder / BOARD, BOARD)
        sweep.tracker.describe(note)
        sweep.tracker.finish("FAILED" if failed and status == "FINISHED" else status)
    except TrackingError as error:
        console.print(f"{error} All of it is in {sweep.folder}.", markup=False)
    lines = f"sweep      {sweep.id} in {sweep.folder}\ntracked    {sweep.tracker.where()}"
    console.print(lines, highlight=False, soft_wrap=True)
    return len(failed)


def show_board(folders: Sequence[Path], output: Path) -> str:
    """Print the leaderboard of the jobs that have finished, write its files; it as Markdown."""
    from embexp.board.leaderboard import make_leaderboard, write_leaderboard
    from embexp.board.runs import runs_in
    from embexp.reports.board_files import as_markdown
    from embexp.reports.board_tables import print_board

    board = make_leaderboard(runs_in(folders))
    write_leaderboard(board, output)
    print_board(board)
    return as_markdown(board)


def job_results(sweep_folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and result.json of every job that has one, in the order of the jobs."""
    return [
        (folder, json.loads((folder / RESULT).read_text(encoding="utf-8")))
        for folder in job_folders(sweep_folder)
        if (folder / RESULT).is_file()
    ]
