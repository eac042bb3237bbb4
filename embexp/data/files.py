"""Files as rows: CSV, TSV, JSONL and Parquet, and folders that hold one for each split."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.data.dataset import SPLITS
from embexp.errors import DataError, listed

if TYPE_CHECKING:
    from datasets import Dataset

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
# Names under which people keep the parts of a data set.
SPLIT_NAMES = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}


def read_table(path: Path) -> "Dataset":
    """One file as rows. Of CSV and TSV every column is text; labels and scores become numbers with the shape.

    Raises:
        DataError: there is no such file, its suffix is unknown, or its content does not parse.
    """
    import pyarrow
    import pyarrow.json
    import pyarrow.parquet
    from datasets import Dataset

    if not path.is_file():
        raise DataError(f"There is no file {path}. Expected a file in {path.resolve().parent}.")
    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        elif path.suffix == ".jsonl":
            table = pyarrow.json.read_json(path)
        elif path.suffix in (".csv", ".tsv"):
            table = _read_separated(path, "\t" if path.suffix == ".tsv" else ",")
        else:
            raise DataError(f"{path} is not of a kind that can be read. Expected one of: {listed(SUFFIXES)}.")
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return Dataset(table)


def _read_separated(path: Path, delimiter: str) -> Any:
    import pyarrow
    from pyarrow.csv import ConvertOptions, ParseOptions, open_csv, read_csv

    parse = ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with open_csv(path, parse_options=parse) as reader:
        as_text = {name: pyarrow.string() for name in reader.schema.names}
    return read_csv(path, parse_options=parse, convert_options=ConvertOptions(column_types=as_text))


def split_files(path: Path) -> dict[str, Path]:
    """The file of each split in a folder; a single file is the train split.

    Raises:
        DataError: a folder without a split, or with two files for one.
    """
    if not path.is_dir():
        return {"train": path}
    candidates = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    found: dict[str, Path] = {}
    for file in candidates:
        split = SPLIT_NAMES.get(file.stem)
        if split in found:
            raise DataError(f"{file} and {found[split]} are both the split {split}. Expected one file for each split.")
        if split:
            found[split] = file
    if not found:
        raise DataError(
            f"The folder {path} holds no split. Expected files named {listed(SPLIT_NAMES)} "
            f"with one of the endings {listed(SUFFIXES)}."
        )
    return {split: found[split] for split in SPLITS if split in found}


def sha256_of(path: Path) -> str:
    """sha256 of a file, as hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
