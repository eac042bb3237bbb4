"""Documents and queries from files: a text in each row, with its id and, of documents, a title where there are any."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.data.chunks import Chunk
from embexp.data.faults import FaultLog
from embexp.data.formats import chunks_of
from embexp.data.lines import FileOptions
from embexp.data.values import listed_values
from embexp.errors import DataError, listed

ID, TITLE, TEXT = "_id", "title", "text"  # as BEIR names them


@dataclass(frozen=True)
class Document:
    """A text as a file gives it.

    Attributes:
        line: its number in the file, from 1.
        id: None in a file without ids.
        text: after its title, if it has one; empty where the row holds none.
    """

    line: int
    id: str | None
    text: str


def documents_in(path: Path, faults: FaultLog) -> Iterator[Document]:
    """The documents of a file one by one; rows that cannot be read go to `faults`.

    Args:
        path: JSONL, CSV, TSV or Parquet with a column `text` (or no other than one), maybe `title` and `_id`; or a
            .txt file with a document on each line.

    Raises:
        DataError: there is no such file, nothing in it can be read, or several columns and none called `text`.
    """
    for chunk in chunks_of(path, FileOptions(), faults):
        ids, titles, texts = _columns(chunk, path)
        for line, own_id, title, text in zip(chunk.places, ids, titles, texts, strict=True):
            yield Document(line, None if own_id is None else str(own_id), _whole(title, text))


def _columns(chunk: Chunk, path: Path) -> list[Any]:
    """The ids, titles and texts of a chunk; None in each row where there is no such column."""
    text = TEXT if TEXT in chunk.columns or len(chunk.columns) != 1 else next(iter(chunk.columns))
    if text not in chunk.columns:
        raise DataError(
            f"{path} has the columns {listed(chunk.columns)}. Expected documents in a column called {TEXT} "
            f"(with a {TITLE} and an {ID}, if they have them): rename yours."
        )
    absent = [None] * len(chunk.places)
    return [listed_values(chunk.columns.get(column, absent)) for column in (ID, TITLE, text)]


def _whole(title: Any, text: Any) -> str:
    """Title and text with a space between, as BEIR joins them; empty where one of them is no text.

    >>> _whole("Bonds", "They pay coupons."), _whole(None, "They pay."), _whole("", " "), _whole("Bonds", None)
    ('Bonds They pay coupons.', 'They pay.', '', '')
    """
    if not isinstance(text, str) or not isinstance(title, str | None):
        return ""
    return f"{title or ''} {text}".strip()
