"""A multirun: checked before its first job, shown below one parent run, closed with a loss x model table."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from embexp.building import DataBuilder
from embexp.environment import PARENT_RUN
from embexp.errors import ConfigError, EmbexpError
from embexp.protocols import Tracker
from embexp.run_record import is_closed

KILLED_CODES = (130, 143)  # exit codes after Ctrl-C and SIGTERM


@dataclass(frozen=True)
class OpenSweep:
    """A multirun that has begun: its tracker, which holds the parent run, its folder and what was typed.

    Attributes:
        builders: what its jobs in this process have read and built.
    """

    tracker: Tracker
    folder: Path
    overrides: tuple[str, ...]
    builders: dict[str, DataBuilder] = field(default_factory=dict)


class SweepCallback(Callback):
    """Hydra's callback: creates the store and the parent run once, before any job starts."""

    current: OpenSweep | None = None

    def on_multirun_start(self, config: DictConfig, config_name: str | None = None, **kwargs: Any) -> None:
        """Check the configuration of all jobs, then open the parent run; mistakes end the program here."""
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        from embexp.command import exit_with

        try:
            SweepCallback.current = open_sweep(config, config_name or "config")
        except (EmbexpError, HydraException, OmegaConfBaseException) as error:
            exit_with(error)


def open_sweep(config: DictConfig, config_name: str) -> OpenSweep:
    """Open the parent run of a multirun, after the values it sweeps over were checked.

    Raises:
        EmbexpError: a swept value does not fit, or the tracker's store cannot be opened.
    """
    from embexp.config import instantiate

    overrides = tuple(OmegaConf.to_container(config.hydra.overrides.task, resolve=False))
    if any(override.startswith("resume=") for override in overrides):
        raise ConfigError("resume goes on with one run and was typed with -m. Type it alone, without -m, for each run.")
    check_swept_values(overrides, config_name)
    tracker = instantiate(OmegaConf.to_container(config.tracking, resolve=True))
    tracker.prepare()
    os.environ[PARENT_RUN] = tracker.start("sweep " + " ".join(overrides))
    typed = (override.partition("=") for override in overrides)
    tracker.log_params({f"override.{key.lstrip('+~')}": value or "left out" for key, _, value in typed})
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    return OpenSweep(tracker, folder, overrides)


def check_swept_values(overrides: Sequence[str], config_name: str) -> None:
    """Compose the configuration once for every swept value (not for every combination) and check its types."""
    from embexp.config import composed

    for job in _each_value_once(overrides):
        composed(job, config_name)


def _each_value_once(overrides: Sequence[str]) -> Iterator[list[str]]:
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    values = []
    for override in parser.parse_overrides(list(overrides)):
        if override.is_discrete_sweep():
            key = override.get_key_element()
            values.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        elif not override.is_sweep_override():
            values.append([override.input_line])
    first = [choices[0] for choices in values]
    yield first
    for place, choices in enumerate(values):
        for value in choices[1:]:
            yield [*first[:place], value, *first[place + 1 :]]


def shared_builders() -> dict[str, DataBuilder] | None:
    """What the jobs of this process's sweep have read and built; None outside of one."""
    return SweepCallback.current.builders if SweepCallback.current else None


class closing_sweep:  # noqa: N801
    """Context in which a command runs: closes the sweep that was opened inside, if any, however it ends."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sweep, SweepCallback.current = SweepCallback.current, None
        os.environ.pop(PARENT_RUN, None)
        if sweep is not None:
            killed = isinstance(error, SystemExit) and error.code in KILLED_CODES
            close_sweep(sweep, "KILLED" if killed else "FINISHED" if error is None else "FAILED")


def close_sweep(sweep: OpenSweep, status: str) -> None:
    """Print the table and the failures, store them with the parent run, and end it."""
    from embexp.errors import TrackingError
    from embexp.reports.tables import as_text, read_results, sweep_table, wide_console

    results = read_results(sweep.folder)
    table = sweep_table(results)
    console = wide_console()
    console.print(table)
    failed = [result for result in results if result["run"]["status"] != "FINISHED"]
    for result in failed:
        console.print(failure_line(result), markup=False, highlight=False, soft_wrap=True)
    text = sweep.folder / "table.txt"
    text.write_text(as_text(table) + "\n".join(failure_line(result) for result in failed), encoding="utf-8")
    try:
        sweep.tracker.log_artifact(text)
        sweep.tracker.describe(f"```\n{as_text(table)}```\n")
        sweep.tracker.finish(status)
    except TrackingError as error:
        console.print(f"{error} The table is in {text}.", markup=False)
    console.print(f"sweep      {sweep.folder}\ntracked    {sweep.tracker.where()}", highlight=False, soft_wrap=True)


def failure_line(result: dict[str, Any]) -> str:
    """A failed job in a few lines: what it was, why it failed, and how to run only it."""
    return (
        f"{result['run']['status']}: {' '.join(result['overrides'])}\n  {result['error']}\n"
        f"  again: python -m embexp {shlex.join(result['overrides'])}"
    )


@contextmanager
def recorded_job(folder: Path) -> Iterator[None]:
    """Leaves a result.json in the folder of a job that failed before its run was opened."""
    finished = False
    try:
        yield
        finished = True
    finally:
        if not finished:
            _record_failure(folder)


def typed_overrides() -> list[str]:
    """The overrides of this job, as they were typed; of Hydra's own the folder that was named for it."""
    from hydra.core.hydra_config import HydraConfig

    overrides = OmegaConf.to_container(HydraConfig.get().overrides, resolve=False)
    return [*overrides["task"], *(own for own in overrides["hydra"] if own.startswith("hydra.run.dir="))]


def _record_failure(folder: Path) -> None:
    import sys

    if is_closed(folder):
        return
    path, error = folder / "result.json", sys.exception()
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"run": {"status": "FAILED"}}
    content.setdefault("error", f"{type(error).__name__}: {error}")
    content["overrides"] = typed_overrides()
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
