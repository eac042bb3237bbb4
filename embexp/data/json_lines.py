"""JSON Lines: an object in each line, also wrapped in a `set`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embexp.data.chunks import NESTED, Chunk, batched, peeked
from embexp.data.faults import FaultLog
from embexp.data.lines import FileOptions, Lines, filled_lines
from embexp.errors import DataError


def json_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of a JSONL file; lines that hold no object go to `faults`.

    Raises:
        DataError: the file is one JSON value over several lines.
    """
    for batch in batched(_json_rows(Lines(path, options.encoding, None, faults), faults)):
        names = dict.fromkeys(name for _, row in batch for name in row)
        yield Chunk([place for place, _ in batch], {name: [row.get(name) for _, row in batch] for name in names})


def _json_rows(lines: Lines, faults: FaultLog) -> Iterator[tuple[int, dict[str, Any]]]:
    head, filled = peeked(filled_lines(lines), 1)
    for _, line in head:
        _refuse_one_value(lines.path, line)
    for number, line in filled:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            faults.add(lines.path, number, "no JSON", getattr(error, "msg", type(error).__name__))
            continue
        if isinstance(row, dict) and isinstance(row.get(NESTED), dict):
            row = row[NESTED]
        if not isinstance(row, dict):
            faults.add(lines.path, number, "no JSON object (expected one in each line)", row)
        else:
            yield number, row


def _refuse_one_value(path: Path, first_line: str) -> None:
    """Raise DataError when a first line says that the file is one JSON array, or one value over several lines."""
    try:
        value = json.loads(first_line)
    except (ValueError, RecursionError):
        is_array = first_line.lstrip().startswith("[")
        is_one = is_array or first_line.rstrip().endswith(("{", "[", ","))
    else:
        is_one = is_array = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    if is_one:
        way = f" jq -c '.[]' {path} > {path.stem}.jsonl writes that." if is_array else ""
        raise DataError(
            f"{path} holds {'an array of rows' if is_array else 'one JSON value over several lines'}. "
            f"Expected an object in each line (JSON Lines).{way}"
        )
