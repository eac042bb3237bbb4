"""Prepared data sets on disk: a file for each split and a manifest that says what they are and how they came to be."""

import datetime
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.environment import COMPUTING, versions
from embexp.core.file_contents import sha256_of
from embexp.data.arrow import batches_of, rows_of
from embexp.data.columns import ALIASES
from embexp.data.dataset import EmbeddingDataset, Prompts, StepReport
from embexp.data.faults import FaultLog
from embexp.data.formats import chunks_of
from embexp.data.reading import ColumnSpec, RowSource, dataset_from
from embexp.data.text_files import FileOptions
from embexp.errors import ConfigError, DataError

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"
_PREPARE = "one written by embexp: prepare the data again"
_NEEDED = ("shape", "label_names", "prompts", "source", "steps", "splits")
_LISTS = ("examples", "trainings")  # of a step; in the manifest where they are not empty
# Ranked rows are written in the BGE / FlagEmbedding form, which other tools read.
_BGE_NAMES = {ours: theirs for theirs, ours in ALIASES.items() if ours != "negative_1"}


def write_dataset(
    dataset: EmbeddingDataset, folder: Path, format: str, fix: str = "output=<folder>", **more: Any
) -> Path:
    """Write each split as `<split>.parquet` or `<split>.jsonl`, with a manifest. Returns the folder.

    The folder's old content is replaced at once, when all is written: an interruption loses nothing. Ranked rows in
    JSONL take the BGE form (query, pos, neg, pos_scores, neg_scores, prompt, type).

    Args:
        fix: what to type where the folder cannot be written.
        more: further entries of the manifest, such as the configuration.

    Raises:
        ConfigError: another format, or a folder that cannot be written.
    """
    check_format(format)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as making:
            made, old = Path(making) / "made", Path(making) / "old"
            _write(dataset, made, format, more)
            if folder.exists():
                folder.rename(old)
            made.rename(folder)
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}"
        raise ConfigError(text, expected="a folder that can be written", fix=fix) from error
    return folder


def check_format(format: str) -> None:
    """Raise ConfigError unless data can be written in this format."""
    refuse(problems_with("format", format, LegalValues(one_of=(*_WRITERS,)), "parquet"))


def _write(dataset: EmbeddingDataset, folder: Path, format: str, more: Mapping[str, Any]) -> None:
    folder.mkdir()
    files = {}
    for split, rows in dataset.splits.items():
        path = folder / f"{split}.{format}"
        _WRITERS[format](rows, path)
        files[split] = {"file": path.name, "rows": rows.num_rows, "sha256": sha256_of(path)}
    manifest = {
        "name": dataset.name,
        "shape": dataset.shape.name,
        "columns": next(iter(dataset.splits.values())).column_names,
        "label_names": list(dataset.label_names),
        "prompts": asdict(dataset.prompts),
        "source": dict(dataset.provenance),
        "steps": [
            {name: value for name, value in asdict(report).items() if value or name not in _LISTS}
            for report in dataset.history
        ],
        "versions": versions(COMPUTING),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **more,
        "splits": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False), encoding="utf-8")


def _write_parquet(rows: "Dataset", path: Path) -> None:
    import pyarrow.parquet

    schema = rows.features.arrow_schema.remove_metadata()
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches_of(rows):
            writer.write_table(batch.cast(schema))


def _write_jsonl(rows: "Dataset", path: Path) -> None:
    names = _BGE_NAMES if "positives" in rows.column_names else {}
    with open(path, "w", encoding="utf-8") as file:
        for row in rows_of(rows):
            given = {names.get(key, key): value for key, value in row.items() if value is not None}
            file.write(json.dumps(given, ensure_ascii=False) + "\n")


_WRITERS = {"parquet": _write_parquet, "jsonl": _write_jsonl}


def is_prepared(folder: Path) -> bool:
    """Whether a folder is a data set that was written with a manifest."""
    return (folder / MANIFEST).is_file()


def read_prepared(folder: Path, name: str, spec: ColumnSpec | None = None) -> EmbeddingDataset:
    """The data set of a prepared folder, with its shape, label names, prompts and history.

    Args:
        spec: what the user says of the rows; the shape must be the manifest's, max_rows counts.

    Raises:
        DataError: the manifest or a file of it is damaged or missing.
    """
    manifest = _manifest(folder)
    spec = spec or ColumnSpec()
    if spec.shape not in (None, manifest["shape"]):
        text = f"{folder} was prepared as {manifest['shape']}, but the configuration has shape {spec.shape}"
        raise DataError(text, fix=f"dataset.shapes=[{manifest['shape']}]")
    faults = FaultLog("stop")
    files = {split: folder / entry["file"] for split, entry in manifest["splits"].items() if entry["rows"]}
    sources = {split: RowSource(path, partial(chunks_of, path, FileOptions(), faults)) for split, path in files.items()}
    known = ColumnSpec(manifest["shape"], None, None, manifest["label_names"], spec.max_rows)
    provenance = {**manifest["source"], "prepared": str(folder)}
    dataset = dataset_from(name, sources, known, faults, provenance)
    for changed in _changed_files(folder):
        logger.warning("%s is not the file that %s describes: it was changed since.", changed, folder / MANIFEST)
    lists = [{name: tuple(step.get(name, ())) for name in _LISTS} for step in manifest["steps"]]
    history = tuple(StepReport(**step | given) for step, given in zip(manifest["steps"], lists, strict=True))
    prompts = manifest["prompts"]
    return replace(dataset, history=history, prompts=Prompts(**prompts | {"in_text": tuple(prompts["in_text"])}))


def _changed_files(folder: Path) -> Iterator[Path]:
    """The files of a prepared folder whose content is not the manifest's."""
    for entry in _manifest(folder)["splits"].values():
        path = folder / entry["file"]
        if not path.is_file() or sha256_of(path) != entry["sha256"]:
            yield path


def is_whole(folder: Path) -> bool:
    """Whether a prepared folder has a readable manifest and all files as it describes them."""
    try:
        return is_prepared(folder) and not list(_changed_files(folder))
    except DataError:
        return False


def _manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in _NEEDED if key not in manifest]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"the manifest cannot be read: {error}", file=path, expected=_PREPARE) from error
    if missing:
        raise DataError(f"this is no manifest of embexp: it lacks {', '.join(missing)}", file=path, expected=_PREPARE)
    return manifest
