"""What a tracker lacks of runs, sweeps and studies, sent from their folders."""

import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.config.session import shell_command
from embexp.core.claims import held
from embexp.core.escaping import say
from embexp.core.run_folder import (
    IS_BEHIND,
    RECORD,
    RESULT,
    read_config,
    read_json,
    read_record,
    readable,
    status_of,
    write_json,
)
from embexp.errors import ConfigError, TrackingError
from embexp.experiment.sweep_record import SWEEP, job_folders
from embexp.tracking.journal import METRICS, written_lines
from embexp.tracking.mlflow_tracker import MlflowTracker
from embexp.tracking.outbox import Outbox, read_unsent, unsent_below
from embexp.tracking.run_parts import close_parts
from embexp.training.checkpoints import tidy_checkpoints

_MLFLOW = "embexp.tracking.mlflow_tracker.MlflowTracker"
_USUAL = {"experiment": None, "log_model": True, "checkpoint": "none", "register": None}
_EXPECTED = "the folder of a run, a sweep, a study or an evaluation"


@dataclass
class Sent:
    """What was sent.

    Attributes:
        records: how many, by the folder of each run that the tracker lacked something of.
        running: the folders of runs that another process is at: it sends what is missing itself.
    """

    records: dict[Path, int] = field(default_factory=dict)
    running: list[Path] = field(default_factory=list)


def sync(folders: Sequence[str], uri: str | None = None) -> Sent:
    """Send what the tracker lacks of the runs in these folders, those above others first.

    Two that do so at once wait for each other.

    Args:
        uri: where the store is now; None: where it was.

    Raises:
        ConfigError: no folder, or one that is not there.
        TrackingError: the store does not answer; what was sent until then is not sent again.
    """
    sent, places = Sent(), [Path(each).expanduser() for each in folders]
    for given, place in zip(folders, places, strict=True):
        if not place.is_dir():
            raise ConfigError("is no folder", key="folders", given=given, expected=_EXPECTED)
    if not places:
        raise ConfigError("No folder was given", expected=_EXPECTED, fix=shell_command("sync", ["<folder>"]))
    for place in places:
        with held(place, "sync", waits=True):
            try:
                _sync_folder(place, uri, sent)
            except TrackingError as error:
                problem, again = error.problems[0], shell_command("sync", map(shlex.quote, folders))
                raise TrackingError(problem.text, expected=problem.expected, fix=again) from error
    return sent


def _sync_folder(folder: Path, uri: str | None, sent: Sent) -> None:
    jobs = job_folders(folder) if (folder / SWEEP).is_file() else []
    roots = [folder, *(job for job in jobs if not job.resolve().is_relative_to(folder.resolve()))]
    ids: dict[Path, str] = {}
    for file in [file for root in roots for file in unsent_below(root)]:
        with ExitStack() as stack:
            if _is_free(*_claim_on(file.parent), stack, sent) and file.is_file():
                sent.records[file.parent] = sent.records.get(file.parent, 0) + _send_file(file, uri, ids)
    for run in [path.parent for root in roots for path in sorted(root.rglob(RECORD))]:
        with ExitStack() as stack:
            if run not in sent.running and not _is_closed(run) and _is_free(run, "run", stack, sent):
                _close_run(run, uri, sent)


def _claim_on(place: Path) -> tuple[Path, str]:
    """The folder whose claim protects what is in another one, such as a part of a run, and what the claim is called."""
    for folder in (place, *place.parents):
        if (folder / RECORD).is_file():
            return folder, "run"
    return place, "sweep" if (place / SWEEP).is_file() else "run"


def _is_free(folder: Path, what: str, stack: ExitStack, sent: Sent) -> bool:
    """Whether no other process is at the folder, which then is held until the stack is closed."""
    try:
        stack.enter_context(held(folder, what))
    except ConfigError:
        sent.running = [*dict.fromkeys([*sent.running, folder])]
        return False
    return True


def _send_file(file: Path, uri: str | None, ids: dict[Path, str]) -> int:
    """Send what one file holds; returns how many records those are."""
    folder, head = file.parent, read_unsent(file)[0]
    if not head.get("tracker"):
        raise ConfigError(f"{folder} was sent to a tracker that sync does not know", fix=f"resume={folder}")
    outbox = Outbox(folder, _tracker(head["tracker"], uri))
    outbox.path = file
    outbox.load()
    if head.get("above"):
        above = (folder / head["above"]).resolve()
        outbox.run["parent"] = ids.get(above) or _id_in(above)
    return outbox.send_all(lambda found: _note_id(folder, found, ids))


def _tracker(settings: Mapping[str, Any], uri: str | None) -> MlflowTracker:
    given = {key: settings.get(key, usual) for key, usual in _USUAL.items()}
    return MlflowTracker(uri or settings.get("uri"), telemetry=False, **given)


def _id_in(folder: Path) -> str | None:
    files = [path for path in [folder / RESULT] if path.is_file()]
    return next((result["run"].get("id") for _, result in readable(files, read_json)), None)


def _note_id(folder: Path, found: str, ids: dict[Path, str]) -> None:
    """Write the id that the tracker gave a run into the run's folder, where that lacks it."""
    ids[folder.resolve()] = found
    if (folder / RECORD).is_file() and read_record(folder).get("id") != found:
        write_json(folder / RECORD, read_record(folder) | {"id": found})
    for path in [path for path in [folder / RESULT] if path.is_file()]:
        result = read_json(path)
        if result["run"].get("id") != found:
            write_json(path, result | {"run": result["run"] | {"id": found}})


def _is_closed(run: Path) -> bool:
    return any(record.get("closed") for _, record in readable([run], read_record))


def _close_run(run: Path, uri: str | None, sent: Sent) -> None:
    """Note that the tracker has all of a run; of one that was killed, send what its process could not send any more."""
    for _, status in readable([run], status_of):
        if status == "FINISHED" and not unsent_below(run):
            close_parts(run)
            tidy_checkpoints(run.glob("stages/*/checkpoints"), read_config(run)["keep"])
            write_json(run / RECORD, read_record(run) | {"closed": True})
        elif status == "RUNNING" and (count := _send_killed(run, uri)):
            sent.records[run] = sent.records.get(run, 0) + count


def _send_killed(run: Path, uri: str | None) -> int:
    """Send the metrics that the tracker lacks of a run whose process has died, and that it was killed."""
    record, config = read_record(run), read_config(run)
    settings = config.get("tracking") or {}
    if settings.get("_target_") != _MLFLOW or not record.get("id"):
        return 0
    outbox = Outbox(run, _tracker({**settings, "uri": record.get("store")}, uri))
    outbox.run |= {key: record[key] for key in ("name", "key", "id")}
    outbox.run["began"], lines = time.time(), written_lines(run / METRICS)
    outbox.tracker.attach(record["key"])
    there = outbox.tracker.logged({key for line in lines for key in line["metrics"]}) if lines else set()
    for line in lines:
        step, values = line["step"], line["metrics"].items()
        if lacking := {key: value for key, value in values if _is_sent(value) and (key, step or 0) not in there}:
            outbox.unsent.append(("log_metrics", [lacking, step, line.get("time")]))
    count = len(outbox.unsent)
    outbox.unsent.append(("finish", ["KILLED", lines[-1].get("time") if lines else None]))
    outbox.send_all(lambda _: None)
    return count


def _is_sent(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _said(sent: Sent) -> Iterator[str]:
    for folder, count in sent.records.items():
        yield f"{count} records of {folder}"
    for folder in sent.running:
        yield f"still running: {folder} (it sends what is missing when it ends)"
    if not sent.records and not sent.running:
        yield "Nothing is waiting to be sent."
    elif not sent.running:
        yield f"MLflow has all of {'it' if len(sent.records) == 1 else f'these {len(sent.records)} runs'} now."


def sync_command() -> None:
    """`python -m embexp.sync`: send, say what was sent; `IS_BEHIND` where runs go on that lack something still."""
    from embexp.cli.app import run_command

    running: list[Path] = []

    def task(config: DictConfig, _choices: dict[str, Any], _folder: Path) -> None:
        sent = sync([*config.folders], (config.tracking or {}).get("uri"))
        say("\n".join(_said(sent)))
        running.extend(sent.running)

    run_command(task, "sync", rewrite=with_folders)
    if running:
        sys.exit(IS_BEHIND)


def with_folders(arguments: Sequence[str]) -> list[str]:
    """The arguments, with those that are no overrides as the list `folders`.

    >>> with_folders(["runs/a", "tracking.uri=http://host:5000"])
    ['folders=["runs/a"]', 'tracking.uri=http://host:5000']
    """
    from embexp.cli.quoting import quoted

    words = [each for each in arguments if "=" not in each or Path(each).is_dir()]
    others = [each for each in arguments if each not in words]
    return [f"folders=[{','.join(map(quoted, words))}]", *others] if words else others
