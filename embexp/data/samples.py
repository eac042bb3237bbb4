"""Some values of each column of a split, to know what it holds: the columns are those of the whole split."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from embexp.data.text_files import Chunk
from embexp.data.values import listed_values

_MOST = 2_000  # values of a column from each chunk that has something new


class LateColumnError(Exception):
    """Columns were found that appear, or begin to vary, after rows that were read: these are read once more."""


class ColumnSamples:
    """Values of each column, and a watch for columns that appear or begin to vary later.

    A column that first appears in row 20,000, or in the second part of a split, counts as one in the first row does.
    """

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {}
        self._complete = False  # the whole split was looked at

    def add(self, chunk: Chunk) -> None:
        """Take values from all over a chunk."""
        step = max(1, -(-len(chunk.places) // _MOST))
        for name, values in chunk.columns.items():
            self.values.setdefault(name, []).extend(listed_values(values[::step]))

    def look_through(self, chunks: Iterable[Chunk]) -> None:
        """Look for columns in all later chunks, once.

        Raises:
            LateColumnError: this was the first time; the chunks are used up.
        """
        if not self._complete:
            for chunk in chunks:
                if any(name not in self.values for name in chunk.columns):
                    self.add(chunk)
            self._complete = True
            raise LateColumnError

    def watched(self, chunks: Iterable[Chunk], unused: Iterable[str]) -> Iterator[Chunk]:
        """The chunks after the first.

        Args:
            unused: columns that are not read; one that was empty or the same in all rows so far is watched.

        Raises:
            LateColumnError: a column is new, or one of the watched varies; all later chunks were looked at, too.
        """
        same = {name: found for name in unused if len(found := _distinct(self.values[name])) < 2}
        chunks = iter(chunks)
        for chunk in chunks:
            if not self._complete and self._has_news(chunk, same):
                self.add(chunk)
                for later in chunks:
                    if self._has_news(later, same):
                        self.add(later)
                self._complete = True
                raise LateColumnError
            yield chunk

    def _has_news(self, chunk: Chunk, same: dict[str, set[Any]]) -> bool:
        if any(name not in self.values for name in chunk.columns):
            return True
        return any(not _distinct(chunk.columns[name]) <= found for name, found in same.items() if name in chunk.columns)


def _distinct(values: Any) -> set[Any]:
    """The different values that are there; lists and objects by their text."""
    if not isinstance(values, list | tuple):
        with contextlib.suppress(NotImplementedError):  # of lists
            values = values.unique()
        values = values.to_pylist()
    try:
        return {*values} - {None, ""}
    except TypeError:
        return {value if isinstance(value, str | int | float) else repr(value) for value in values} - {None, "", "[]"}
