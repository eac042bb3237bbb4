"""How a run starts and how it resumes: what is written first, and what must not have changed later."""

import itertools
import logging
import shlex
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from embexp.config.session import shell_command
from embexp.config.trust import check_trusted, links_out_of
from embexp.core.environment import versions
from embexp.core.redaction import MASK, redacted
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
from embexp.models.weights import remote_code

if TYPE_CHECKING:
    from embexp.experiment.plan import RunPlan

logger = logging.getLogger(__name__)
_NEEDED = ("dataset", "model", "loss", "trainer", "evaluator", "tracking", "paths", "seed")  # keys of a configuration
_URI = "tracking.uri"


def start_run(plan: "RunPlan") -> dict[str, Any]:
    """Write what a run is to its folder, before anything else; returns the record.

    Raises:
        ConfigError: the folder holds a run already.
    """
    check_unused(plan.folder)
    plan.folder.mkdir(parents=True, exist_ok=True)
    config = OmegaConf.to_yaml(OmegaConf.create(dict(plan.config)))
    if redacted(config) != config:  # it holds secrets, perhaps others than those that are known by their names
        plan.folder.chmod(0o700)
    write_text(plan.folder / CONFIG, config)
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
    uri = before if MASK not in before else f"<{before} with its password>"
    raise ConfigError(
        f"The run in {plan.folder} was sent to {before}, and would be sent to {now} now",
        expected="MLFLOW_TRACKING_URI as it was when the run began, or the store by its address",
        fix=shlex.join([f"resume={plan.folder}", f"tracking.uri={uri}"]),
    )


def check_run_is_trusted(folder: Path, config: DictConfig, fix: str, own: DictConfig | None = None) -> None:
    """Raise ConfigError where running what a run's folder says could run code of somebody else, or reach other files.

    Args:
        fix: what to type by whom trusts it.
        own: the configuration of this command, whose callables the user has named.
    """
    links = [f"the link {link}" for link in links_out_of(folder)]
    code = dict.fromkeys(each for path in folder.glob("stages/**/modules.json") for each in remote_code(path.parent))
    brought = [f"a model in it brings code of its own, {listed(code)}"] if code else []
    plain, mine = (OmegaConf.to_container(each) if each else {} for each in (config, own))
    check_trusted(plain, folder / CONFIG, fix, mine, [*links, *brought])


def _masked_keys(prefix: str, node: Any) -> Iterator[str]:
    """The keys of a configuration whose value is a secret, or holds one."""
    if isinstance(node, DictConfig):
        for key, value in node.items_ex(resolve=False):
            yield from _masked_keys(f"{prefix}.{key}".lstrip("."), value)
    elif isinstance(node, str) and MASK in node:
        yield prefix


def resumed(folder: Path, typed: Sequence[str], own: DictConfig | None = None) -> tuple[DictConfig, dict[str, Any]]:
    """Configuration and choices of a run to resume, as they were when it began.

    Args:
        typed: the command line's overrides: beside `resume` the store, trust, and the secrets, which are recorded
            nowhere.
        own: the configuration of this command, whose callables the user has named.

    Raises:
        ConfigError: the run has finished, other values were typed with `resume`, a secret was not typed again, this
            is another directory, or the configuration asks for trust.
    """
    masked = (
        [key for key in _masked_keys("", read_config(folder)) if key != _URI] if (folder / CONFIG).is_file() else []
    )
    given = {key: value.strip("'\"") for key, _, value in (override.partition("=") for override in typed)}
    if others := [
        override for override in typed if override.partition("=")[0] not in ("resume", "trust", _URI, *masked)
    ]:
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
            fix=f"cd {shlex.quote(str(directory))} && {shell_command('', [f'resume={folder.resolve()}'], away=True)}",
        )
    config = read_config(folder)
    if missing := [key for key in _NEEDED if key not in config]:
        raise UnreadableError(f"cannot be read: it has no {listed(missing)}", file=folder / CONFIG)
    if lacking := [key for key in masked if key not in given]:
        raise ConfigError(
            f"{listed(lacking)} of the run in {folder}, a secret, is recorded nowhere",
            expected="it typed again",
            fix=" ".join([f"resume={folder}", *(f"{key}=<value>" for key in lacking)]),
        )
    if not (own and own.trust):
        check_run_is_trusted(folder, config, shell_command("", [*map(shlex.quote, typed), "trust=true"]), own)
    for key in {_URI, *masked} & {*given}:
        OmegaConf.update(config, key, given[key])
    return config, record["choices"]
