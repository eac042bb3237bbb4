"""Reading rows: the user's own files, and public data sets from local files or the Hugging Face Hub."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.data.dataset import SPLITS, EmbeddingDataset, checked
from embexp.data.shapes import SHAPES, Shape, shape_named, text_columns, training_columns
from embexp.errors import DataError, listed

if TYPE_CHECKING:
    from datasets import Dataset

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
# Names under which people keep the parts of a data set.
SPLIT_NAMES = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}


def read_files(
    path: str | Path,
    name: str,
    shape: str | None = None,
    columns: Mapping[str, str] | None = None,
    score_range: Sequence[float] | None = None,
    label_names: Sequence[str] = (),
) -> EmbeddingDataset:
    """The user's own file, or a folder with one file per split (train, dev or validation, test).

    Args:
        path: a CSV, TSV, JSONL or Parquet file, or a folder of them.
        shape: what the rows mean; None tells it from the column names.
        columns: the column of the file for each column of the shape, where the names differ.
        score_range: lowest and highest possible score in the file; scores are rescaled to [0, 1].
        label_names: the classes by number, for class labels.

    Raises:
        DataError: a file is missing, unreadable, or its columns tell no shape.
    """
    files = _split_files(Path(path))
    tables = {split: _renamed(read_table(file), columns or {}, file) for split, file in files.items()}
    first = next(iter(tables.values()))
    known_shape = shape_named(shape) if shape else shape_of_columns(first, path)
    provenance = {"source": str(path)} | {f"sha256/{split}": sha256_of(file) for split, file in files.items()}
    return _finished(name, known_shape, tables, score_range, label_names, provenance)


def read_public(
    name: str,
    shape: str,
    columns: Mapping[str, str],
    hub: str,
    splits: Mapping[str, str],
    files: Mapping[str, str],
    root: str | None = None,
    subset: str | None = None,
    revision: str | None = None,
    score_range: Sequence[float] | None = None,
    label_names: Sequence[str] = (),
) -> EmbeddingDataset:
    """A public data set: from files below `root` when that is given, else from the Hugging Face Hub.

    Args:
        columns: the source's column for each column of the shape.
        hub: id on the Hub; `subset` and `revision` say which part and which commit.
        splits: the Hub's split for each of train, dev, test.
        files: the file below `root` for each of train, dev, test.
        score_range: lowest and highest possible score in the source; scores are rescaled to [0, 1].

    Raises:
        DataError: a file is missing, or the Hub does not answer.
    """
    if root is not None:
        paths = {split: Path(root) / file for split, file in files.items()}
        tables = {split: read_table(path) for split, path in paths.items()}
        provenance = {"source": f"{root} ({hub})"} | {
            f"sha256/{split}": sha256_of(path) for split, path in paths.items()
        }
    else:
        tables = {split: _read_hub(hub, subset, revision, part, name) for split, part in splits.items()}
        provenance = {"source": hub, "subset": subset or "", "revision": revision or "main"}
    tables = {split: _renamed(rows, columns, f"{name}/{split}") for split, rows in tables.items()}
    return _finished(name, shape_named(shape), tables, score_range, label_names, provenance)


def read_table(path: Path) -> "Dataset":
    """One file as rows.

    Raises:
        DataError: there is no such file, its suffix is unknown, or its content does not parse.
    """
    import pyarrow
    import pyarrow.csv
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
            parse = pyarrow.csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",", newlines_in_values=True)
            table = pyarrow.csv.read_csv(path, parse_options=parse)
        else:
            raise DataError(f"{path} is not of a kind that can be read. Expected one of: {listed(SUFFIXES)}.")
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return Dataset(table)


def _split_files(path: Path) -> dict[str, Path]:
    if not path.is_dir():
        return {"train": path}
    candidates = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    found = {SPLIT_NAMES[file.stem]: file for file in candidates if file.stem in SPLIT_NAMES}
    if not found:
        raise DataError(
            f"The folder {path} holds no split. Expected files named {listed(SPLIT_NAMES)} "
            f"with one of the endings {listed(SUFFIXES)}."
        )
    return {split: found[split] for split in SPLITS if split in found}


def _read_hub(hub: str, subset: str | None, revision: str | None, split: str, name: str) -> "Dataset":
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    try:
        return load_dataset(hub, subset, revision=revision, split=split)
    except (DatasetNotFoundError, OSError) as error:  # OSError is the parent of all connection errors here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"Data set {name} could not be read from the Hugging Face Hub ({hub}): {reason}. Expected a connection, "
            "or its files in a local folder: paths.data=<folder> (README, section Data)."
        ) from error


def _renamed(rows: "Dataset", columns: Mapping[str, str], source: Any) -> "Dataset":
    missing = [theirs for theirs in columns.values() if theirs not in rows.column_names]
    if missing:
        raise DataError(
            f"{source} has no column {listed(missing)}. It has: {listed(rows.column_names)}. "
            "Name yours with dataset.reader.columns={<column of the shape>: <your column>}."
        )
    return (
        rows.rename_columns({theirs: ours for ours, theirs in columns.items() if ours != theirs}) if columns else rows
    )


def shape_of_columns(rows: "Dataset", source: Any) -> Shape:
    """The one shape whose columns are all there; the most telling one when several fit.

    Raises:
        DataError: no shape fits, or a label column can mean more than one.
    """
    names = set(rows.column_names)
    fitting = [shape for shape in SHAPES.values() if {*training_columns(shape, list(names))} <= names]
    fitting = [shape for shape in fitting if not shape.negatives or len(text_columns(shape, list(names))) > 2]
    if not fitting:
        raise DataError(
            f"{source} has the columns {listed(rows.column_names)}, which tell no shape. Expected those of one of "
            + "; ".join(f"{shape.name} ({listed(training_columns(shape, []))})" for shape in SHAPES.values())
            + ". Name yours with dataset.reader.columns={<column of the shape>: <your column>}."
        )
    most = max(len(training_columns(shape, list(names))) for shape in fitting)
    best = [shape for shape in fitting if len(training_columns(shape, list(names))) == most]
    if {shape.name for shape in best} == {"binary_pair", "class_pair"}:
        return shape_named("binary_pair" if set(rows.unique("label")) <= {0, 1} else "class_pair")
    return best[0]


def _finished(
    name: str,
    shape: Shape,
    tables: Mapping[str, "Dataset"],
    score_range: Sequence[float] | None,
    label_names: Sequence[str],
    provenance: dict[str, Any],
) -> EmbeddingDataset:
    splits = {split: _in_shape(rows, shape, score_range) for split, rows in tables.items()}
    if score_range:
        provenance["score_range"] = f"{score_range[0]} to {score_range[1]}"
    dataset = EmbeddingDataset(name, shape, splits, tuple(label_names), provenance)
    dataset = _without_unlabelled(dataset)
    return checked(dataset)


def _in_shape(rows: "Dataset", shape: Shape, score_range: Sequence[float] | None) -> "Dataset":
    kept = [name for name in training_columns(shape, rows.column_names) if name in rows.column_names]
    rows = rows.select_columns(kept)
    if score_range and shape.label_kind == "score" and "score" in kept:
        low, high = score_range
        rescaled = [None if value is None else (value - low) / (high - low) for value in rows["score"]]
        rows = rows.remove_columns("score").add_column("score", rescaled)
    return rows


def _without_unlabelled(dataset: EmbeddingDataset) -> EmbeddingDataset:
    """Without the rows labelled -1: the Hub's sign for pairs on which the annotators did not agree."""
    if dataset.shape.label_kind != "class":
        return dataset
    label = dataset.shape.label
    keep = {
        split: [place for place, value in enumerate(rows[label]) if value != -1] if label in rows.column_names else None
        for split, rows in dataset.splits.items()
    }
    if all(places is None or len(places) == dataset.splits[split].num_rows for split, places in keep.items()):
        return dataset
    return dataset.after(
        "leave out rows without a gold label (-1)",
        {split: rows if keep[split] is None else rows.select(keep[split]) for split, rows in dataset.splits.items()},
    )


def sha256_of(path: Path) -> str:
    """sha256 of a file, as hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
