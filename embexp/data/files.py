"""Which files make a data set: a single one, or a folder that holds one, or its numbered parts, for each split."""

import hashlib
import logging
import re
from collections import defaultdict
from pathlib import Path

from embexp.data.dataset import SPLITS
from embexp.data.formats import SUFFIXES, kind_of
from embexp.errors import DataError, listed

logger = logging.getLogger(__name__)
# Names under which people keep the parts of a data set.
SPLIT_NAMES = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
PART = re.compile(r"-(\d{5})-of-(\d{5})$")  # the Hub's train-00000-of-00002.parquet
MOST_LISTED = 10


def split_files(path: Path) -> dict[str, list[Path]]:
    """The files of each split in a folder, numbered parts in their order; a single file is the train split.

    Raises:
        DataError: a folder without a split, with two files for one, or with some of its parts only.
    """
    if not path.is_dir():
        return {"train": [path]}
    candidates = sorted(file for file in path.iterdir() if file.is_file() and kind_of(file) in SUFFIXES)
    found: defaultdict[str | None, list[Path]] = defaultdict(list)
    for file in candidates:
        found[SPLIT_NAMES.get(PART.sub("", _stem(file)))].append(file)
    others = found.pop(None, [])
    if not found:
        holds = f" It holds {_some(sorted(path.iterdir()))}." if any(path.iterdir()) else ""
        raise DataError(
            f"The folder {path} holds no split. Expected files named {listed(SPLIT_NAMES)} "
            f"with one of the endings {listed(SUFFIXES)} (all but .parquet also as .gz).{holds}"
        )
    if others:
        logger.info("%s: files that are no split are not read: %s", path, _some(others))
    for split, files in found.items():
        _check_parts(split, files)
    return {split: found[split] for split in SPLITS if split in found}


def _stem(file: Path) -> str:
    return file.name.partition(".")[0].lower()


def _some(files: list[Path]) -> str:
    more = f" and {len(files) - MOST_LISTED:,} more" if len(files) > MOST_LISTED else ""
    return listed(file.name for file in files[:MOST_LISTED]) + more


def _check_parts(split: str, files: list[Path]) -> None:
    """Raise DataError unless this is one file, or every numbered part of one."""
    parts = [PART.search(_stem(file)) for file in files]
    if len(files) == 1 and not parts[0]:
        return
    wholes = {
        PART.sub(part[2] if part else "", _stem(file)) + kind_of(file) for part, file in zip(parts, files, strict=True)
    }
    if not all(parts) or len(wholes) > 1:
        raise DataError(f"{files[1]} and {files[0]} are both the split {split}. Expected one file for each split.")
    total = int(parts[0][2])
    if [int(part[1]) for part in parts] != [*range(total)]:
        raise DataError(
            f"{files[0].parent} holds {len(files)} of the {total} parts of {split}: {_some(files)}. Expected all."
        )


def sha256_of(*paths: Path) -> str:
    """sha256 of a file, or of the content of several one after another, as hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
