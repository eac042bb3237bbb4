"""The data set: splits of one shape with prompts, their provenance, and the steps applied to them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import batches_of, select_rows
from embexp.data.shapes import Shape, text_columns, training_columns
from embexp.errors import DataError, listed

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset

# The first text of a row is the query, the others are documents: conversions rename columns, a text keeps its side.
_QUERY_SIDE = ("query", "anchor", "sentence1", "text", "twin", "damaged", "original")


@dataclass(frozen=True)
class Prompts:
    """Prompts by name, as sentence-transformers keeps them with a model.

    Attributes:
        named: text of each prompt by its name, such as {"query": "query: ", "document": "passage: "}.
        default: name of the prompt that `model.encode` puts before a text when none is given.
        columns: name of the prompt for a column of the data; a column that is not listed takes that of the same side
            (queries, anchors and first sentences on one side, the texts they go with on the other), else the default.
        in_text: columns whose texts begin with their prompts already; those of the same side do too.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    in_text: tuple[str, ...] = ()

    def prompt_for(self, column: str) -> str | None:
        """The prompt to put before the texts of a column: empty for none, None for the model's own default.

        It is None where a data set names no prompts at all.

        >>> prompts = Prompts({"query": "Q: ", "document": "D: "}, columns={"anchor": "query", "positive": "document"})
        >>> prompts.prompt_for("sentence1"), prompts.prompt_for("negative_2")
        ('Q: ', 'D: ')
        >>> Prompts().prompt_for("anchor") is None
        True
        """
        if any(_same_side(column, other) for other in self.in_text):
            return ""
        if not self.named:
            return None
        name = self._name_of(column)
        return self.named[name] if name else ""

    def moved(self, column: str, columns: Iterable[str]) -> "Prompts":
        """The prompts once the texts of one column are in all these: each takes that column's prompt."""
        columns, name = tuple(columns), self._name_of(column)
        in_text = columns if any(_same_side(column, other) for other in self.in_text) else ()
        return replace(self, columns=dict.fromkeys(columns, name) if name else {}, in_text=in_text)

    def _name_of(self, column: str) -> str | None:
        same_side = (name for other, name in self.columns.items() if _same_side(other, column))
        return self.columns.get(column) or next(same_side, self.default)


def _same_side(column: str, other: str) -> bool:
    return (column in _QUERY_SIDE) == (other in _QUERY_SIDE)


SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class StepReport:
    """What a reader, step or conversion did: rows in and out of all splits together, why rows were removed, examples.

    Attributes:
        trainings: the folder of each training that it took, with metrics.jsonl and result.json.
    """

    step: str
    rows_in: int
    rows_out: int
    reason: str = ""
    examples: tuple[str, ...] = ()
    trainings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.step}: {self.rows_in:,} -> {self.rows_out:,} rows" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class EmbeddingDataset:
    """Rows of one shape, in the splits train, dev and test (each of them may be missing).

    Attributes:
        splits: the rows of each split; the columns are those of the shape, in its order.
        label_names: names of the classes by their number, for shapes with class labels.
        provenance: where the rows came from: source, revision, sha256, original score range.
        history: what was done, step by step.
        prompts: what goes before the texts of each column, in training and evaluation alike.
    """

    name: str
    shape: Shape
    splits: Mapping[str, "Dataset"]
    label_names: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[StepReport, ...] = ()
    prompts: Prompts = field(default_factory=Prompts)

    @property
    def num_rows(self) -> int:
        """Rows of all splits together."""
        return sum(split.num_rows for split in self.splits.values())

    @property
    def text_columns(self) -> list[str]:
        """The text columns, in the order of the shape; the same ones in every split."""
        return text_columns(self.shape, next(iter(self.splits.values())).column_names)

    def texts(self, split: str) -> Iterator[str]:
        """Every text of a split, column by column (positives and negatives of ranked rows one by one)."""
        for column in self.text_columns:
            yield from self.texts_of(split, column)

    def texts_of(self, split: str, column: str) -> Iterator[str]:
        """Every text of one column of a split."""
        for batch in batches_of(self.splits[split].select_columns([column])):
            for value in batch[column].to_pylist():
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
            text = f"Data set {self.name} has no rows to train on (splits: {listed(self.splits)})"
            raise DataError(text, expected="a split called train")
        rows = self.splits["train"]
        return rows.select_columns(training_columns(self.shape, rows.column_names))

    def after(
        self,
        step: str,
        splits: Mapping[str, "Dataset"],
        reason: str = "",
        examples: Sequence[str] = (),
        trainings: Sequence[str] = (),
        **changes: Any,
    ) -> "EmbeddingDataset":
        """The data set that a step made of this one, with a report of rows in and out."""
        made = replace(self, splits=dict(splits), **changes)
        report = StepReport(step, self.num_rows, made.num_rows, reason, tuple(examples), tuple(trainings))
        return replace(made, history=(*self.history, report))

    def fingerprints(self) -> dict[str, str]:
        """A sha256 of the content of each split (first 16 hex digits): same rows, same fingerprint."""
        return {name: fingerprint(rows) for name, rows in self.splits.items()}


def fingerprint(rows: "Dataset") -> str:
    """sha256 over the column names and values, in order; the first 16 hex digits."""
    import pyarrow

    digest = hashlib.sha256(repr(rows.column_names).encode())
    schema = rows.features.arrow_schema.remove_metadata()
    with pyarrow.ipc.new_stream(pyarrow.PythonFile(_HashSink(digest), mode="w"), schema) as writer:
        for batch in batches_of(rows):
            # A slice would be written with the padding of its neighbours: taking the rows copies them alone.
            alone = batch.take(pyarrow.array(range(batch.num_rows))).combine_chunks()
            writer.write_table(alone.replace_schema_metadata(None))
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


def keep_rows(
    dataset: EmbeddingDataset, step: str, keep: Mapping[str, "numpy.ndarray"], reason: str
) -> EmbeddingDataset:
    """The data set with the rows where the mask of their split is true; a split without a mask keeps all.

    Raises:
        DataError: a split that had rows would have none.
    """
    splits = {name: select_rows(rows, keep[name]) if name in keep else rows for name, rows in dataset.splits.items()}
    return none_emptied(dataset, dataset.after(step, splits, reason))


def none_emptied(
    before: EmbeddingDataset, after: EmbeddingDataset, note: str = "Loosen the arguments of the step, or leave it out"
) -> EmbeddingDataset:
    """The data set `after` a step, in which every split that had rows still has some; `note` says what a user can do.

    Raises:
        DataError: a split lost all its rows.
    """
    emptied = [name for name, rows in before.splits.items() if rows.num_rows and not after.splits[name].num_rows]
    if emptied:
        step, reason = after.history[-1].step, after.history[-1].reason
        text = f"The step {step} leaves no row of {listed(emptied)} in {before.name} ({reason})"
        raise DataError(text, expected="at least one row in every split", note=note)
    return after
