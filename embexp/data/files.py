"""Which files make a data set: a single one, or a folder that holds one for each split."""

import hashlib
from pathlib import Path

from embexp.data.dataset import SPLITS
from embexp.data.formats import SUFFIXES, kind_of
from embexp.errors import DataError, listed

# Names under which people keep the parts of a data set.
SPLIT_NAMES = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}


def split_files(path: Path) -> dict[str, Path]:
    """The file of each split in a folder; a single file is the train split.

    Raises:
        DataError: a folder without a split, or with two files for one.
    """
    if not path.is_dir():
        return {"train": path}
    candidates = sorted(file for file in path.iterdir() if file.is_file() and kind_of(file) in SUFFIXES)
    found: dict[str, Path] = {}
    for file in candidates:
        split = SPLIT_NAMES.get(file.name.partition(".")[0].lower())
        if split in found:
            raise DataError(f"{file} and {found[split]} are both the split {split}. Expected one file for each split.")
        if split:
            found[split] = file
    if not found:
        raise DataError(
            f"The folder {path} holds no split. Expected files named {listed(SPLIT_NAMES)} "
            f"with one of the endings {listed(SUFFIXES)} (all but .parquet also as .gz)."
        )
    return {split: found[split] for split in SPLITS if split in found}


def sha256_of(path: Path) -> str:
    """sha256 of a file, as hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
