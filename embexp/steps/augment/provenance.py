"""Provenance of rows: copies have the id of their source and the name of the method that made them."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of, rows_of, schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset, keep_rows
from embexp.data.shapes import MADE_BY, MADE_FROM, training_columns
from embexp.errors import ConfigError, listed

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

Row = dict[str, Any]


def with_source(row: Row, columns: Sequence[str]) -> Row:
    """The row with the id that its copies share: a hash of its texts and label, unless it has one already."""
    row_id = row.get(MADE_FROM)
    if not row_id:
        text = json.dumps([row[column] for column in columns], ensure_ascii=False)
        row_id = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return row | {MADE_FROM: row_id, MADE_BY: row.get(MADE_BY)}


def made_of(source: Row, method: str, **changes: Any) -> Row:
    """A copy of a row (which has its id) with changes and the name of the method."""
    return source | changes | {MADE_BY: method}


def with_sources(rows: "Dataset", dataset: EmbeddingDataset) -> "Dataset":
    """The rows with the columns `made_from` and `made_by`."""
    columns = training_columns(dataset.shape, rows.column_names)
    return table_of_rows((with_source(row, columns) for row in rows_of(rows)), schema_with_sources(rows, dataset))


def schema_with_sources(rows: "Dataset", dataset: EmbeddingDataset) -> "pyarrow.Schema":
    """The Arrow types of the rows with these columns."""
    return schema_of(dataset.shape, [*rows.column_names, MADE_FROM, MADE_BY])


def methods_of(rows: "Dataset") -> Iterator[str | None]:
    """The method that made each row, None for one that is not a copy."""
    if MADE_BY not in rows.column_names:
        yield from [None] * rows.num_rows
    else:
        for batch in batches_of(rows.select_columns([MADE_BY])):
            yield from batch[MADE_BY].to_pylist()


def leave_out(dataset: EmbeddingDataset, methods: Sequence[str] | None = None) -> EmbeddingDataset:
    """The data set without the rows that some methods made, in all splits.

    Args:
        methods: their names, such as [typos]; None for all.

    Raises:
        ConfigError: a method made none of the rows.
        DataError: a split would be left without rows.
    """
    by_split = {split: list(methods_of(rows)) for split, rows in dataset.splits.items()}
    counts = Counter(method for made_by in by_split.values() for method in made_by if method is not None)
    if methods is not None and not counts:
        text = "was given, and no row has a method"
        raise ConfigError(text, key="methods", given=methods, expected="null", fix="methods=null")
    refuse(problems_with("methods", methods, LegalValues(many=True, one_of=(*counts,), optional=True), "null"))
    gone = counts if methods is None else {method: counts[method] for method in methods}
    keep = {split: numpy.array([method not in gone for method in made_by], bool) for split, made_by in by_split.items()}
    reason = listed(f"{count:,} made by {method}" for method, count in gone.items()) if gone else "no made rows"
    return keep_rows(dataset, "leave_out", keep, reason)
