"""What two splits have in common, row by row: the same texts together, or a single text."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset
from embexp.steps.comparing.near import Document
from embexp.steps.comparing.row_keys import comparable, pair_keys, text_keys
from embexp.steps.comparing.text_lists import holds_lists, list_rows

if TYPE_CHECKING:
    import numpy
    import pyarrow

    Columns = list[tuple[numpy.ndarray, numpy.ndarray]]  # for each column, its keys and the row of each


@dataclass(frozen=True)
class Keys:
    """What the rows of a split hold, as keys; a row may hold several, or none.

    Attributes:
        values: uint64 `(num_keys,)`.
        rows: the row of each key, int32 `(num_keys,)`.
        num_rows: rows of the split.
    """

    values: "numpy.ndarray"
    rows: "numpy.ndarray"
    num_rows: int

    def among(self, others: "Keys") -> "numpy.ndarray":
        """Which of these keys the others have too, bool `(num_keys,)`."""
        import numpy

        known = numpy.sort(others.values)
        places = numpy.searchsorted(known, self.values)
        found = places < len(known)
        found[found] = known[places[found]] == self.values[found]
        return found

    def rows_of(self, chosen: "numpy.ndarray") -> "numpy.ndarray":
        """Which rows hold one of the chosen keys, bool `(num_rows,)`; `chosen` is a mask of keys."""
        import numpy

        mask = numpy.zeros(self.num_rows, dtype=bool)
        mask[self.rows[chosen]] = True
        return mask

    def num_distinct(self, chosen: "numpy.ndarray") -> int:
        """How many different keys are chosen."""
        import numpy

        return len(numpy.unique(self.values[chosen]))


def single_texts(dataset: EmbeddingDataset, split: str) -> Keys:
    """The texts of each row, as row_keys.comparable reads them."""
    return _keys(dataset, split, _texts_of)


def texts_together(dataset: EmbeddingDataset, split: str) -> Keys:
    """The first text of each row with each other one, in either order; for shapes of one text, that text."""
    alone = len(dataset.text_columns) == 1
    return _keys(dataset, split, _texts_of if alone else _combinations_of)


def combinations(dataset: EmbeddingDataset, split: str) -> Iterator[tuple[int, Document, Document]]:
    """What `texts_together` has keys of, in its order: the row, the texts as they stand, and as they are compared."""
    start = 0
    for batch in batches_of(dataset.splits[split].select_columns(dataset.text_columns)):
        columns = [_flat(batch[column].combine_chunks()) for column in dataset.text_columns]
        (first, _), *others = (
            (list(zip(texts.to_pylist(), comparable(texts).to_pylist(), strict=True)), rows) for texts, rows in columns
        )
        if not others:
            yield from ((start + row, (raw,), (read,)) for row, (raw, read) in enumerate(first))
        for texts, rows in others:
            for row, (raw, read) in zip(rows.tolist(), texts, strict=True):
                yield start + row, (first[row][0], raw), (first[row][1], read)
        start += batch.num_rows


def _keys(dataset: EmbeddingDataset, split: str, found: Callable[["Columns"], "Columns"]) -> Keys:
    import numpy

    values, rows, start = [numpy.zeros(0, "uint64")], [numpy.zeros(0, "int32")], 0
    for batch in batches_of(dataset.splits[split].select_columns(dataset.text_columns)):
        columns = [_flat(batch[column].combine_chunks()) for column in dataset.text_columns]
        for keys, places in found([(text_keys(comparable(texts)), places) for texts, places in columns]):
            values.append(keys)
            rows.append((places + start).astype("int32"))
        start += batch.num_rows
    return Keys(numpy.concatenate(values), numpy.concatenate(rows), start)


def _texts_of(columns: "Columns") -> "Columns":
    return columns


def _combinations_of(columns: "Columns") -> "Columns":
    (first, _), *others = columns
    return [(pair_keys(first[rows], keys), rows) for keys, rows in others]


def _flat(values: "pyarrow.Array") -> tuple["pyarrow.Array", "numpy.ndarray"]:
    """The texts of a column with the row of each; lists one text after the other."""
    import numpy

    if holds_lists(values.type):
        return values.flatten(), list_rows(values)
    return values, numpy.arange(len(values))
