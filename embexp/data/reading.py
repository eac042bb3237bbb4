"""From chunks of any source to a checked data set: columns by name, values by shape, faults by policy."""

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from embexp.core.arguments import LegalValues, problems_with
from embexp.data.arrow import batches_of, table_of_batches, with_progress
from embexp.data.cells import as_list, has_path, values_at
from embexp.data.classes import ClassLabels, doubtful_names, drop_unlabelled, joined_labels
from embexp.data.columns import (
    ALIASES,
    ROLES,
    SAY_COLUMNS,
    TAKEN,
    Match,
    Mismatch,
    check_ignored,
    check_names,
    lacking,
    match,
)
from embexp.data.dataset import EmbeddingDataset, StepReport
from embexp.data.faults import FaultLog
from embexp.data.formats import SEPARATED, kind_of
from embexp.data.proposals import as_overrides, corrected, likely, no_match, override, quoted, settings_for, ways
from embexp.data.row_checks import check_rows
from embexp.data.samples import ColumnSamples, LateColumnError, header_fix, may_be_header
from embexp.data.shapes import PART, Shape, described, shape_named
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
        ignore: columns of the source that are not to be used, although they seem to mean something.
        decimal: the sign between the whole part of a score and its fraction: "." or ",".
        no_label: the label that says that a row has none; None takes -1 where few rows have it.
        is_own: the data are the user's own, so that what is left out is worth a warning.
    """

    shape: str | None = None
    columns: Mapping[str, str] | None = None
    score_range: Sequence[float] | None = None
    label_names: Sequence[str] = ()
    max_rows: int | None = None
    known_names: Sequence[str] = ()
    ignore: Sequence[str] = ()
    decimal: str = "."
    no_label: str | int | None = None
    is_own: bool = True

    def problems(self) -> Iterator[Problem]:
        """The problems that these have with any rows; their keys are below `dataset.reader`."""
        fix = ("'columns={anchor: question, positive: answer}'",)
        if self.columns is not None:
            if not isinstance(self.columns, Mapping) or not are_names([*self.columns, *self.columns.values()]):
                yield Problem("names no columns", "columns", self.columns, "a column for each", fix=fix)
            elif repeated := _repeated(self.columns.values()):
                once = {theirs: ours for ours, theirs in [*self.columns.items()][::-1]}
                fix = (override("columns", f"{{{', '.join(f'{a}: {quoted(b)}' for b, a in [*once.items()][::-1])}}}"),)
                yield Problem(f"names {repeated} more than once", "columns", expected="a column for each", fix=fix)
        pair, expected = self.score_range, "the lowest and the highest score"
        is_range = isinstance(pair, Sequence) and len(pair) == 2 and all(map(is_number, pair)) and pair[0] < pair[1]
        if pair is not None and not is_range:
            numbers = isinstance(pair, Sequence) and len(pair) == 2 and all(map(is_number, pair)) and pair[0] > pair[1]
            fix = f"[{pair[1]},{pair[0]}]" if numbers else "null"
            yield Problem("is no range", "score_range", pair, expected, fix=(f"score_range={fix}",))
        fix = ("label_names=[no,yes]",)
        if not are_names(self.label_names):
            yield Problem("is no list of names", "label_names", self.label_names, "each class once", fix=fix)
        elif repeated := _repeated(self.label_names):
            yield Problem(f"names {repeated} more than once", "label_names", expected="each class once", fix=fix)
        yield from problems_with("max_rows", self.max_rows, LegalValues(least=1, whole=True, optional=True), "null")
        yield from problems_with("decimal", self.decimal, LegalValues(one_of=(".", ",")), "','")
        if not are_names(self.ignore):
            fix = ("ignore=[page]",)
            yield Problem("is no list of columns", "ignore", self.ignore, "the columns not to be used", fix=fix)
        if isinstance(self.no_label, bool) or not isinstance(self.no_label, str | int | None):
            yield Problem("is no label", "no_label", self.no_label, "one label, or null", fix=("no_label=-1",))

    def refuse_idle(self, shape: Shape) -> None:
        """Raise DataError naming all that has no effect on rows of this shape."""
        text, idle = f"has no effect on {shape.name}, which has no", []
        if self.score_range is not None and shape.label_kind != "score":
            fix = ("dataset.reader.score_range=null",)
            idle.append(Problem(f"{text} scores", "dataset.reader.score_range", self.score_range, fix=fix))
        if self.decimal != "." and shape.label_kind not in ("score", "scores"):
            fix = ("'dataset.reader.decimal=\".\"'",)
            idle.append(Problem(f"{text} scores", "dataset.reader.decimal", self.decimal, fix=fix))
        classes = {"label_names": (self.label_names, "[]"), "no_label": (self.no_label, "null")}
        for option, (given, usual) in classes.items() if shape.label_kind not in ("class", "binary") else ():
            if given not in (None, (), []):
                fix = (f"dataset.reader.{option}={usual}",)
                idle.append(Problem(f"{text} classes", f"dataset.reader.{option}", given, fix=fix))
        if idle:
            raise DataError(*idle)


def _repeated(names: Iterable[str]) -> str:
    """The names that come more than once, joined; an empty text for none."""
    return ", ".join(name for name, times in Counter(names).items() if times > 1)


@dataclass(frozen=True)
class RowSource:
    """One split as it comes: the name of its source, for messages, and what opens its chunks from the beginning."""

    name: Any
    open: Callable[[], Iterator[Chunk]]


def dataset_from(
    name: str, sources: Mapping[str, RowSource], spec: ColumnSpec, faults: FaultLog, provenance: dict[str, Any]
) -> EmbeddingDataset:
    """The data set that the sources of the splits hold.

    Raises:
        DataError: no row, columns that fit no shape, faulty rows under on_fault=stop, or labels out of range.
    """
    samples = {split: ColumnSamples() for split in sources}
    before = faults.state()
    while True:
        reading = _Reading(name, spec, faults)
        try:
            for split, source in sources.items():
                reading.read(split, source, samples[split])
            break
        except LateColumnError:  # twice for each split at most
            faults.restore(before)
    check_ignored(spec.ignore, {name: values for each in samples.values() for name, values in each.values.items()})
    reading.describe(provenance)
    label_names = reading.labels.names if reading.shape.label_kind == "class" else ()
    dataset = EmbeddingDataset(name, reading.shape, reading.splits, label_names, provenance)
    is_sure = bool(spec.known_names) or not spec.is_own
    labelled = drop_unlabelled(_settled(dataset, faults), is_sure)
    reading.refuse_joined_labels()
    if spec.shape is None and labelled.shape.name == "class_pair" and not label_names and _is_binary(labelled):
        labelled = replace(labelled, shape=shape_named("binary_pair"))
    return check_rows(labelled)


class _Reading:
    """One pass over the rows of all splits."""

    def __init__(self, name: str, spec: ColumnSpec, faults: FaultLog) -> None:
        self.name, self.spec, self.faults = name, spec, faults
        self.labels = ClassLabels(spec.label_names or spec.known_names, spec.no_label)
        self.shape: Shape | None = shape_named(spec.shape) if spec.shape else None
        self.splits: dict[str, Any] = {}
        self.matches: list[Match] = []
        self.notes: dict[str, None] = {}
        self.taken = ""  # the overrides that would have named the columns

    def read(self, split: str, source: RowSource, samples: ColumnSamples) -> None:
        """Read the rows of a split."""
        chunks = _first_rows(source.open(), self.spec.max_rows)
        first = next(chunks, None)
        if first is None:
            self.faults.settle(0)
            raise DataError("there are no rows", file=source.name, expected="at least one")
        samples.add(first)
        typed = [*(self.spec.columns or {}).values(), *self.spec.ignore]
        if any(not has_path(samples.values, column) for column in typed):
            samples.look_through(chunks)
        found = self._match(samples.values, source)
        self.shape = found.shape
        self.spec.refuse_idle(self.shape)
        self.matches.append(found)
        roles = found.roles
        if "negatives" in self.shape.text_lists:  # ranked rows without a column of negatives have empty ones
            roles = {"negatives": "negatives", **roles}
        typed = TypedRows(self.shape, roles, self.spec.score_range, self.labels, self.spec.decimal)
        chunks = itertools.chain([first], samples.watched(chunks, found.unused))
        title = f"reading {self.name}/{split}"
        tables = (
            typed.table(chunk, chunk.source or source.name, self.faults)
            for chunk in with_progress(chunks, title, lambda chunk: len(chunk.places))
        )
        self.splits[split] = table_of_batches(tables, typed.schema)
        self.notes |= dict.fromkeys([*typed.notes, *typed.doubts()])

    def _match(self, samples: Mapping[str, Sequence[Any]], source: RowSource) -> Match:
        """What the columns of a split mean; the other splits have the shape of the first."""
        spec, columns = self.spec, self.spec.columns or {}
        near = partial(corrected, samples, columns)
        check_names(samples, columns, source.name, lambda: near() or ways(Mismatch({}), samples, {}, spec.ignore))
        no_header = ""
        may_lack_header = isinstance(source.name, Path) and kind_of(source.name) in SEPARATED
        if (
            may_lack_header
            and not columns
            and not {*samples} & {*ROLES, *ALIASES}
            and not may_be_header([*samples], [*samples.values()])
        ):
            no_header = header_fix([[name, *values] for name, values in samples.items()])
        found = match(samples, columns, spec.ignore, self.shape)
        is_open = isinstance(found, Mismatch) and found.shapes in ((), ("text",))  # else a column would be left out
        if is_open and spec.is_own and not ({*columns} - {PART} or no_header or self.shape):
            found = self._likely_match(samples) or found
        if isinstance(found, Mismatch):
            raise DataError(no_match(found, samples, columns, spec.ignore, source.name, no_header))
        if missing := lacking(found.shape, found.roles):
            text = (
                f"the columns are {listed(found.roles)}; for {described(found.shape.name)} it lacks {listed(missing)}"
            )
            fixes = [] if self.matches or spec.shape else ways(Mismatch(found.roles), samples, columns, spec.ignore)
            raise DataError(text, file=source.name, fix=fixes or SAY_COLUMNS)
        if spec.shape is None and found.shape.label_kind == "embedding":
            _refuse_several_labels(found.roles["label"], values_at(samples, found.roles["label"]), source.name)
        if self.matches and not spec.shape and found.meaningful:
            lost = listed(found.meaningful)
            text = f"the other splits have no column {lost}, which would be ignored here"
            raise DataError(text, file=source.name, fix=f"dataset.shapes=[{found.shape.name}]")
        return found

    def _likely_match(self, samples: Mapping[str, Sequence[Any]]) -> Match | None:
        """What the columns mean by their names, where only one reading is likely: in all splits; a note says so."""
        part = dict(self.spec.columns or {})  # a column that says where rows come from means nothing else
        columns = likely(samples, [*self.spec.ignore, *part.values()])
        if columns is None:
            return None
        settings = settings_for(columns, samples)
        typed = {name: value for name, value in settings.items() if getattr(self.spec, name) in (None, ".")}
        self.taken = as_overrides(settings)
        columns |= part
        self.spec = replace(self.spec, **typed, columns=columns) if part else replace(self.spec, **typed)
        self.notes[f"{TAKEN}, as by {self.taken} (type others to change that)"] = None
        found = match(samples, columns, self.spec.ignore, None)
        return found if isinstance(found, Match) else None

    def refuse_joined_labels(self) -> None:
        """Raise DataError where the names of some classes are those of several others."""
        if self.spec.label_names or self.spec.known_names or not (joined := joined_labels(self.labels.names)):
            return
        label = self.matches[0].roles["label"]
        each = ",".join(map(quoted, self.labels.names))
        text = f"{label} holds several labels in one, such as {joined[0]!r} ({len(joined):,} of the classes are so)"
        fix = (override("dataset.reader.label_names", f"[{each}]"), override("dataset.reader.ignore", f"[{label}]"))
        raise DataError(text, expected="one label in each row, or to know that these are classes", fix=fix)

    def describe(self, provenance: dict[str, Any]) -> None:
        """Say what was left out and what was taken otherwise than it is written, in the log and in the provenance."""
        unused = sorted({column for match in self.matches for column in match.unused})
        meaningful = sorted({column for match in self.matches for column in match.meaningful} | {*self.spec.ignore})
        renamed = {theirs: ours for match in self.matches for ours, theirs in match.renamed.items()}
        source = provenance.get("source", self.name)
        if unused or self.spec.ignore:
            provenance["ignored_columns"] = listed(sorted({*unused, *self.spec.ignore}))
        if self.taken:
            provenance["columns_taken"] = self.taken
        if self.spec.score_range is not None:
            provenance["score_range"] = f"{self.spec.score_range[0]} to {self.spec.score_range[1]}"
        notes = [*self.notes]
        if rest := sorted({*unused} - {*(meaningful if self.spec.is_own else ())}):  # a note names the others
            logger.info("%s: columns not used: %s", source, listed(rest))
        if renamed:
            notes.append(f"columns read by another name: {listed(f'{a!r} as {b}' for a, b in renamed.items())}")
        if self.spec.is_own and not self.spec.label_names:
            notes += doubtful_names(self.labels.names)
        if meaningful and self.spec.is_own:
            notes.append(f"columns not used: {listed(meaningful)}")
        if notes:
            earlier = provenance.get("reading")
            provenance["reading"] = "\n".join(
                [*([earlier] if earlier else []), *(f"{source}: {note}" for note in notes)]
            )


def _refuse_several_labels(label: str, values: Sequence[Any], source: Any) -> None:
    """Raise DataError where lists of labels may be the labels of a text that has several, no embedding of it."""
    lists = [found for value in values if (found := as_list(value))]
    members = [member for found in lists for member in found]
    are_whole = all(isinstance(member, int) or (is_number(member) and member.is_integer()) for member in members)
    if not are_whole and all(map(is_number, members)):
        return
    as_vector = ["dataset.shapes=[embedded_text]"] if are_whole and len({*map(len, lists)}) == 1 else []
    raise DataError(
        f"{label} holds lists of {'whole numbers' if are_whole else 'labels'}, such as {lists[0]!r}",
        file=source,
        expected="one label for each text" + ("; or a teacher's embedding, if that is what it is" if as_vector else ""),
        note=f"Without {label} they are texts without labels",
        fix=(*as_vector, override("dataset.reader.ignore", f"[{quoted(label)}]")),
    )


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


def _settled(dataset: EmbeddingDataset, faults: FaultLog) -> EmbeddingDataset:
    """After all rows are read: stop at faults or count them."""
    faults.settle(dataset.num_rows)
    if not faults.count:
        return dataset
    report = StepReport("read", dataset.num_rows + faults.count, dataset.num_rows, faults.reason())
    provenance = {**dataset.provenance, "faults": faults.summary(dataset.num_rows)}
    return replace(dataset, history=(*dataset.history, report), provenance=provenance)


def _is_binary(dataset: EmbeddingDataset) -> bool:
    """Whether all labels are 0 or 1."""
    import pyarrow.compute

    return all(
        pyarrow.compute.all(pyarrow.compute.is_in(batch["label"], value_set=pyarrow.array([0, 1]))).as_py()
        for rows in dataset.splits.values()
        for batch in batches_of(rows)
    )
