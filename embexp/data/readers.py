"""Reading rows: the user's own files, and public data sets from local files or the Hugging Face Hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.data.checks import checked
from embexp.data.columns import shape_of_columns, with_columns
from embexp.data.dataset import EmbeddingDataset
from embexp.data.files import read_table, sha256_of, split_files
from embexp.data.shapes import Shape, shape_named, training_columns
from embexp.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset


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
    files = split_files(Path(path))
    tables = {split: with_columns(read_table(file), columns or {}, file) for split, file in files.items()}
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
    tables = {split: with_columns(rows, columns, f"{name}/{split}") for split, rows in tables.items()}
    return _finished(name, shape_named(shape), tables, score_range, label_names, provenance)


def _read_hub(hub: str, subset: str | None, revision: str | None, split: str, name: str) -> "Dataset":
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    try:
        return load_dataset(hub, subset, revision=revision, split=split)
    except (DatasetNotFoundError, OSError, ValueError) as error:  # ValueError: no such subset or split
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"Data set {name} could not be read from the Hugging Face Hub ({hub}): {reason}. Expected a connection, "
            "or its files in a local folder: paths.data=<folder> (README, section Data)."
        ) from error


def _finished(
    name: str,
    shape: Shape,
    tables: Mapping[str, "Dataset"],
    score_range: Sequence[float] | None,
    label_names: Sequence[str],
    provenance: dict[str, Any],
) -> EmbeddingDataset:
    if score_range is not None:
        check_score_range(score_range, shape)
        provenance["score_range"] = f"{score_range[0]} to {score_range[1]}"
    splits = {split: _in_shape(rows, shape, score_range, f"{name}/{split}") for split, rows in tables.items()}
    dataset = EmbeddingDataset(name, shape, splits, tuple(label_names), provenance)
    return checked(_without_unlabelled(dataset))


def check_score_range(score_range: Sequence[float], shape: Shape) -> None:
    """Raise DataError unless the range is two rising numbers and the shape has scores to rescale."""
    numbers = [bound for bound in score_range if isinstance(bound, int | float)]
    if len(score_range) != 2 or len(numbers) != 2 or numbers[0] >= numbers[1]:
        raise DataError(
            f"dataset.reader.score_range={list(score_range)} is no range. "
            "Expected the lowest and the highest score, as [0,5]."
        )
    if shape.label_kind != "score":
        raise DataError(f"dataset.reader.score_range has no effect on {shape.name}, which has no scores. Leave it out.")


def _in_shape(rows: "Dataset", shape: Shape, score_range: Sequence[float] | None, source: str) -> "Dataset":
    import pyarrow
    import pyarrow.compute
    from datasets import Dataset

    kept = [name for name in training_columns(shape, rows.column_names) if name in rows.column_names]
    table = rows.with_format("arrow")[:].select(kept)
    number = {"score": pyarrow.float64(), "binary": pyarrow.int64(), "class": pyarrow.int64()}.get(shape.label_kind)
    if number is not None and shape.label in kept:
        try:
            values = table[shape.label].cast(number)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
            raise DataError(
                f"{source}: the column {shape.label} holds labels that are no {number} numbers: {error}"
            ) from error
        if score_range:
            low, high = score_range
            values = pyarrow.compute.divide(pyarrow.compute.subtract(values, low), float(high - low))
        table = table.set_column(kept.index(shape.label), shape.label, values)
    return Dataset(table)


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
