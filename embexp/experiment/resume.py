"""How a run starts and how it resumes: what is written first, and what must not have changed later."""

import itertools
import logging
import shlex
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from embexp.config.session import shell_command
from embexp.core.environment import versions
from embexp.core.run_folder import (
    CONFIG,
    LAYOUT,
    RECORD,
    RESULT,
    changes,
    is_closed,
    read_config,
    read_record,
    status_of,
    write_json,
    write_text,
)
from embexp.errors import ConfigError, UnreadableError, listed
from embexp.experiment.fingerprint import code, digest, evaluated_rows, fingerprints, prompts, run_fingerprint, weights

if TYPE_CHECKING:
    from embexp.experiment.plan import RunPlan

logger = logging.getLogger(__name__)
_NEEDED = ("dataset", "model", "loss", "trainer", "evaluator", "tracking", "paths", "seed")  # keys of a configuration
_URI = "tracking.uri="


def start_run(plan: "RunPlan") -> dict[str, Any]:
    """Write what a run is to its folder, before anything else; returns the record.

    Raises:
        ConfigError: the folder holds a run already.
    """
    check_unused(plan.folder)
    plan.folder.mkdir(parents=True, exist_ok=True)
    write_text(plan.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(plan.config))))
    record = {
        "key": uuid.uuid4().hex,
        "layout": LAYOUT,
        "fingerprint": run_fingerprint(plan),
        "name": plan.name,
        "choices": dict(plan.choices),
        "directory": str(Path.cwd()),
        "versions": versions(),
        "data": fingerprints(plan) | prompts(plan),
        "weights": weights(plan),
        "evaluated": evaluated_rows(plan),
        "code": code(plan),
        "store": plan.tracker.store(),
    }
    write_json(plan.folder / RECORD, record)
    return record


def check_unused(folder: Path) -> None:
    """Raise ConfigError when a folder holds a run already."""
    if (folder / RECORD).exists():
        text, expected = f"{folder} holds a run already ({status_of(folder)})", "a folder without one"
        if is_closed(folder):
            raise ConfigError(text, expected=expected, fix=f"hydra.run.dir={_free(folder)}")
        raise ConfigError(text, expected=f"{expected}, or to resume it", fix=f"resume={folder}")


def _free(folder: Path) -> Path:
    """A folder beside another one that is not there yet."""
    names = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(name for name in names if not name.exists())


def resume_run(plan: "RunPlan") -> dict[str, Any]:
    """The record of a run that was interrupted, after a check that it can be resumed.

    What other code or other packages have a part in counts as the same run as no other.

    Raises:
        ConfigError: the data or the models' files are not those that it began with, or the environment names another
            store.
    """
    record = read_record(plan.folder)
    record["store"] = _same_store(plan, record.get("store"))
    changed = changes(record["data"] | record["weights"], fingerprints(plan) | prompts(plan) | weights(plan))
    if changed := changed + changes(record.get("evaluated", {}), evaluated_rows(plan)):
        raise ConfigError(
            f"cannot resume, because what the run began with has changed: {'; '.join(changed)}",
            key="resume",
            given=plan.folder,
            expected="the same rows and model files: put them back, or run the command anew",
        )
    for change in changes(record["versions"], versions()):
        logger.warning("%s: the result may differ in its last digits from that without a break.", change)
    for change in changes(record.get("code", {}), code(plan)):
        logger.warning("%s: what the run did before the break was done by the earlier code.", change)
    if (now := run_fingerprint(plan)) != record["fingerprint"]:
        record["fingerprint"] = digest(record["fingerprint"], now)
    return record


def _same_store(plan: "RunPlan", before: str | None) -> str:
    """The store's address; ConfigError where it is not the one before and nobody has typed it."""
    now = plan.tracker.store()
    if before in (None, now) or plan.config["tracking"].get("uri"):
        return now
    uri = before if "***" not in before else f"<{before} with its password>"
    raise ConfigError(
        f"The run in {plan.folder} was sent to {before}, and would be sent to {now} now",
        expected="MLFLOW_TRACKING_URI as it was when the run began, or the store by its address",
        fix=shlex.join([f"resume={plan.folder}", f"tracking.uri={uri}"]),
    )


def resumed(folder: Path, typed: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
    """Configuration and choices of a run to resume, as they were when it began.

    Args:
        typed: the command line's overrides.

    Raises:
        ConfigError: the run has finished, other values were typed with `resume`, or this is another directory.
    """
    if others := [override for override in typed if not override.startswith(("resume=", _URI))]:
        raise ConfigError(
            f"{' '.join(others)} was typed with resume",
            expected="resume alone, because a run keeps the values it began with (only tracking.uri may be another); "
            "for others run the command anew",
            fix=[override for override in typed if override not in others],
        )
    if is_closed(folder):
        raise ConfigError(f"The run in {folder} has finished: its result is in {folder / RESULT}.")
    record = read_record(folder)
    directory = Path(record["directory"])
    if directory.is_dir() and directory != Path.cwd():
        raise ConfigError(
            f"The run in {folder} began in {directory}, to which its relative paths belong",
            expected="the command in that directory",
            fix=f"cd {directory} && {shell_command('', [f'resume={folder.resolve()}'], away=True)}",
        )
    config = read_config(folder)
    if missing := [key for key in _NEEDED if key not in config]:
        raise UnreadableError(f"cannot be read: it has no {listed(missing)}", file=folder / CONFIG)
    for uri in (each.removeprefix(_URI) for each in typed if each.startswith(_URI)):
        config.tracking.uri = uri.strip("'\"")
    return config, record["choices"]
