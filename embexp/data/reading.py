"""From chunks of any source to a checked data set: columns by name, values by shape, faults by policy."""

import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embexp.data.arrow import batches_of, table_of_batches, with_progress
from embexp.data.classes import ClassLabels, drop_unlabelled
from embexp.data.columns import ROLES, check_columns, roles_of, shape_of_columns, unused_columns, usual_columns
from embexp.data.dataset import EmbeddingDataset, StepReport
from embexp.data.faults import FaultLog
from embexp.data.formats import SEPARATED, kind_of
from embexp.data.row_checks import check_rows
from embexp.data.shapes import Shape, shape_named
from embexp.data.text_files import Chunk, are_names
from embexp.data.values import TypedRows, are_bounds
from embexp.errors import DataError, listed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ColumnSpec:
    """What the user says of the rows.

    Attributes:
        shape: name of the shape; None tells it from the column names.
        columns: the source's column for each column of the shape, where the names differ.
        score_range: lowest and highest possible score in the source; scores are rescaled to [0, 1].
        label_names: the classes by number.
        max_rows: most rows to read of each split, None for all.
        known_names: the classes by number as the source itself names them, where label_names do not.
    """

    shape: str | None = None
    columns: Mapping[str, str] | None = None
    score_range: Sequence[float] | None = None
    label_names: Sequence[str] = ()
    max_rows: int | None = None
    known_names: Sequence[str] = ()

    def problems(self) -> Iterator[str]:
        """What cannot be said of any rows, a line each."""
        if self.columns is not None:
            yield from _column_problems(self.columns)
        if self.score_range is not None and not are_bounds(self.score_range):
            yield (
                f"dataset.reader.score_range={self.score_range} is no range. "
                "Expected the lowest and the highest score, as [0,5]."
            )
        if not are_names(self.label_names):
            yield f"dataset.reader.label_names={self.label_names} is no list of names. Expected one, as [no,yes]."
        elif repeated := [name for name, times in Counter(self.label_names).items() if times > 1]:
            yield f"dataset.reader.label_names names {listed(repeated)} more than once. Expected each class once."
        most = self.max_rows
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            yield f"dataset.reader.max_rows={most} is no number of rows. Expected a whole number from 1, or null."

    def check(self, shape: Shape) -> None:
        """Raise DataError naming all that has no effect on rows of this shape."""
        idle = []
        if self.score_range is not None and shape.label_kind != "score":
            idle.append(f"dataset.reader.score_range has no effect on {shape.name}, which has no scores. Leave it out.")
        if self.label_names and shape.label_kind not in ("class", "binary"):
            idle.append(
                f"dataset.reader.label_names has no effect on {shape.name}, which has no classes. Leave it out."
            )
        if idle:
            raise DataError("\n".join(idle))


def _column_problems(columns: Any) -> Iterator[str]:
    form = "{anchor: question, positive: answer}"
    if not isinstance(columns, Mapping) or not are_names([*columns, *columns.values()]):
        yield f"dataset.reader.columns={columns} names no columns. Expected a column for each, as {form}."
    elif repeated := [theirs for theirs, times in Counter(columns.values()).items() if times > 1]:
        yield f"dataset.reader.columns names {listed(repeated)} more than once. Expected a column for each, as {form}."


@dataclass(frozen=True)
class RowSource:
    """One split as it comes: where it is from, for messages, and its chunks."""

    name: Any
    chunks: Iterator[Chunk]


def dataset_from(
    name: str, sources: Mapping[str, RowSource], meaning: ColumnSpec, faults: FaultLog, provenance: dict[str, Any]
) -> EmbeddingDataset:
    """The data set that the sources of the splits hold.

    Raises:
        DataError: no row, columns that tell no shape, faulty rows under on_fault=stop, or labels out of range.
    """
    labels = ClassLabels(meaning.label_names or meaning.known_names)
    shape: Shape | None = shape_named(meaning.shape) if meaning.shape else None
    splits, ignored = {}, set()
    for split, source in sources.items():
        first = next(source.chunks, None)
        if first is None:
            faults.settle(0)
            raise DataError(f"{source.name} holds no rows. Expected at least one.")
        roles = roles_of(first.columns, meaning.columns or {}, source.name)
        if shape is None:
            hint = "" if meaning.columns or {*roles} & ROLES else _header_hint(source.name, len(roles))
            label = _first_label(first, roles)
            shape = shape_of_columns(roles, label, source.name, bool(meaning.columns), hint)
        check_columns(roles, shape, source.name)
        meaning.check(shape)
        ignored |= {*unused_columns(roles, shape).values()}
        typed = TypedRows(shape, _complete(roles, shape), meaning.score_range, labels)
        chunks = _first_rows(itertools.chain([first], source.chunks), meaning.max_rows)
        tables = (
            typed.table(chunk, chunk.source or source.name, faults)
            for chunk in with_progress(chunks, f"reading {name}/{split}", lambda chunk: len(chunk.places))
        )
        splits[split] = table_of_batches(tables, typed.schema)
    if ignored:
        provenance["ignored_columns"] = listed(sorted(ignored))
        logger.info("%s: columns not used: %s", provenance.get("source", name), provenance["ignored_columns"])
    if meaning.score_range is not None:
        provenance["score_range"] = f"{meaning.score_range[0]} to {meaning.score_range[1]}"
    label_names = labels.names if shape.label_kind == "class" else ()
    dataset = EmbeddingDataset(name, shape, splits, label_names, provenance)
    return check_rows(drop_unlabelled(_settled(dataset, faults, told=meaning.shape is not None)))


def _header_hint(source: Any, num_columns: int) -> str:
    if not isinstance(source, Path) or kind_of(source) not in SEPARATED:
        return ""
    names = usual_columns(num_columns)
    return f"If the file has no header line, name its columns with dataset.reader.header=[{names}]. "


def _first_label(chunk: Chunk, roles: Mapping[str, str]) -> Any:
    values = chunk.columns.get(roles.get("label"))
    if values is None:
        return None
    return values[0] if isinstance(values, list | tuple) else values[0].as_py()


def _complete(roles: Mapping[str, str], shape: Shape) -> dict[str, str]:
    """The roles; ranked rows without a column of negatives have empty ones."""
    return {**dict.fromkeys(set(shape.text_lists) & {"negatives"}, "negatives"), **roles}


def _first_rows(chunks: Iterator[Chunk], most: int | None) -> Iterator[Chunk]:
    left = most
    for chunk in chunks:
        if left is not None and left < len(chunk.places):
            columns = {name: values[:left] for name, values in chunk.columns.items()}
            chunk = replace(chunk, places=chunk.places[:left], columns=columns)
        if chunk.places:
            yield chunk
        if left is not None:
            left -= len(chunk.places)
            if left <= 0:
                return


def _settled(dataset: EmbeddingDataset, faults: FaultLog, told: bool) -> EmbeddingDataset:
    """After all rows were read: stop at faults or count them, and tell binary pairs from pairs with classes."""
    faults.settle(dataset.num_rows)
    if faults.count:
        report = StepReport("read", dataset.num_rows + faults.count, dataset.num_rows, faults.reason())
        provenance = {**dataset.provenance, "faults": faults.summary(dataset.num_rows)}
        dataset = replace(dataset, history=(*dataset.history, report), provenance=provenance)
    if not told and dataset.shape.name == "class_pair" and not dataset.label_names and _all_labels_below(dataset, 2):
        dataset = replace(dataset, shape=shape_named("binary_pair"))
    return dataset


def _all_labels_below(dataset: EmbeddingDataset, bound: int) -> bool:
    import pyarrow.compute

    label = dataset.shape.label
    return all(
        pyarrow.compute.all(pyarrow.compute.is_in(batch[label], value_set=pyarrow.array(range(bound)))).as_py()
        for rows in dataset.splits.values()
        for batch in batches_of(rows)
    )
