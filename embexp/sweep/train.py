"""One job from its configuration to its result, and how a multirun of them ends."""

import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import parent_process
from pathlib import Path
from types import TracebackType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.cli.messages import coloured
from embexp.config.session import shell_command
from embexp.core.claims import held
from embexp.core.escaping import as_markdown_block
from embexp.core.launch import check_size, launched, refuse_launch
from embexp.core.run_context import RunContext, Timer, only_warnings
from embexp.core.run_folder import (
    IS_BEHIND,
    RECORD,
    RESULT,
    is_closed,
    read_json,
    readable,
    status_of,
    write_json,
    write_text,
)
from embexp.core.signals import unmasked
from embexp.errors import ClaimLostError, ConfigError, SkippedJobError, TrackingError, WorkersCancelled, printable
from embexp.experiment.sweep_record import end_sweep, job_folders
from embexp.sweep.coordinator import is_left
from embexp.sweep.start import OPENED, OpenSweep
from embexp.tracking.outbox import unsent_below

_TRACE = "error.txt"  # in a job's folder: where in the code it failed


class Training:
    """The task of the command: a run, or the jobs of a sweep, one after the other in this process.

    Jobs share the data sets that were built. Composing a job's configuration belongs to the job's time, so that begins
    where the job before has ended.
    """

    def __init__(self) -> None:
        self.builders: dict[str, Any] = {}
        self.shown: set[str] = set()  # warnings
        self.began = time.perf_counter()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()  # in a worker process it begins with nothing

    def __call__(self, config: DictConfig, choices: dict[str, Any], folder: Path) -> float:
        """Do one run, or the rest of one; return the primary metric, for sweepers that optimise it."""
        from hydra.core.hydra_config import HydraConfig

        from embexp.sweep.start import sweep_of_job

        sweep, parent = sweep_of_job()
        typed = OmegaConf.to_container(HydraConfig.get().overrides, resolve=False)
        folder_typed = [own for own in typed["hydra"] if own.startswith("hydra.run.dir=")]
        try:
            context = RunContext(parent, sweep, self.builders, Timer(self.began))
            is_worker = parent_process() is not None  # which writes into a file of its own
            with only_warnings(self.shown) if sweep and not is_worker else nullcontext():
                return train(config, choices, folder, [*typed["task"], *folder_typed], context)
        finally:
            self.began = time.perf_counter()


def train(
    config: DictConfig, choices: dict[str, Any], folder: Path, overrides: Sequence[str], context: RunContext
) -> float:
    """Run a job, or the rest of it; return the primary metric.

    Args:
        overrides: of this job, as they were typed.
    """
    from embexp.experiment.plan import plan_run
    from embexp.experiment.resume import check_unused, resumed

    if launched() is None:
        refuse_launch("embexp.run", "embexp.run('trainer.processes=2')")
    with held(folder):
        if context.sweep:
            with _recorded(folder, overrides), unmasked():
                from embexp.sweep.jobs import run_or_reuse

                return run_or_reuse(plan_run(config, choices, folder, context=context), config.sweep.rerun, context)
        if config.sweep.get("parts"):
            text, expected = "makes several runs, and -m was not typed", "-m before it"
            raise ConfigError(text, key="sweep", given="leave_one_out", expected=expected, fix="-m sweep=leave_one_out")
        resume = config.resume is not None
        if resume:
            config, choices = resumed(folder, overrides, config)
        else:
            check_unused(folder)
        check_size(launched(), config.trainer.get("processes", 1))
        with _recorded(folder, overrides), unmasked():
            plan = plan_run(config, choices, folder, context=context)

            from embexp.experiment.execute import execute

            return execute(plan, resume, context=context).primary_value


@contextmanager
def _recorded(folder: Path, overrides: Sequence[str]) -> Iterator[None]:
    """Leave result.json and the traceback in the folder of a job that failed, also before its run was opened."""
    try:
        yield
    except BaseException as error:
        begun = [folder] if (folder / RECORD).is_file() else []
        is_ours = not isinstance(error, SkippedJobError | ClaimLostError)
        if is_ours and not any(closed for _, closed in readable(begun, is_closed)):
            path = folder / RESULT
            files = [path] if path.is_file() else []
            content = next((content for _, content in readable(files, read_json)), {"run": {"status": "FAILED"}})
            write_json(path, content | {"error": f"{type(error).__name__}: {error}", "overrides": [*overrides]})
            write_text(folder / _TRACE, "".join(traceback.format_exception(error)))
        raise
    (folder / _TRACE).unlink(missing_ok=True)


_LEFT = """The workers of the sweep in {folder} go on, and the last one makes its leaderboard.
To wait for them type the same command again, to end them the same with sweep.engine.then=cancel."""
_BOARD = "leaderboard"  # the folder of its files, in a sweep's folder and among its parent's artifacts


def _failures(folders: Sequence[Path]) -> Iterator[str]:
    """The failed jobs, those of one cause together: what they were, the error, where logs are, how to run only them."""
    by_cause: dict[str, list[str]] = {}
    for folder in folders:
        result = read_json(folder / RESULT)
        overrides = [each for each in result["overrides"] if not each.startswith(("sweep.", "sweep/"))]
        logs = [name for name in ("embexp.log", "output.txt", _TRACE) if (folder / name).is_file()]
        by_cause.setdefault(result["error"], []).append(
            f"{result['run']['status']}: {' '.join(overrides)}\n"
            f"  log:   {folder} ({', '.join(logs)})\n"
            f"  again: {shell_command('', map(shlex.quote, overrides))}"
        )
    for cause, jobs in by_cause.items():
        several = f"{len(jobs)} jobs failed for one cause:\n" if len(jobs) > 1 else ""
        yield "\n".join([*jobs, f"{several}{cause}"])


class closing_sweep:  # noqa: N801
    """Context in which a command runs: closes the sweep that was opened inside, if any, however it ends.

    A sweep with failed jobs ends the program with exit code 1; else, if MLflow lacks something, with `IS_BEHIND`.
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
        killed |= isinstance(error, WorkersCancelled)
        with sweep.lock:
            if is_left(sweep.folder):
                print(_LEFT.format(folder=sweep.folder))
                return
            failed = _close_sweep(sweep, "KILLED" if killed else "FINISHED" if error is None else "FAILED")
        if error is None and (failed or unsent_below(sweep.folder)):
            sys.exit(1 if failed else IS_BEHIND)


def _close_sweep(sweep: OpenSweep, status: str) -> int:
    """Print the leaderboard and the failures, store them with the parent run, and end it; the number of failures."""
    from embexp.core.escaping import output_console
    from embexp.leaderboards.make import make_leaderboard, with_race, write_leaderboard
    from embexp.leaderboards.runs import runs_of_sweep
    from embexp.leaderboards.tables import as_markdown, print_leaderboard

    console = output_console()
    folders = job_folders(sweep.folder)
    statuses = readable([folder for folder in folders if (folder / RESULT).is_file()], status_of)
    failed = [folder for folder, status in statuses if status == "FAILED"]
    failures = [*_failures(failed)]
    command = shell_command("", ["-m", *map(shlex.quote, sweep.overrides)])
    board = make_leaderboard(runs_of_sweep(sweep.folder), margins=sweep.margins, command=command)
    board = with_race(board, sweep.folder)
    write_leaderboard(board, sweep.folder / _BOARD)
    print_leaderboard(board)
    for line in failures:
        print(coloured(printable(line), sys.stdout))
    note = as_markdown(board) + "".join(f"\n{as_markdown_block(line)}\n" for line in failures)
    if status != "KILLED":
        end_sweep(sweep.folder)
    else:
        console.print("The sweep was stopped. To resume it, type the same command again.")
    sweep.outbox.send("log_artifact", sweep.folder / _BOARD, _BOARD)
    sweep.outbox.send("describe", note)
    page = ""
    with suppress(TrackingError):
        page = sweep.outbox.tracker.page_of_sweep(sweep.id)
    sweep.outbox.send("finish", "FAILED" if failed and status == "FINISHED" else status, time.time())
    sweep.outbox.close(is_stopped=status == "KILLED")
    lines = f"sweep      {sweep.id} in {sweep.folder}\ntracked    {sweep.outbox.tracker.where()}"
    lines += f"\npage       {page}" if page else ""
    console.print(lines, highlight=False, soft_wrap=True)
    if behind := unsent_below(sweep.folder):
        sync = shell_command("sync", [shlex.quote(str(sweep.folder))])
        console.print(f"MLflow is behind: it lacks records of {len(behind)} runs. To send them: {sync}", soft_wrap=True)
    return len(failed)
