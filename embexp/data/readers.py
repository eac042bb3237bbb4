"""What a dataset YAML calls: readers of the user's own files, of the Hugging Face Hub, and of public data sets."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from embexp.data.bundled import read_bundled
from embexp.data.dataset import EmbeddingDataset
from embexp.data.faults import FaultLog
from embexp.data.formats import SEPARATED, chunks_of, kind_of
from embexp.data.reading import ColumnSpec, RowSource, dataset_from
from embexp.data.sources import hub_chunks, load_hub, names_of_classes, sha256_of, split_files
from embexp.data.storage import is_prepared, read_prepared
from embexp.data.text_files import Chunk, FileOptions
from embexp.errors import ConfigError, DataError, listed

logger = logging.getLogger(__name__)
_BUNDLED = "bundled"  # as `root` of a public data set: rows of a bundled corpus in its place


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
    delimiter: str | None = None,
    on_fault: str = "stop",
    max_rows: int | None = None,
) -> EmbeddingDataset:
    """The user's own file, or a folder with one file per split (train, dev or validation, test) or its numbered parts.

    A folder that `python -m embexp.prepare` wrote says itself what its rows mean.

    Args:
        path: CSV, TSV, JSONL or plain text (each also as .gz) or Parquet, or a folder of such files.
        shape: what the rows mean; None tells it from the column names.
        columns: the column of the file for each column of the shape, where the names differ.
        score_range: lowest and highest possible score in the file; scores are rescaled to [0, 1].
        label_names: the classes by number; labels may be these names or their numbers.
        encoding, header, quote, delimiter: how text files are written (FileOptions).
        on_fault: `stop` at faulty rows, or `drop` them and count them.
        max_rows: most rows to read of each split.

    Raises:
        ConfigError: lists every option that cannot be, or has no effect on these files.
        DataError: a file is missing or unreadable, its columns tell no shape, or rows are faulty.
    """
    meaning = ColumnSpec(shape, columns, score_range, label_names, max_rows)
    options, faults = FileOptions(encoding, header, quote, delimiter), FaultLog(on_fault)
    _refuse([*_path_problems(path), *meaning.problems(), *options.problems()])
    place = Path(path)
    if is_prepared(place):
        given = _changed(meaning, ColumnSpec(shape, max_rows=max_rows)) + _changed(options, FileOptions())
        _refuse(_without_effect(place, given))
        return read_prepared(place, name, meaning)
    files = split_files(place)
    _refuse(_without_effect(place, _idle_options(files, options)))
    sources = {split: RowSource(paths[0], _chunks_of_all(paths, options, faults)) for split, paths in files.items()}
    return dataset_from(name, sources, meaning, faults, {"source": str(path)} | _hashes(files))


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems))


def _path_problems(path: Any) -> Iterator[str]:
    if not isinstance(path, str | Path) or not str(path):
        yield f"dataset.reader.path={path} is no path. Expected a file or a folder."


def _changed(options: Any, usual: Any) -> list[str]:
    """The names of the options that are not as usual."""
    return [name for name, value in vars(options).items() if (value or None) != (getattr(usual, name) or None)]


def _without_effect(place: Path, names: Sequence[str]) -> list[str]:
    named = listed(f"dataset.reader.{name}" for name in names)
    return [f"Without effect on {place}: {named}. Leave out what has none."] if names else []


def _idle_options(files: Mapping[str, Sequence[Path]], options: FileOptions) -> list[str]:
    """Names of options for text that were given where no file is text that they describe."""
    kinds = {kind_of(file) for paths in files.values() for file in paths}
    if kinds & {*SEPARATED} or (".txt" in kinds and options.separated):
        return []
    read_as_text = {"encoding"} if kinds != {".parquet"} else set()
    return [name for name in _changed(options, FileOptions()) if name not in read_as_text]


def _chunks_of_all(paths: Sequence[Path], options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of files one after another, each chunk with the file that it is from."""
    parts = [(path, chunks_of(path, options, faults)) for path in paths]
    return (replace(chunk, source=path) for path, chunks in parts for chunk in chunks)


def read_public(
    name: str,
    shape: str,
    columns: Mapping[str, str],
    hub: str,
    splits: Mapping[str, str],
    files: Mapping[str, str],
    stand_in: str,
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
        stand_in: the bundled corpus whose rows are taken in its place, in its shape, where `root` is `bundled`: to try
            what would be done with it.
        score_range: lowest and highest possible score in the source; scores are rescaled to [0, 1].

    Raises:
        DataError: a file is missing, or the Hub does not answer.
    """
    if root == _BUNDLED:
        logger.info("%s: rows of the bundled corpus %s stand in for it.", name, stand_in)
        return read_bundled(name, shape, stand_in)
    if root is None:
        return read_hub(hub, name, shape, subset, revision, splits, False, columns, score_range, label_names, on_fault)
    faults = FaultLog(on_fault)
    paths = {split: [Path(root) / file] for split, file in files.items()}
    sources = {split: RowSource(*found, chunks_of(*found, FileOptions(), faults)) for split, found in paths.items()}
    meaning = ColumnSpec(shape, columns, score_range, label_names)
    _refuse([*meaning.problems()])
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
    meaning, faults = ColumnSpec(shape, columns, score_range, label_names, max_rows), FaultLog(on_fault)
    _refuse([*meaning.problems()])
    loaded = load_hub(id, name, subset, revision, splits, streaming)
    sources = {split: RowSource(f"{id}/{split}", hub_chunks(rows)) for split, rows in loaded.items()}
    provenance = {"source": id, "subset": subset or "", "revision": revision or "main"}
    meaning = replace(meaning, known_names=names_of_classes(loaded, columns or {}))
    return dataset_from(name, sources, meaning, faults, provenance)


def _hashes(files: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    missing = [str(path) for paths in files.values() for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"There is no file {listed(missing)}.")
    return {f"sha256/{split}": sha256_of(*paths) for split, paths in files.items()}
