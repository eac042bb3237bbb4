"""Provenance of rows: the source and the method of copies, and the parts of a data set by a column of its own."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of, rows_of, schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset, keep_rows
from embexp.data.shapes import MADE_BY, MADE_FROM, PART, training_columns
from embexp.errors import ConfigError, DataError, listed

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


NO_PART = "(none)"  # the part of the rows that name none


def parts_of(dataset: EmbeddingDataset, split: str, column: str = PART) -> Iterator[str]:
    """The part of each row of a split, as text: the value of the column, a class by its name.

    Raises:
        DataError: the rows have no such column, or no longer.
    """
    rows = dataset.splits[split]
    if column not in rows.column_names:
        steps = listed(each.step for each in dataset.history)
        text = f"{dataset.name}/{split} has no column {column}" + f" after the steps {steps}" * bool(steps)
        raise DataError(text, expected=f"one of its columns: {listed(rows.column_names)}")
    is_class = column == dataset.shape.label and bool(dataset.label_names)
    for batch in batches_of(rows.select_columns([column])):
        for value in batch[column].to_pylist():
            is_missing = value is None or not str(value).strip()
            yield NO_PART if is_missing else dataset.label_names[value] if is_class else str(value)


def keep_parts(
    dataset: EmbeddingDataset,
    column: str = PART,
    only: Sequence[str] | None = None,
    without: Sequence[str] | None = None,
) -> EmbeddingDataset:
    """The data set with the train rows of some parts only, or without those of some; dev and test stay as they are.

    Args:
        column: what names the part of a row: `part_of`, which the reader fills (dataset.reader.columns.part_of=source),
            or another that the rows have, such as label or made_by.
        only, without: parts, one of both, or none: then all rows stay; `(none)` are the rows without a value.

    Raises:
        ConfigError: both were given, or a part that no row is of.
        DataError: there is no such column, or no row is left.
    """
    if only is None and without is None:
        return dataset.after("keep_parts", dict(dataset.splits), "all parts")
    if only is not None and without is not None:
        raise ConfigError("was given with without", key="only", given=only, expected="one of both", fix="only=null")
    of_rows = [*parts_of(dataset, "train", column)]
    name, given = ("only", only) if without is None else ("without", without)
    refuse(problems_with(name, given, LegalValues(many=True, one_of=(*dict.fromkeys(of_rows),)), f"[{of_rows[0]}]"))
    keep = numpy.array([(part in given) == (name == "only") for part in of_rows], bool)
    return keep_rows(dataset, "keep_parts", {"train": keep}, f"{name} {listed(given)} of {column}")
