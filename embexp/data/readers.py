"""What a dataset YAML calls: readers of the user's own files, of the Hugging Face Hub, and of public data sets."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from embexp.data.arrow import BATCH_ROWS
from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.faults import FaultLog
from embexp.data.files import SPLIT_NAMES, sha256_of, split_files
from embexp.data.formats import Chunk, FileOptions, arrow_chunk, chunks_of
from embexp.data.reading import Meaning, Source, dataset_from
from embexp.data.storage import is_prepared, read_prepared
from embexp.errors import DataError, listed


def read_files(
    path: str | Path,
    name: str,
    shape: str | None = None,
    columns: Mapping[str, str] | None = None,
    score_range: Sequence[float] | None = None,
    label_names: Sequence[str] = (),
    encoding: str = "utf-8",
    header: Sequence[str] = (),
    quote: str | None = '"',
    on_fault: str = "stop",
    max_rows: int | None = None,
) -> EmbeddingDataset:
    """The user's own file, or a folder with one file per split (train, dev or validation, test).

    A folder that `python -m embexp.prepare` wrote says itself what its rows mean.

    Args:
        path: CSV, TSV, JSONL or plain text (each also as .gz) or Parquet, or a folder of such files.
        shape: what the rows mean; None tells it from the column names.
        columns: the column of the file for each column of the shape, where the names differ.
        score_range: lowest and highest possible score in the file; scores are rescaled to [0, 1].
        label_names: the classes by number; labels may be these names or their numbers.
        encoding, header, quote: how text files are written (FileOptions).
        on_fault: `stop` at faulty rows, or `drop` them and count them.
        max_rows: most rows to read of each split.

    Raises:
        DataError: a file is missing or unreadable, its columns tell no shape, or rows are faulty.
    """
    place = Path(path)
    meaning = Meaning(shape, columns, score_range, label_names, max_rows)
    if is_prepared(place):
        return read_prepared(place, name, meaning)
    options, faults = FileOptions(encoding, header, quote), FaultLog(on_fault)
    files = split_files(place)
    sources = {split: Source(file, chunks_of(file, options, faults)) for split, file in files.items()}
    return dataset_from(name, sources, meaning, faults, {"source": str(path)} | _hashes(files))


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
    on_fault: str = "stop",
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
    if root is None:
        return read_hub(hub, name, shape, subset, revision, splits, False, columns, score_range, label_names, on_fault)
    faults = FaultLog(on_fault)
    paths = {split: Path(root) / file for split, file in files.items()}
    sources = {split: Source(path, chunks_of(path, FileOptions(), faults)) for split, path in paths.items()}
    meaning = Meaning(shape, columns, score_range, label_names)
    return dataset_from(name, sources, meaning, faults, {"source": f"{root} ({hub})"} | _hashes(paths))


def read_hub(
    id: str,
    name: str,
    shape: str | None = None,
    subset: str | None = None,
    revision: str | None = None,
    splits: Mapping[str, str] | None = None,
    streaming: bool = False,
    columns: Mapping[str, str] | None = None,
    score_range: Sequence[float] | None = None,
    label_names: Sequence[str] = (),
    on_fault: str = "stop",
    max_rows: int | None = None,
) -> EmbeddingDataset:
    """A data set of the Hugging Face Hub, or a local folder in the Hub's layout.

    Args:
        id: as `org/name`; `subset` and `revision` say which part and which commit.
        splits: the Hub's split for each of train, dev, test; None takes those with the usual names.
        streaming: read only what is needed instead of downloading whole files first (for max_rows of a large set).
        others: as for `read_files`.

    Raises:
        DataError: the Hub does not answer, there is no such subset or split, or the rows do not fit.
    """
    loaded = _load(id, name, subset, revision, splits, streaming)
    faults = FaultLog(on_fault)
    sources = {split: Source(f"{id}/{split}", _hub_chunks(rows)) for split, rows in loaded.items()}
    provenance = {"source": id, "subset": subset or "", "revision": revision or "main"}
    if not label_names:
        label_names = _names_of_classes(loaded, columns or {})
    meaning = Meaning(shape, columns, score_range, label_names, max_rows)
    return dataset_from(name, sources, meaning, faults, provenance)


def _hashes(files: Mapping[str, Path]) -> dict[str, str]:
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise DataError(f"There is no file {listed(missing)}.")
    return {f"sha256/{split}": sha256_of(path) for split, path in files.items()}


def _load(
    id: str, name: str, subset: str | None, revision: str | None, splits: Mapping[str, str] | None, streaming: bool
) -> dict[str, Any]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    try:
        if splits:
            return {
                split: load_dataset(id, subset, revision=revision, split=theirs, streaming=streaming)
                for split, theirs in splits.items()
            }
        found = load_dataset(id, subset, revision=revision, streaming=streaming)
    except (DatasetNotFoundError, DatasetGenerationError, OSError, ValueError) as error:  # ValueError: no such split
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"Data set {name} could not be read from the Hugging Face Hub ({id}): {reason} Expected a connection and "
            "an id as org/name, or local files: dataset=<file or folder>/, paths.data=<folder> for the public sets."
        ) from error
    usual = {SPLIT_NAMES[theirs]: rows for theirs, rows in found.items() if theirs in SPLIT_NAMES}
    if not usual:
        raise DataError(
            f"{id} has the splits {listed(found)}. Say which is which with dataset.reader.splits={{train: <split>}}."
        )
    return {split: usual[split] for split in SPLITS if split in usual}


def _hub_chunks(rows: Any) -> Iterator[Chunk]:
    import pyarrow

    start = 1
    for batch in rows.with_format("arrow").iter(BATCH_ROWS):
        table = batch if isinstance(batch, pyarrow.Table) else pyarrow.Table.from_batches([batch])
        yield arrow_chunk(table, start)
        start += table.num_rows


def _names_of_classes(loaded: Mapping[str, Any], columns: Mapping[str, str]) -> Sequence[str]:
    """The class names that the Hub knows of the label column."""
    features = next(iter(loaded.values())).features or {}
    label = features.get(columns.get("label", "label"))
    return getattr(label, "names", None) or ()
