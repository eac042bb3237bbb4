"""What the first rows show: some values of each column of a split, and whether the first line names the columns."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from embexp.data.cells import number_in
from embexp.data.meaning import PAIRS, TEXTS, are_worded, filled, is_bounded_fraction, is_neutral, role_by_name
from embexp.data.meaning import plain_name as plain
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


_KNOWN = {name for pair in PAIRS for name in pair} | {*TEXTS}
_SCALES = range(3, 11)  # the largest numbers of usual scales for scores of pairs


def may_be_header(names: Sequence[str], columns: Sequence[Sequence[Any]] = ()) -> bool:
    """Whether the fields of a first line are names of columns: known ones, or single words above texts of several.

    Args:
        columns: the values below the names.

    >>> may_be_header(["sent0", "sent1"]), may_be_header(["how are you", "how is it", "1"])
    (True, False)
    >>> may_be_header(["no time", "the page", "0.5"]), may_be_header(["0", "1", "2"])
    (False, False)
    """
    if any(plain(name) in _KNOWN for name in names):
        return True
    if any(number_in(name) is not None for name in names):
        return False
    if any(role_by_name(name) is not None or is_neutral(name) for name in names):
        return True
    worded = sum(map(are_worded, columns))
    return worded > 0 and not are_worded(names) and all(re.fullmatch(r"[^\W\d][\w.-]*", name) for name in names)


def header_fix(columns: Sequence[Sequence[Any]]) -> str:
    """What to type so that columns without names get some, one that are likely.

    >>> header_fix([["a b", "c d"], ["e f", "g h"], ["1", "0"]])
    'dataset.reader.header=[sentence1,sentence2,label]'
    >>> header_fix([["x-1", "x-2"], ["a b", "c d"], ["e f", "g h"], ["0.5", "4"]])
    'dataset.reader.header=[id,sentence1,sentence2,score]'
    """
    return f"dataset.reader.header=[{','.join(_names(columns))}]"


def _names(columns: Sequence[Sequence[Any]]) -> list[str]:
    kinds = [_kind(values) for values in columns]
    if "text" not in kinds or (len(columns) <= 3 and kinds.count("text") < 2 and "plain" in kinds):
        kinds = ["text" if kind == "plain" else kind for kind in kinds]
    texts, has_score = kinds.count("text"), "score" in kinds or "label" in kinds
    if texts == 1:
        names = ["text"]
    elif texts == 2:
        names = ["sentence1", "sentence2"] if has_score else ["anchor", "positive"]
    else:
        names = ["anchor", "positive", *(f"negative_{number}" for number in range(1, texts))]
    if texts >= 2 and (places := [place for place, kind in enumerate(kinds) if kind == "label"]):
        numbers = [number_in(value) for value in filled(columns[places[0]])]
        if None not in numbers and max(numbers, default=0) in _SCALES:
            kinds[places[0]] = "score"
    given, others = iter(names), 0
    named = []
    for kind in kinds:
        if kind == "text":
            named.append(next(given))
        elif kind in ("score", "label") and kind not in named:
            named.append(kind)
        else:
            others += 1
            named.append("id" if others == 1 else f"id_{others}")
    return named


def _kind(values: Sequence[Any]) -> str:
    values = filled(values)
    numbers = [number_in(value) for value in values]
    if values and None not in numbers:
        few = len({*numbers}) <= 20 and (len({*numbers}) * 2 <= len(numbers) or max(numbers) <= 10)
        return "score" if is_bounded_fraction(values) else "label" if few else "id"
    return "text" if are_worded(values) else "plain"
