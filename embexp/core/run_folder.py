"""What a run's folder says about the run itself, so that it can be found and resumed."""

import functools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from embexp.core.arguments import texts_in
from embexp.core.claims import check_claims
from embexp.core.redaction import Redacting, redacted
from embexp.errors import ConfigError, UnreadableError

if TYPE_CHECKING:
    from omegaconf import DictConfig

logger = logging.getLogger(__name__)
RECORD = "run.json"
CONFIG = "config.yaml"
RESULT = "result.json"
LAYOUT = 2  # of a run's folder, and of the module paths in its configuration: runs of another one cannot be read
LAYOUT_TAG = "embexp.layout"
LOSS_STATE = "loss.pt"  # in a checkpoint: what the loss trains besides the model
FREED = "freed.json"  # beside the checkpoints of a stage: those that were there were removed by embexp clean
UNLOGGED = "unlogged.pt"  # in a checkpoint of Ctrl-C: the losses since the last log line
MARK = "complete.json"  # in a checkpoint: all its files with their hashes, written last
# Files of a checkpoint that only resuming needs: two thirds of its size.
RESUME_FILES = (MARK, "optimizer.pt", "scheduler.pt", "rng_state*", "scaler.pt", "training_args.bin", LOSS_STATE)
RESUME_FILES += (UNLOGGED,)


IS_BEHIND = 75  # exit code of a command that did its work, but for what its tracker lacks (sysexits.h: EX_TEMPFAIL)
BEHIND: dict[Path, int] = {}  # how many records the tracker lacks, by the folder of each run of this process


@contextmanager
def log_in(folder: Path) -> Iterator[None]:
    """Keep embexp's messages in the run's embexp.log, as the command does."""
    ours = logging.getLogger("embexp")
    level = ours.level
    handler = logging.FileHandler(folder / "embexp.log", encoding="utf-8", delay=True)
    handler.setFormatter(Redacting("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    ours.addHandler(handler)
    ours.setLevel(level or logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
        ours.removeHandler(handler)
        handler.close()


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file in one step: a killed process leaves the old file or the new one."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file in one step, without secrets, and on the disk before it takes the place of the old one.

    Raises:
        ClaimLostError: it is in a folder that this process has held and another one has taken over.
    """
    with replacing(path) as making, open(making, "w", encoding="utf-8") as file:
        file.write(redacted(text))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The place of a file that is made inside; at the end it is on the disk, and takes the place of the old one.

    Raises:
        ClaimLostError: it is in a folder that this process has held and another one has taken over.
    """
    check_claims(path, strict=True)
    making = path.with_name(f"{path.name}.making")
    yield making
    with open(making, "r+b") as file:
        os.fsync(file.fileno())
    os.replace(making, path)


class _Table(dict[str, Any]):
    """The content of a file of a run; a key that is not there is a fault of the file."""

    file: Path

    def __missing__(self, key: str) -> Any:
        raise _unreadable(self.file, f"it has no {key}")


def _unreadable(file: Path, reason: str) -> UnreadableError:
    expected, note = "the file as embexp wrote it", "Put it back, or move its folder away"
    return UnreadableError(f"cannot be read: {reason}", file=file, expected=expected, note=note)


def read_json(path: Path) -> dict[str, Any]:
    """The table that a JSON file of a run or a sweep holds.

    Raises:
        UnreadableError: it is damaged; also where a key is looked for that it does not have.
    """
    try:
        text = _text_in(path)
        content = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode("utf-8")  # half a character, which cannot be printed
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, str(error).splitlines()[0]) from error
    if not isinstance(content, dict):
        raise _unreadable(path, "it holds no table")
    for key, kind in _TYPES.get(path.name, {}).items():
        if not isinstance(content.get(key, kind()), kind):
            raise _unreadable(path, f"{key} is of another type")
    if path.name == RESULT and not are_numbers(content.get("metrics", {})):
        raise _unreadable(path, "not all metrics are numbers")
    table = _Table(content)
    table.file = path
    return table


# Of what is in the files of a run. That a key is missing is noticed where it is looked for.
_TYPES: dict[str, dict[str, type]] = {
    RECORD: dict.fromkeys(("choices", "versions", "data", "weights"), dict)
    | dict.fromkeys(("key", "name", "directory"), str),
    RESULT: dict.fromkeys(("run", "params", "metrics", "tags", "choices", "primary"), dict) | {"verdict": str},
}


def are_numbers(metrics: Any) -> bool:
    """Whether these are numbers by their names; one that is not known is null."""
    return isinstance(metrics, dict) and all(isinstance(value, int | float | None) for value in metrics.values())


def read_config(folder: Path) -> "DictConfig":
    """The configuration of a run: values only, since interpolations would read files or variables of the reader.

    Raises:
        UnreadableError: the file is damaged, or embexp did not write it so.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    path = folder / CONFIG
    try:
        text = _text_in(path)
        if _has_aliases(text):
            raise _unreadable(path, "it holds aliases, which can unfold without end")
        content = OmegaConf.create(text)
    except UnreadableError:
        raise
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise _unreadable(path, str(error).splitlines()[0]) from error
    if not isinstance(content, DictConfig) or not content:
        raise _unreadable(path, "it holds no table")
    if found := next(filter(_is_interpolation, texts_in(OmegaConf.to_container(content))), ""):
        raise _unreadable(path, f"it holds {found}, and embexp writes values only")
    return content


def _is_interpolation(text: str) -> bool:
    """Whether a text is no value yet, such as `${oc.env:HOME}`; one whose `$` has a backslash is one."""
    return "${" in text.replace("\\\\", "").replace("\\${", "")


_LARGEST = 2**26  # bytes: of a configuration or a record, which have kilobytes


def _text_in(path: Path) -> str:
    """The text of a file of a run; no pipe or device is read, and nothing without end."""
    if path.exists() and not path.is_file():
        raise OSError("it is no file")
    if path.stat().st_size > _LARGEST:
        raise OSError(f"it has {path.stat().st_size:,} bytes")
    return path.read_text(encoding="utf-8")


def is_file_name(name: str) -> bool:
    """Whether a name that somebody else gave stays in its folder when it is that of a file.

    >>> [is_file_name(name) for name in ("sts_test", "../../x", "/etc/passwd", "..")]
    [True, False, False, False]
    """
    return name not in ("", ".", "..") and not any(sign in name for sign in "/\\:\0")


def _has_aliases(text: str) -> bool:
    from yaml import AliasEvent, SafeLoader, parse

    return "*" in text and any(isinstance(event, AliasEvent) for event in parse(text, SafeLoader))


_Given, _Read = TypeVar("_Given"), TypeVar("_Read")


def readable(given: Iterable[_Given], read: Callable[[_Given], _Read]) -> Iterator[tuple[_Given, _Read]]:
    """Each with what `read` says of it; one with a damaged file is left out, with a warning that names the file."""
    for each in given:
        try:
            found = read(each)
        except (UnreadableError, FileNotFoundError) as error:  # the latter: removed since it was found
            _warn_once(f"Left out: {error}")
        else:
            yield each, found


def latest_folder(root: Path, name: str, key: str) -> Path | None:
    """The folder of the latest sweep, study or race below `<root>/<date>/<time>` whose file of that name has a key."""
    keys = readable(sorted(root.glob(f"*/*/{name}")), lambda path: read_json(path)["key"])
    found = [path.parent for path, its_key in keys if its_key == key]
    return found[-1] if found else None


@functools.cache
def _warn_once(text: str) -> None:
    logger.warning("%s", text)


def read_record(folder: Path) -> dict[str, Any]:
    """What was written of a run when it began: key, name, choices, directory, versions, data, weights.

    Once the tracker's run is open also its `id`, and `closed` once the run has finished and all of it was sent.
    """
    return read_json(folder / RECORD)


def _check_layout(folder: Path) -> None:
    """Raise ConfigError when this version of embexp cannot read the run."""
    if read_record(folder).get("layout") != LAYOUT:
        raise ConfigError(
            f"The run in {folder} was made by an earlier version of embexp, whose modules had other names",
            expected="a run of this version. Run its command again (its overrides are in .hydra/overrides.yaml)",
        )


def run_folder(resume: str | None, fresh: str, *roots: str) -> str:
    """The folder of a run: that of the one to resume, or a fresh one.

    Args:
        resume: a run's folder, or the id that its tracker gave it.
        roots: where runs and sweeps are, to be searched for an id.

    Raises:
        ConfigError: no such run, or one that never began.
    """
    if resume is None:
        return fresh
    mistake = partial(
        ConfigError, key="resume", given=resume, expected="the folder of a run (<runs>/<date>/<time>), or its id"
    )
    fix = "resume=<folder of the run>"
    if not resume.strip():
        raise mistake("names no run", fix=fix)
    folder = _folder_of(resume, roots)
    if folder is None:
        raise mistake(f"is neither a folder nor the id of a run in {' or '.join(roots)}", fix=fix)
    if not (folder / RECORD).is_file() or not (folder / CONFIG).is_file():
        note = "Nothing is lost: run its command again."
        raise mistake(f"is no run that began: {folder} has no {RECORD}", note=note)
    _check_layout(folder)
    return str(folder)


def find_run(given: str, roots: Sequence[str]) -> Path:
    """The folder of a run that was named by it, or by the id that its tracker gave it.

    Args:
        roots: where runs and sweeps are, to be searched for an id.

    Raises:
        ConfigError: there is no such run.
    """
    expected = "the folder of a finished run (<runs>/<date>/<time>), or its id"
    folder = _folder_of(given, roots)
    if folder is None:
        raise ConfigError(f"{given} is neither a folder nor the id of a run in {' or '.join(roots)}", expected=expected)
    if (folder / RECORD).is_file() and (folder / CONFIG).is_file():
        _check_layout(folder)
        return folder
    is_model = (folder / "modules.json").is_file()
    saved = f"It is a saved model: embexp.export and embexp.evaluate take it as model={given}." if is_model else ""
    raise ConfigError(f"{given} is no run: there is no {RECORD} in it", expected=expected, note=saved)


def _folder_of(given: str, roots: Sequence[str]) -> Path | None:
    """The folder that was given, or that of the run below these roots to which its tracker gave the id."""
    folder = Path(given).expanduser()
    if folder.is_dir():
        return folder
    for root in roots:
        records = readable(sorted(Path(root).glob(f"**/{RECORD}")), read_json)
        if found := next((path for path, record in records if record.get("id") == given), None):
            return found.parent
    return None


def status_of(folder: Path) -> str:
    """How a run ended: FINISHED, FAILED or KILLED; RUNNING when it was never closed."""
    path = folder / RESULT
    if not path.exists():
        return "RUNNING"
    run = read_json(path)["run"]
    if not isinstance(run, dict) or "status" not in run:
        raise _unreadable(path, "it has no status")
    return run["status"]


def is_closed(folder: Path) -> bool:
    """Whether a run has finished and its tracker has all of it."""
    return status_of(folder) == "FINISHED" and bool(read_record(folder).get("closed"))


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two tables, a text for each: `torch 2.12.0 is now 2.13.0`."""
    return [f"{key} {before[key]} is now {now.get(key)}" for key in before if now.get(key) != before[key]]
