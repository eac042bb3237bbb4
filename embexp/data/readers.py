"""What a dataset YAML calls: readers of the user's own files, of the Hugging Face Hub, and of public data sets."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from embexp.core.arguments import refuse
from embexp.core.file_contents import sha256_of
from embexp.data.bundled import read_bundled
from embexp.data.dataset import EmbeddingDataset
from embexp.data.faults import FaultLog
from embexp.data.formats import JSON, SEPARATED, chunks_of, kind_of
from embexp.data.reading import ColumnSpec, RowSource, dataset_from
from embexp.data.sources import load_hub, split_files
from embexp.data.storage import is_prepared, read_prepared
from embexp.data.text_files import Chunk, FileOptions
from embexp.errors import DataError, Problem, listed

logger = logging.getLogger(__name__)
BUNDLED = "bundled"  # as `root` of a public data set: rows of a bundled corpus instead


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
    ignore: Sequence[str] = (),
    decimal: str = ".",
    no_label: str | int | None = None,
) -> EmbeddingDataset:
    """The user's own file, or a folder with one file per split (train, dev or validation, test) or its numbered parts.

    A folder that `python -m embexp.prepare` wrote brings a description of its rows.

    Args:
        path: CSV, TSV, JSONL, JSON array or plain text (each also as .gz) or Parquet, or a folder of such files.
        shape: what the rows mean; None finds it by the column names.
        columns: the column of the file for each column of the shape, where the names differ; `passages.title+text`
            takes fields of the objects in a column.
        score_range: lowest and highest possible score in the file; scores are rescaled to [0, 1].
        label_names: the classes by number; labels may be these names or their numbers.
        encoding, header, quote, delimiter: how text files are written (FileOptions).
        on_fault: `stop` at faulty rows, or `drop` them and count them.
        max_rows: most rows to read of each split.
        ignore: columns that are not to be used, although they seem to mean something.
        decimal: the sign before the fraction of a score, `.` or `,`.
        no_label: the label that says that a row has none: such rows are left out.

    Raises:
        ConfigError: lists every option that is invalid, or has no effect on these files.
        DataError: a file is missing or unreadable, its columns fit no shape, or rows are faulty.
    """
    more = {"ignore": ignore, "decimal": decimal, "no_label": no_label}
    spec = ColumnSpec(shape, columns, score_range, label_names, max_rows, **more)
    options, faults = FileOptions(encoding, header, quote, delimiter), FaultLog(on_fault)
    is_path = isinstance(path, str | Path) and bool(str(path))
    path_problems = [] if is_path else [Problem("is no path", "path", path, "a file or a folder", fix=("path=<path>",))]
    refuse([*path_problems, *spec.problems(), *options.problems()], under="dataset.reader")
    place = Path(path).expanduser()
    if is_prepared(place):
        changed = _changed(spec, ColumnSpec(shape, max_rows=max_rows)) | _changed(options, FileOptions())
        _refuse_idle(place, changed)
        return read_prepared(place, name, spec)
    return _read_written(place, name, spec, options, faults)


def _read_written(place: Path, name: str, spec: ColumnSpec, options: FileOptions, faults: FaultLog) -> EmbeddingDataset:
    """The data set that a file or a folder holds that has no description of its rows next to it."""
    files, unread = split_files(place)
    given = _changed(options, FileOptions())
    kinds = {kind_of(file) for paths in files.values() for file in paths}
    if not kinds & {*SEPARATED} and not (".txt" in kinds and options.separated):
        used = {"encoding"} if kinds != {".parquet"} else set()
        used |= {"header"} if kinds & {*JSON} else set()
        _refuse_idle(place, {option: value for option, value in given.items() if option not in used})
    if not place.exists():
        raise DataError(f"There is no file {place}", expected=f"a file in {place.resolve().parent}")
    sources = {
        split: RowSource(paths[0], partial(_chunks_of_all, paths, options, faults)) for split, paths in files.items()
    }
    provenance = {"source": str(place)} | _hashes(files)
    if unread:
        provenance["reading"] = f"{place}: files that are no split are not read: {unread}"
    return dataset_from(name, sources, spec, faults, provenance)


def _changed(options: Any, usual: Any) -> dict[str, Any]:
    """The options that are not as usual, with their values."""
    return {name: value for name, value in vars(options).items() if (value or None) != (getattr(usual, name) or None)}


def _refuse_idle(place: Path, options: Mapping[str, Any]) -> None:
    """Raise ConfigError if there are options, which have no effect on what is read."""
    text, note = f"has no effect on {place}", "Leave it out"
    refuse((Problem(text, name, value, note=note) for name, value in options.items()), under="dataset.reader")


def _chunks_of_all(paths: Sequence[Path], options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of files one after another, each chunk with its file."""
    for path in paths:
        yield from (replace(chunk, source=path) for chunk in chunks_of(path, options, faults))


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
    max_rows: int | None = None,
) -> EmbeddingDataset:
    """A public data set: from files below `root` when that is given, else from the Hugging Face Hub.

    Args:
        columns: the source's column for each column of the shape.
        hub: id on the Hub; `subset` and `revision` say which part and which commit.
        splits: the Hub's split for each of train, dev, test.
        files: the file below `root` for each of train, dev, test.
        stand_in: the bundled corpus whose rows are read instead, in the same shape, where `root` is `bundled`: to try
            a run without the data.
        score_range: lowest and highest possible score in the source; scores are rescaled to [0, 1].
        max_rows: most rows to read of each split.

    Raises:
        DataError: a file is missing, or the Hub does not answer.
    """
    spec, faults = ColumnSpec(shape, columns, score_range, label_names, max_rows, is_own=False), FaultLog(on_fault)
    refuse(spec.problems(), under="dataset.reader")
    if root == BUNDLED:
        logger.info("%s: rows of the bundled corpus %s stand in for it.", name, stand_in)
        return read_bundled(name, shape, stand_in, max_rows)
    if root is None:
        return _from_hub(hub, name, subset, revision, splits, False, spec, faults)
    paths = {split: [Path(root) / file] for split, file in files.items()}
    sources = {
        split: RowSource(*found, partial(chunks_of, *found, FileOptions(), faults)) for split, found in paths.items()
    }
    return dataset_from(name, sources, spec, faults, {"source": f"{root} ({hub})"} | _hashes(paths))


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
    ignore: Sequence[str] = (),
    decimal: str = ".",
    no_label: str | int | None = None,
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
    more = {"ignore": ignore, "decimal": decimal, "no_label": no_label}
    spec, faults = ColumnSpec(shape, columns, score_range, label_names, max_rows, **more), FaultLog(on_fault)
    refuse(spec.problems(), under="dataset.reader")
    return _from_hub(id, name, subset, revision, splits, streaming, spec, faults)


def _from_hub(
    id: str,
    name: str,
    subset: str | None,
    revision: str | None,
    splits: Mapping[str, str] | None,
    streaming: bool,
    spec: ColumnSpec,
    faults: FaultLog,
) -> EmbeddingDataset:
    chunks, features = load_hub(id, name, subset, revision, splits, streaming)
    sources = {split: RowSource(f"{id}/{split}", found) for split, found in chunks.items()}
    provenance = {"source": id, "subset": subset or "", "revision": revision or "main"}
    label = features.get((spec.columns or {}).get("label", "label"))
    spec = replace(spec, known_names=getattr(label, "names", None) or ())
    return dataset_from(name, sources, spec, faults, provenance)


def _hashes(files: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    missing = [str(path) for paths in files.values() for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"There is no file {listed(missing)}", expected="the files of the data set below this folder")
    return {f"sha256/{split}": sha256_of(*paths) for split, paths in files.items()}
