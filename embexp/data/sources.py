"""Where a data set comes from: one file, a folder of files for each split, or the Hugging Face Hub."""

import functools
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from embexp.data.arrow import BATCH_ROWS
from embexp.data.dataset import SPLITS
from embexp.data.formats import SUFFIXES, kind_of
from embexp.data.proposals import override
from embexp.data.text_files import Chunk, arrow_chunk
from embexp.errors import DataError, listed

logger = logging.getLogger(__name__)
# The names that people give to the parts of a data set: a file's name, or a word in it.
_SPLIT_NAMES = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
_OTHER_NAMES = {"training": "train", "trn": "train", "trainset": "train", "训练": "train", "训练集": "train"}
_OTHER_NAMES |= {"devel": "dev", "development": "dev", "devset": "dev", "eval": "dev", "evaluation": "dev"}
_OTHER_NAMES |= {"验证": "dev", "验证集": "dev", "开发集": "dev", "testing": "test", "tst": "test", "testset": "test"}
_OTHER_NAMES |= {"测试": "test", "测试集": "test"}
_PART = re.compile(r"[-_.](\d+)-of-(\d+)$")  # the Hub's train-00000-of-00002.parquet
_MOST_LISTED = 10


def split_files(path: Path) -> tuple[dict[str, list[Path]], str]:
    """The files of each split in a folder, numbered parts in their order; and the data files that are no split.

    A file belongs to the split that its name says, or else to that of a word in its name: `sts-train.csv`. A single
    file is the train split.

    Raises:
        DataError: a folder without a split, with two files for one, or with some of its parts only.
    """
    if not path.is_dir():
        return {"train": [path]}, ""
    candidates = sorted(file for file in path.iterdir() if file.is_file() and kind_of(file) in SUFFIXES)
    found: defaultdict[str | None, list[Path]] = defaultdict(list)
    for file in candidates:
        found[_SPLIT_NAMES.get(_PART.sub("", _stem(file)))].append(file)
    others = []
    for split, files in _by_word(found.pop(None, [])).items():
        if split is None or split in found:  # a file of just that name is the split
            others += files
        else:
            found[split] = files
    if not found:
        raise DataError(
            f"The folder {path} holds no split",
            expected=f"files with one of the words {listed(_SPLIT_NAMES)} in their name and one of the endings "
            f"{listed(SUFFIXES)} (all but .parquet also as .gz)",
            note=f"It holds {_some(sorted(path.iterdir()))}" if any(path.iterdir()) else "",
            fix=(override("dataset", str(candidates[0])),) if len(candidates) == 1 else (),
        )
    if others:
        logger.info("%s: files that are no split are not read: %s", path, _some(sorted(others)))
    for split, files in found.items():
        _check_parts(split, files)
    return {split: found[split] for split in SPLITS if split in found}, _some(sorted(others)) if others else ""


def _by_word(files: list[Path]) -> dict[str | None, list[Path]]:
    """Files by the split that a word in their name says; None for those with no such word, or of two splits."""
    found: defaultdict[str | None, list[Path]] = defaultdict(list)
    for file in files:
        words = re.split(r"[\W_\d]+", file.name.removesuffix(file.suffix).casefold())
        splits = {(_SPLIT_NAMES | _OTHER_NAMES)[word] for word in words if word in _SPLIT_NAMES | _OTHER_NAMES}
        found[splits.pop() if len(splits) == 1 else None].append(file)
    return found


def _stem(file: Path) -> str:
    """The name without its ending: `sts.train` of `sts.train.csv.gz`."""
    name = file.name.lower()
    return name.removesuffix(".gz").removesuffix(kind_of(file))


def _some(files: list[Path]) -> str:
    more = f" and {len(files) - _MOST_LISTED:,} more" if len(files) > _MOST_LISTED else ""
    return listed(file.name for file in files[:_MOST_LISTED]) + more


def _check_parts(split: str, files: list[Path]) -> None:
    """Raise DataError unless this is one file, or every numbered part of one."""
    parts = [_PART.search(_stem(file)) for file in files]
    if len(files) == 1 and not parts[0]:
        return
    wholes = {
        _PART.sub(part[2] if part else "", _stem(file)) + kind_of(file) for part, file in zip(parts, files, strict=True)
    }
    if not all(parts) or len(wholes) > 1:
        expected = f"one file for each split, or its parts as {split}-00000-of-{len(files):05}{kind_of(files[0])}"
        raise DataError(f"{files[1]} and {files[0]} are both the split {split}", expected=expected)
    total = int(parts[0][2])
    if [int(part[1]) for part in parts] != [*range(total)]:
        text = f"{files[0].parent} holds {len(files)} of the {total} parts of {split}: {_some(files)}"
        raise DataError(text, expected="all")


@functools.cache
def hub_is_reachable() -> bool:
    """Whether the Hub can be reached; tried once in a process, as the Hub's own client would try for half a minute."""
    import requests
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        requests.head(constants.ENDPOINT, timeout=10)
    except requests.RequestException:
        return False
    return True


def load_hub(
    id: str, name: str, subset: str | None, revision: str | None, splits: Mapping[str, str] | None, streaming: bool
) -> tuple[dict[str, Callable[[], Iterator[Chunk]]], Mapping[str, Any]]:
    """What opens the rows of each of a data set's splits, under our names, and its features.

    Arguments as in `readers.read_hub`.

    Raises:
        DataError: the Hub does not answer, or there is no such data set, subset or split.
    """
    import datasets
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    answers = Path(id).exists() or hub_is_reachable()
    if not answers:
        datasets.config.HF_HUB_OFFLINE = True  # what was fetched before is read without waiting for the Hub
    try:
        if splits:
            loaded = {
                split: load_dataset(id, subset, revision=revision, split=theirs, streaming=streaming)
                for split, theirs in splits.items()
            }
        else:
            found = load_dataset(id, subset, revision=revision, streaming=streaming)
            usual = {_SPLIT_NAMES[theirs]: rows for theirs, rows in found.items() if theirs in _SPLIT_NAMES}
            loaded = {split: usual[split] for split in SPLITS if split in usual}
    except (DatasetNotFoundError, DatasetGenerationError, OSError, ValueError) as error:  # ValueError: no such split
        reason = (str(error).splitlines() or [type(error).__name__])[0] if answers else "it does not answer."
        no_folder = f"There is no folder {id} here. " if name == Path(id).name and not Path(id).exists() else ""
        raise DataError(
            f"{no_folder}Data set {name} could not be read from the Hugging Face Hub ({id}): {reason}",
            expected="a connection and an id as org/name, or local files (those of public data sets below paths.data)",
            fix=("dataset=<file or folder>/", "paths.data=<folder>"),
        ) from error
    if not loaded:
        fix = f"'dataset.reader.splits={{train: {next(iter(found))}}}'"
        expected = f"the usual names: {listed(_SPLIT_NAMES)}"
        raise DataError(f"{id} has the splits {listed(found)}", expected=expected, fix=fix)
    features = next(iter(loaded.values())).features or {}
    return {split: partial(_hub_chunks, rows) for split, rows in loaded.items()}, features


def _hub_chunks(rows: Any) -> Iterator[Chunk]:
    """The rows of a split in chunks, whether it was downloaded or is streamed."""
    import pyarrow

    start = 1
    for batch in rows.with_format("arrow").iter(BATCH_ROWS):
        table = batch if isinstance(batch, pyarrow.Table) else pyarrow.Table.from_batches([batch])
        yield arrow_chunk(table, start)
        start += table.num_rows
