"""Rows made of others: they keep the id of their source and the method, to stay with it and to be left out later."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import batches_of, rows_of, schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import MADE_BY, MADE_FROM, training_columns
from embexp.errors import did_you_mean, listed
from embexp.steps.kept_rows import keep_rows
from embexp.steps.refusals import refuse

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from datasets import Dataset

Row = dict[str, Any]


def with_source(row: Row, columns: Sequence[str]) -> Row:
    """The row with the id that those made of it share: a hash of its texts and label, unless it has one already."""
    return row | {MADE_FROM: row.get(MADE_FROM) or _row_id(row, columns), MADE_BY: row.get(MADE_BY)}


def made_of(source: Row, method: str, **changes: Any) -> Row:
    """A row like its source but for the changes, with the name of the method; `source` has its id."""
    return source | changes | {MADE_BY: method}


def with_sources(rows: "Dataset", dataset: EmbeddingDataset) -> "Dataset":
    """The rows with the columns that tell where rows come from."""
    columns = training_columns(dataset.shape, rows.column_names)
    return table_of_rows((with_source(row, columns) for row in rows_of(rows)), schema_with_sources(rows, dataset))


def schema_with_sources(rows: "Dataset", dataset: EmbeddingDataset) -> "pyarrow.Schema":
    """The Arrow types of the rows once they have these columns."""
    return schema_of(dataset.shape, [*rows.column_names, MADE_FROM, MADE_BY])


def are_made(rows: "Dataset") -> "numpy.ndarray":
    """Which rows were made of others, bool `(num_rows,)`."""
    import numpy

    return numpy.array([method is not None for method in methods_of(rows)], dtype=bool)


def methods_of(rows: "Dataset") -> Iterator[str | None]:
    """The method by which each row was made, None for a row that was there before."""
    if MADE_BY not in rows.column_names:
        yield from [None] * rows.num_rows
    else:
        for batch in batches_of(rows.select_columns([MADE_BY])):
            yield from batch[MADE_BY].to_pylist()


def leave_out(dataset: EmbeddingDataset, methods: Sequence[str] | None = None) -> EmbeddingDataset:
    """The data set without the rows that were made by some methods, in all splits.

    Args:
        methods: their names, such as [typos]; None for all.

    Raises:
        ConfigError: a method that made none of the rows.
        DataError: a split would be left without rows.
    """
    import numpy

    by_split = {split: list(methods_of(rows)) for split, rows in dataset.splits.items()}
    counts = Counter(method for made_by in by_split.values() for method in made_by if method is not None)
    refuse("leave_out", _faults(methods, counts))
    gone = counts if methods is None else {method: counts[method] for method in methods}
    keep = {split: numpy.array([method not in gone for method in made_by], bool) for split, made_by in by_split.items()}
    reason = listed(f"{count:,} made by {method}" for method, count in gone.items()) if gone else "no made rows"
    return keep_rows(dataset, "leave_out", keep, reason)


def _faults(methods: Any, counts: Counter[str]) -> Iterator[str]:
    if methods is not None and (isinstance(methods, str) or not methods):
        yield f"methods={methods!r} must be a list, such as methods=[typos], or null for all."
        return
    for method in methods or ():
        if method not in counts:
            hint = did_you_mean(str(method), counts)
            yield f"methods: {method!r} made none of the rows. Rows were made by: {listed(counts)}. {hint}".strip()


def _row_id(row: Row, columns: Sequence[str]) -> str:
    text = json.dumps([row[column] for column in columns], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
