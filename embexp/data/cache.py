"""Results cached on disk under a key of all they depend on: results of steps, and arrays of numbers."""

import contextlib
import functools
import hashlib
import json
import logging
import operator
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config.compose import packages_of
from embexp.core.arguments import texts_in
from embexp.core.environment import COMPUTING, code_of, versions
from embexp.core.file_contents import content_hash, folder_hash, is_model, sha256_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.storage import MANIFEST, is_whole, read_prepared, write_dataset

if TYPE_CHECKING:
    import numpy

logger = logging.getLogger(__name__)


def save_array(file: Path, array: "numpy.ndarray") -> None:
    """Write an array so that the file is either whole or not there; a full disk is a warning."""
    import numpy

    unfinished = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as opened:
            numpy.save(opened, array)
        unfinished.replace(file)
    except OSError as error:
        logger.warning("The numbers were not kept in %s: %s", file.parent, error)


class CachedBlocks:
    """Arrays that are made one after the other, each cached at once: a killed run resumes after the last one.

    Args:
        folder: holds nothing else; its name stands for all that the blocks depend on. None caches none.

    Attributes:
        num_recalled: how many of the blocks so far came from the cache.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.num_blocks, self.num_recalled = folder, 0, 0

    def next(self, make: Callable[[], "numpy.ndarray"]) -> "numpy.ndarray":
        """The next block: from its file if there is one, else made and cached."""
        import numpy

        self.num_blocks += 1
        file = self.folder / f"{self.num_blocks:06}.npy" if self.folder else None
        if file and file.is_file():
            self.num_recalled += 1
            return numpy.load(file)
        block = make()
        if file:
            save_array(file, block)
        return block


@contextlib.contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """Keeps `embexp clean` of another process from the cache; where there is no folder yet it has nothing to keep."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(_locked(cache, "LOCK_SH"))
        yield


def note_use(file: Path) -> None:
    """Let a file of the cache look as if it were just written: what was not used for longest goes first."""
    with contextlib.suppress(OSError):  # another user's, or on a disk that is only read
        os.utime(file)


@contextlib.contextmanager
def cache_alone(cache: Path, unknown: bool = True) -> Iterator[bool]:
    """Whether no other process uses the cache; none begins to inside.

    Args:
        unknown: what is said where folders have no locks, so that nobody knows.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(cache, "LOCK_EX", "LOCK_NB"))
        except BlockingIOError:
            yield False
        except OSError:
            yield unknown
        else:
            yield True


@contextlib.contextmanager
def _locked(folder: Path, *flags: str) -> Iterator[None]:
    """A lock on a folder itself, which a killed process lets go of, and which leaves no file."""
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise OSError("no locks on folders") from error
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, functools.reduce(operator.or_, (getattr(fcntl, each) for each in flags)))
        yield
    finally:
        os.close(opened)


_MAKERS = ("data", "steps", "models", "training")  # folders of the code that a step's result depends on


def dataset_key(dataset: EmbeddingDataset) -> str:
    """A key of what a step can see of a data set: rows, shape, label names and prompts, not where they came from."""
    return _digest(dataset.fingerprints(), dataset.shape.name, dataset.label_names, asdict(dataset.prompts))


def step_key(identity: str, call: Mapping[str, Any]) -> str:
    """A key of a step's result: its input, its call with the content of files it names, its code, the packages."""
    others = [code_of(package) for package in sorted({*packages_of(call)} - {"embexp"})]
    return _digest(identity, call, files_named_in(call), _our_code(), others, versions(COMPUTING))


def files_named_in(call: Mapping[str, Any]) -> dict[str, Any]:
    """The files and folders that arguments of a call name, with hashes of what is in them."""
    return {text: _content_of(Path(text).expanduser()) for text in texts_in(call) if _names_a_path(text)}


def cached_step(
    folder: Path, key: str, dataset: EmbeddingDataset, make: Callable[[EmbeddingDataset], EmbeddingDataset]
) -> EmbeddingDataset:
    """What `make` makes of the data set: from the cache if it is there and whole, else made and stored."""
    with in_use(folder):
        return _cached_step(folder, key, dataset, make)


def _cached_step(
    folder: Path, key: str, dataset: EmbeddingDataset, make: Callable[[EmbeddingDataset], EmbeddingDataset]
) -> EmbeddingDataset:
    entry = folder / key
    if is_whole(entry):
        logger.info("%s: taken from the cache %s", dataset.name, entry)
        note_use(entry / MANIFEST)
        stored = read_prepared(entry, dataset.name)
        return replace(
            stored,
            history=(*dataset.history, *stored.history[len(dataset.history) - len(stored.history) :]),
            provenance=dataset.provenance,
        )
    made = make(dataset)
    if not is_whole(entry):  # somebody else may have made it meanwhile
        write_dataset(made, entry, "parquet", fix="paths.cache=null")
    shutil.rmtree(unfinished_folder(folder, key), ignore_errors=True)
    return made


def rename_entry(folder: Path, key: str, new: str) -> str:
    """Give a step's result the key by which it will be looked for; returns that."""
    with contextlib.suppress(OSError):  # somebody has made it under that key, or nothing could be kept
        (folder / key).rename(folder / new)
    return new


def unfinished_folder(folder: Path, key: str) -> Path:
    """Where a step keeps what it has made so far; removed once its result is in the cache."""
    return folder / "unfinished" / key


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _names_a_path(text: str) -> bool:
    """Whether a step's argument is a file that exists, or a folder: its name has a slash or a dot, or it is a model."""
    try:
        path = Path(text).expanduser()
        looks_like_one = "/" in text.strip("/") or path.suffix or (bool(text.strip("./")) and is_model(path))
        return "\0" not in text and (path.is_file() or (bool(looks_like_one) and path.exists()))
    except (OSError, ValueError, RuntimeError):  # longer than a path can be, with a zero byte, of no such user
        return False


def _content_of(path: Path) -> Any:
    """The hash of a file, or of all files of a folder, such as a model's."""
    return content_hash(path) if path.is_file() else folder_hash(path)


@functools.cache
def _our_code() -> str:
    """A hash of the Python files that make data, with models and teachers."""
    ours = Path(__file__).resolve().parent.parent
    files = [file for folder in _MAKERS for file in (ours / folder).rglob("*.py")]
    files += [ours / "core/nearest_neighbours.py"]
    return _digest([(file.name, sha256_of(file)) for file in sorted(files)])
