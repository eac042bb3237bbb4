"""What a data set is: splits of one shape, where they came from, and what was done to them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from embexp.data.shapes import Shape, shape_named, text_columns, training_columns
from embexp.errors import DataError, listed

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class StepReport:
    """What a reader, step or conversion did: rows in and out of all splits together, and why rows went."""

    step: str
    rows_in: int
    rows_out: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.step}: {self.rows_in:,} -> {self.rows_out:,} rows" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class EmbeddingDataset:
    """Rows of one shape, in the splits train, dev and test (each of them may be missing).

    Attributes:
        splits: the rows of each split; the columns are those of the shape, in its order.
        label_names: names of the classes by their number, for shapes with class labels.
        provenance: source, revision, sha256, original score range: whatever tells where the rows came from.
        history: what was done, step by step.
    """

    name: str
    shape: Shape
    splits: Mapping[str, "Dataset"]
    label_names: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[StepReport, ...] = ()

    @property
    def num_rows(self) -> int:
        """Rows of all splits together."""
        return sum(split.num_rows for split in self.splits.values())

    def texts(self, split: str) -> Iterator[str]:
        """Every text of a split, column by column (positives and negatives of ranked rows one by one)."""
        rows = self.splits[split]
        for column in text_columns(self.shape, rows.column_names):
            for value in rows[column][:]:
                if isinstance(value, str):
                    yield value
                else:
                    yield from value

    def training_rows(self) -> "Dataset":
        """The train split with only the columns that a loss reads, in its order.

        Raises:
            DataError: there is no train split, or it is empty.
        """
        if "train" not in self.splits or not self.splits["train"].num_rows:
            raise DataError(
                f"Data set {self.name} has no rows to train on (splits: {listed(self.splits)}). "
                "Expected a split called train."
            )
        rows = self.splits["train"]
        return rows.select_columns(training_columns(self.shape, rows.column_names))

    def after(self, step: str, splits: Mapping[str, "Dataset"], reason: str = "", **changes: Any) -> "EmbeddingDataset":
        """The data set that a step made of this one, with a report of rows in and out."""
        made = replace(self, splits=dict(splits), **changes)
        report = StepReport(step, self.num_rows, made.num_rows, reason)
        return replace(made, history=(*self.history, report))

    def fingerprints(self) -> dict[str, str]:
        """A sha256 of the content of each split (first 16 hex digits): same rows, same fingerprint."""
        return {name: fingerprint(rows) for name, rows in self.splits.items()}


def fingerprint(rows: "Dataset") -> str:
    """sha256 over the column names and values, in order; the first 16 hex digits."""
    import pyarrow

    digest = hashlib.sha256(repr(rows.column_names).encode())
    sink = _HashSink(digest)
    table = rows.with_format("arrow")[:]
    # A slice would be padded with the rows beside it when it is written.
    table = table.take(pyarrow.array(range(table.num_rows)))
    with pyarrow.ipc.new_stream(pyarrow.PythonFile(sink, mode="w"), table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None).combine_chunks(), max_chunksize=10_000)
    return digest.hexdigest()[:16]


class _HashSink:
    """A file that only keeps the hash of what is written to it."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def checked(dataset: EmbeddingDataset) -> EmbeddingDataset:
    """The data set itself, after its columns, texts and labels were held against its shape.

    Raises:
        DataError: names every column that is missing, every label out of range and the first faulty rows.
    """
    faults = [fault for split, rows in dataset.splits.items() for fault in _faults(dataset, split, rows)]
    if faults:
        raise DataError(f"Data set {dataset.name} is not a {dataset.shape.name}:\n  " + "\n  ".join(faults))
    return dataset


def _faults(dataset: EmbeddingDataset, split: str, rows: "Dataset") -> Iterator[str]:
    expected = training_columns(dataset.shape, [*rows.column_names, *dataset.shape.required_negatives])
    missing = [name for name in expected if name not in rows.column_names]
    if missing:
        yield (
            f"{split} has the columns {listed(rows.column_names)}; missing: {listed(missing)}. "
            "Name your columns with dataset.reader.columns={<column of the shape>: <your column>}."
        )
        return
    for column in text_columns(dataset.shape, rows.column_names):
        yield from _text_faults(split, column, rows[column][:])
    if dataset.shape.label:
        yield from _label_faults(dataset, split, rows[dataset.shape.label][:])


def _text_faults(split: str, column: str, values: list[Any]) -> Iterator[str]:
    several = column in ("positives", "negatives")
    wrong = [place for place, value in enumerate(values) if not (_are_texts(value) if several else _is_text(value))]
    if wrong:
        wanted = "list of texts" if several else "text"
        yield (
            f"{split}.{column}: {len(wrong):,} of {len(values):,} rows hold no {wanted}, "
            f"first in row {wrong[0] + 1}: {values[wrong[0]]!r}."
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(_is_text(text) for text in value)


def _label_faults(dataset: EmbeddingDataset, split: str, values: list[Any]) -> Iterator[str]:
    column, kind = dataset.shape.label, dataset.shape.label_kind
    allowed = {
        "score": lambda value: isinstance(value, float | int) and 0 <= value <= 1,
        "binary": lambda value: value in (0, 1),
        "class": lambda value: isinstance(value, int) and 0 <= value < (len(dataset.label_names) or value + 1),
    }.get(kind)
    if allowed is None:
        return
    wrong = [place for place, value in enumerate(values) if value is None or not allowed(value)]
    if wrong:
        expected = {
            "score": "numbers from 0 to 1; give the range of yours with dataset.reader.score_range=[0,5]",
            "binary": "0 or 1",
            "class": f"whole numbers below {len(dataset.label_names)}"
            if dataset.label_names
            else "whole numbers from 0",
        }[kind]
        yield (
            f"{split}.{column}: {len(wrong):,} of {len(values):,} labels do not fit, "
            f"first in row {wrong[0] + 1}: {values[wrong[0]]!r}. Expected {expected}."
        )


def dataset_of(
    name: str,
    shape: str,
    splits: Mapping[str, Mapping[str, list[Any]]],
    label_names: tuple[str, ...] = (),
    provenance: Mapping[str, Any] | None = None,
) -> EmbeddingDataset:
    """A data set from plain columns: `{"train": {"anchor": [...], "positive": [...]}}`."""
    from datasets import Dataset

    tables = {split: Dataset.from_dict(dict(columns)) for split, columns in splits.items()}
    return checked(EmbeddingDataset(name, shape_named(shape), tables, tuple(label_names), dict(provenance or {})))
