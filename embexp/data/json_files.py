"""Rows of JSON: an object in each line, an array in each line, or one array in the whole file."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embexp.data.faults import FaultLog
from embexp.data.samples import header_fix
from embexp.data.text_files import MAX_CHARS, NESTED, Chunk, FileOptions, Lines, batched, unwrapped
from embexp.errors import DataError

_Numbered = Iterator[tuple[int, Any]]


def json_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of a JSON file; lines that hold no object go to `faults`.

    Raises:
        DataError: the file is one value that is no array, or its rows are arrays and the options name no columns.
    """
    lines = Lines(path, options.encoding, None, faults)
    for batch in batched(_rows(lines, list(options.header), faults)):
        names = dict.fromkeys(name for _, row in batch for name in row)
        if any("\ud800" <= character <= "\udfff" for name in names for character in name):
            raise DataError("names of columns are in another encoding", file=path, fix=lines.other_encoding())
        yield Chunk([place for place, _ in batch], {name: [row.get(name) for _, row in batch] for name in names})


def _rows(lines: Lines, header: list[str], faults: FaultLog) -> Iterator[tuple[int, dict[str, Any]]]:
    head, filled = lines.peek_filled(1)
    is_array = bool(head) and _is_array(lines.path, head[0][1])
    is_first = True
    for number, row in _members(lines) if is_array else _values(lines.path, filled, faults):
        if isinstance(row, dict) and NESTED not in row:  # nearly all rows
            is_first = False
            yield number, row
            continue
        row = unwrapped(row)
        if isinstance(row, list) and row and not header and is_first:
            text, expected = "the rows are arrays", "a name for each of their members"
            raise DataError(text, file=lines.path, line=number, expected=expected, fix=_named(lines, is_array))
        if isinstance(row, list) and header and len(row) == len(header):
            yield number, dict(zip(header, row, strict=True))
        elif isinstance(row, dict):
            yield number, row
        else:
            expected = f"an array of {len(header)}" if header and isinstance(row, list) else "one in each line"
            faults.add(lines.path, number, f"no JSON object (expected {expected})", row)
        is_first = False


def _named(lines: Lines, is_array: bool) -> str:
    """What to type so that rows that are arrays get names: guessed from the first ones."""
    again = Lines(lines.path, lines.encoding, None, FaultLog("drop"))
    values = _members(again) if is_array else _values(again.path, again.peek_filled(1)[1], FaultLog("drop"))
    rows: list[list[Any]] = []
    for _, row in values:
        if isinstance(row, list) and len(row) == len((rows or [row])[0]):
            rows.append(row)
        if len(rows) == 100:
            break
    return header_fix([*zip(*rows, strict=True)])


def _values(path: Path, lines: Iterator[tuple[int, str]], faults: FaultLog) -> _Numbered:
    for number, line in lines:
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            faults.add(path, number, "no JSON", getattr(error, "msg", type(error).__name__))


def _is_array(path: Path, first_line: str) -> bool:
    """Whether a first line begins one array of all rows.

    Raises:
        DataError: it begins one value over several lines that is no array.
    """
    try:
        value = json.loads(first_line)
    except (ValueError, RecursionError):
        if first_line.lstrip().startswith("["):
            return True
        if first_line.rstrip().endswith(("{", "[", ",")):
            expected = "an object in each line (JSON Lines), or an array of objects"
            raise DataError("the file holds one JSON value over several lines", file=path, expected=expected) from None
        return False
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)


def _members(lines: Lines) -> _Numbered:
    """The members of the array that a file is, with the line on which each begins.

    Raises:
        DataError: the array is no JSON from some line on.
    """
    decoder = json.JSONDecoder()
    buffer, place, number, opened = "", 0, 1, False
    for block in itertools.chain(lines.blocks(), [""]):
        buffer, place = buffer[place:] + block, 0
        while True:
            start = _next_value(buffer, place, opened)
            number += buffer.count("\n", place, start)
            opened, place = opened or start > place, start
            if buffer[place : place + 1] == "]" and opened:
                return
            try:
                value, end = decoder.raw_decode(buffer, place)
            except (ValueError, RecursionError) as error:
                if not block or len(buffer) - place > MAX_CHARS or isinstance(error, RecursionError):
                    message = getattr(error, "msg", type(error).__name__)
                    raise DataError(f"no JSON: {message}", file=lines.path, line=number) from error
                break
            yield number, value
            number += buffer.count("\n", place, end)
            place = end


def _next_value(buffer: str, place: int, opened: bool) -> int:
    """Where the next member begins: after blanks and a comma, or after the bracket that opens the array."""
    skipped = " \t\r\n," if opened else " \t\r\n"
    while place < len(buffer) and buffer[place] in skipped:
        place += 1
    if not opened and buffer[place : place + 1] == "[":
        return _next_value(buffer, place + 1, True)
    return place
