"""From chunks of any source to a checked data set: columns by name, values by shape, faults by policy."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from embexp.data.arrow import batches_of, selected, table_of_batches
from embexp.data.checks import checked
from embexp.data.classes import ClassLabels
from embexp.data.columns import check_columns, roles_of, shape_of_columns
from embexp.data.dataset import EmbeddingDataset, StepReport
from embexp.data.faults import FaultLog
from embexp.data.formats import Chunk
from embexp.data.shapes import Shape, shape_named
from embexp.data.typed import TypedRows, check_score_range
from embexp.errors import DataError


@dataclass(frozen=True)
class Meaning:
    """What the user says of the rows.

    Attributes:
        shape: name of the shape; None tells it from the column names.
        columns: the source's column for each column of the shape, where the names differ.
        score_range: lowest and highest possible score in the source; scores are rescaled to [0, 1].
        label_names: the classes by number.
        max_rows: most rows to read of each split, None for all.
    """

    shape: str | None = None
    columns: Mapping[str, str] | None = None
    score_range: Sequence[float] | None = None
    label_names: Sequence[str] = ()
    max_rows: int | None = None


@dataclass(frozen=True)
class Source:
    """One split as it comes: where it is from, for messages, and its chunks."""

    name: Any
    chunks: Iterator[Chunk]


def dataset_from(
    name: str, sources: Mapping[str, Source], meaning: Meaning, faults: FaultLog, provenance: dict[str, Any]
) -> EmbeddingDataset:
    """The data set that the sources of the splits hold.

    Raises:
        DataError: no row, columns that tell no shape, faulty rows under on_fault=stop, or labels out of range.
    """
    labels = ClassLabels(meaning.label_names)
    shape: Shape | None = shape_named(meaning.shape) if meaning.shape else None
    splits = {}
    for split, source in sources.items():
        first = next(source.chunks, None)
        if first is None:
            faults.settle(0)
            raise DataError(f"{source.name} holds no rows. Expected at least one.")
        roles = roles_of(first.columns, meaning.columns or {}, source.name)
        shape = shape or shape_of_columns(roles, _first_label(first, roles), source.name)
        check_columns(roles, shape, source.name)
        if meaning.score_range is not None:
            check_score_range(meaning.score_range, shape)
        typed = TypedRows(shape, _complete(roles, shape), meaning.score_range, labels)
        chunks = _first_rows(itertools.chain([first], source.chunks), meaning.max_rows)
        tables = (
            typed.table(chunk, source.name, faults) for chunk in _with_progress(chunks, f"reading {name}/{split}")
        )
        splits[split] = table_of_batches(tables, typed.schema)
    if meaning.score_range is not None:
        provenance["score_range"] = f"{meaning.score_range[0]} to {meaning.score_range[1]}"
    label_names = labels.names if shape.label_kind == "class" else ()
    dataset = EmbeddingDataset(name, shape, splits, label_names, provenance)
    return checked(_without_unlabelled(_settled(dataset, faults, told=meaning.shape is not None)))


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
            chunk = Chunk(chunk.places[:left], columns)
        if chunk.places:
            yield chunk
        if left is not None:
            left -= len(chunk.places)
            if left <= 0:
                return


def _with_progress(chunks: Iterator[Chunk], what: str) -> Iterator[Chunk]:
    """The chunks, with a count of their rows on the terminal when reading takes more than two seconds."""
    from tqdm.auto import tqdm

    with tqdm(desc=what, unit="row", unit_scale=True, delay=2, leave=False) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk.places))


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


def _without_unlabelled(dataset: EmbeddingDataset) -> EmbeddingDataset:
    """Without the rows labelled -1: the Hub's sign for pairs on which the annotators did not agree."""
    import numpy

    label = dataset.shape.label
    if dataset.shape.label_kind != "class":
        return dataset
    keep = {
        split: numpy.concatenate([batch[label].to_numpy() for batch in batches_of(rows)] or [[]]) != -1
        for split, rows in dataset.splits.items()
    }
    if all(mask.all() for mask in keep.values()):
        return dataset
    splits = {split: selected(rows, keep[split]) for split, rows in dataset.splits.items()}
    return dataset.after("leave out rows without a gold label (-1)", splits)
