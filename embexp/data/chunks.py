"""Rows as a source gives them, some at a time, each with its place in the source."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embexp.data.arrow import BATCH_ROWS

NESTED = "set"  # some sets wrap each row once more: {"set": {"query": ..., "pos": ..., "neg": ...}}


@dataclass(frozen=True)
class Chunk:
    """Some rows as a file gives them.

    Attributes:
        places: the number of each row's line (its row in Parquet), from 1.
        columns: the values of each column, as a list or an Arrow array, as long as `places`.
        source: where these rows are from, when their split comes from several files.
    """

    places: Sequence[int]
    columns: Mapping[str, Any]
    source: Any = None


def arrow_chunk(table: Any, start: int) -> Chunk:
    """An Arrow table as a chunk; `start` is the number of its first row."""
    import pyarrow

    if NESTED in table.column_names and pyarrow.types.is_struct(table.schema.field(NESTED).type):
        table = pyarrow.Table.from_struct_array(table[NESTED])
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return Chunk(range(start, start + table.num_rows), columns)


def batched(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists of as many rows as a chunk holds."""
    source = iter(rows)
    return iter(lambda: list(itertools.islice(source, BATCH_ROWS)), [])


def peeked(rows: Iterator[Any], most: int) -> tuple[list[Any], Iterator[Any]]:
    """The first rows, and an iterator over all of them."""
    head = list(itertools.islice(rows, most))
    return head, itertools.chain(head, rows)
