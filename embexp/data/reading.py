"""From chunks of any source to a checked data set: columns by name, values by shape, faults by policy."""

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embexp.core.arguments import LegalValues, problems_with
from embexp.data.arrow import batches_of, table_of_batches, with_progress
from embexp.data.classes import ClassLabels, drop_unlabelled
from embexp.data.columns import ALIASES, ROLES, match_columns, usual_columns
from embexp.data.dataset import EmbeddingDataset, StepReport
from embexp.data.faults import FaultLog
from embexp.data.formats import SEPARATED, kind_of
from embexp.data.row_checks import check_rows
from embexp.data.shapes import Shape, shape_named
from embexp.data.text_files import Chunk, are_names
from embexp.data.values import TypedRows, is_number
from embexp.errors import DataError, Problem, listed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ColumnSpec:
    """What the user says of the rows.

    Attributes:
        shape: name of the shape; None finds it by the column names.
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

    def problems(self) -> Iterator[Problem]:
        """The problems that these have with any rows; their keys are below `dataset.reader`."""
        fix = ("'columns={anchor: question, positive: answer}'",)
        if self.columns is not None:
            if not isinstance(self.columns, Mapping) or not are_names([*self.columns, *self.columns.values()]):
                yield Problem("names no columns", "columns", self.columns, "a column for each", fix=fix)
            elif repeated := _repeated(self.columns.values()):
                yield Problem(f"names {repeated} more than once", "columns", expected="a column for each", fix=fix)
        pair, expected = self.score_range, "the lowest and the highest score"
        is_range = isinstance(pair, Sequence) and len(pair) == 2 and all(map(is_number, pair)) and pair[0] < pair[1]
        if pair is not None and not is_range:
            yield Problem("is no range", "score_range", pair, expected, fix=("score_range=[0,5]",))
        fix = ("label_names=[no,yes]",)
        if not are_names(self.label_names):
            yield Problem("is no list of names", "label_names", self.label_names, "each class once", fix=fix)
        elif repeated := _repeated(self.label_names):
            yield Problem(f"names {repeated} more than once", "label_names", expected="each class once", fix=fix)
        yield from problems_with("max_rows", self.max_rows, LegalValues(least=1, whole=True, optional=True), "null")

    def refuse_idle(self, shape: Shape) -> None:
        """Raise DataError naming all that has no effect on rows of this shape."""
        text, idle = f"has no effect on {shape.name}, which has no", []
        if self.score_range is not None and shape.label_kind != "score":
            fix = ("dataset.reader.score_range=null",)
            idle.append(Problem(f"{text} scores", "dataset.reader.score_range", self.score_range, fix=fix))
        if self.label_names and shape.label_kind not in ("class", "binary"):
            fix = ("dataset.reader.label_names=[]",)
            idle.append(Problem(f"{text} classes", "dataset.reader.label_names", self.label_names, fix=fix))
        if idle:
            raise DataError(*idle)


def _repeated(names: Iterable[str]) -> str:
    """The names that come more than once, joined; an empty text for none."""
    return ", ".join(name for name, times in Counter(names).items() if times > 1)


@dataclass(frozen=True)
class RowSource:
    """One split as it comes: the name of its source, for messages, and its chunks."""

    name: Any
    chunks: Iterator[Chunk]


def dataset_from(
    name: str, sources: Mapping[str, RowSource], spec: ColumnSpec, faults: FaultLog, provenance: dict[str, Any]
) -> EmbeddingDataset:
    """The data set that the sources of the splits hold.

    Raises:
        DataError: no row, columns that fit no shape, faulty rows under on_fault=stop, or labels out of range.
    """
    labels = ClassLabels(spec.label_names or spec.known_names)
    shape: Shape | None = shape_named(spec.shape) if spec.shape else None
    splits, ignored = {}, set()
    for split, source in sources.items():
        first = next(source.chunks, None)
        if first is None:
            faults.settle(0)
            raise DataError("there are no rows", file=source.name, expected="at least one")
        given, header_fix = first.columns, ""
        may_lack_header = isinstance(source.name, Path) and kind_of(source.name) in SEPARATED
        if may_lack_header and not spec.columns and not {*given} & {*ROLES, *ALIASES}:
            header_fix = f"dataset.reader.header=[{usual_columns(len(given))}]"
        shape, roles, unused = match_columns(given, spec.columns or {}, shape, source.name, header_fix)
        spec.refuse_idle(shape)
        ignored |= {*unused}
        if "negatives" in shape.text_lists:  # ranked rows without a column of negatives have empty ones
            roles = {"negatives": "negatives", **roles}
        typed = TypedRows(shape, roles, spec.score_range, labels)
        chunks = _first_rows(itertools.chain([first], source.chunks), spec.max_rows)
        tables = (
            typed.table(chunk, chunk.source or source.name, faults)
            for chunk in with_progress(chunks, f"reading {name}/{split}", lambda chunk: len(chunk.places))
        )
        splits[split] = table_of_batches(tables, typed.schema)
    if ignored:
        provenance["ignored_columns"] = listed(sorted(ignored))
        logger.info("%s: columns not used: %s", provenance.get("source", name), provenance["ignored_columns"])
    if spec.score_range is not None:
        provenance["score_range"] = f"{spec.score_range[0]} to {spec.score_range[1]}"
    label_names = labels.names if shape.label_kind == "class" else ()
    dataset = EmbeddingDataset(name, shape, splits, label_names, provenance)
    return check_rows(drop_unlabelled(_settled(dataset, faults, has_shape=spec.shape is not None)))


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


def _settled(dataset: EmbeddingDataset, faults: FaultLog, has_shape: bool) -> EmbeddingDataset:
    """After all rows are read: stop at faults or count them, and separate binary pairs from pairs with classes."""
    faults.settle(dataset.num_rows)
    if faults.count:
        report = StepReport("read", dataset.num_rows + faults.count, dataset.num_rows, faults.reason())
        provenance = {**dataset.provenance, "faults": faults.summary(dataset.num_rows)}
        dataset = replace(dataset, history=(*dataset.history, report), provenance=provenance)
    if not has_shape and dataset.shape.name == "class_pair" and not dataset.label_names and _is_binary(dataset):
        dataset = replace(dataset, shape=shape_named("binary_pair"))
    return dataset


def _is_binary(dataset: EmbeddingDataset) -> bool:
    """Whether all labels are 0 or 1."""
    import pyarrow.compute

    return all(
        pyarrow.compute.all(pyarrow.compute.is_in(batch["label"], value_set=pyarrow.array([0, 1]))).as_py()
        for rows in dataset.splits.values()
        for batch in batches_of(rows)
    )
