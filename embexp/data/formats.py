"""File formats as chunks of columns, chosen by the ending: CSV, TSV, JSON Lines, plain text and Parquet."""

import csv
import json
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embexp.data.arrow import BATCH_ROWS
from embexp.data.columns import usual_columns
from embexp.data.faults import FaultLog
from embexp.data.text_files import (
    MAX_CHARS,
    NESTED,
    OTHER_ENCODING,
    Chunk,
    FileOptions,
    Lines,
    arrow_chunk,
    batched,
    is_zipped,
)
from embexp.errors import DataError, listed


def _json_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of a JSONL file; lines that hold no object go to `faults`."""
    for batch in batched(_json_rows(Lines(path, options.encoding, None, faults), faults)):
        names = dict.fromkeys(name for _, row in batch for name in row)
        yield Chunk([place for place, _ in batch], {name: [row.get(name) for _, row in batch] for name in names})


def _json_rows(lines: Lines, faults: FaultLog) -> Iterator[tuple[int, dict[str, Any]]]:
    head, filled = lines.peek_filled(1)
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
        text = f"the file holds {'an array of rows' if is_array else 'one JSON value over several lines'}"
        fix = f"jq -c '.[]' {shlex.quote(str(path))} > {shlex.quote(f'{path.stem}.jsonl')}" if is_array else ()
        raise DataError(text, file=path, expected="an object in each line (JSON Lines)", fix=fix)


_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
_ROW_NUMBERS = "Unnamed: 0"  # what pandas calls a column without a name: the row numbers that it writes first
_PLAIN_QUOTES = "dataset.reader.quote=null"


def _separated_chunks(path: Path, delimiter: str, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of a CSV or TSV file; rows with too few or too many fields go to `faults`."""
    lines = Lines(path, options.encoding, "", faults)
    rows = _separated_rows(lines, delimiter, options, faults)
    header = list(options.header) or _header(path, next(rows, (0, []))[1], delimiter)
    repeated = [name for name, times in Counter(header).items() if times > 1 or not name.strip()]
    if not header or repeated:
        found = f"the columns {listed(map(repr, header[:20]))}" if header else "no line"
        expected = "a header line that names each column once"
        note = "A file without one needs the names of its columns"
        fix = f"dataset.reader.header=[{usual_columns(len(header) or 1)}]"
        raise DataError(f"the file begins with {found}", file=path, expected=expected, note=note, fix=fix)

    def fitting() -> Iterator[tuple[int, list[str]]]:
        for place, row in rows:
            num_lines = lines.number - place + 1
            if len(row) != len(header):
                faults.add(path, place, f"not {len(header)} fields as in the header", row, num_lines)
            elif num_lines > 1 and _swallows_rows(row, delimiter):
                faults.add(path, place, "in a quote that spans rows", None, num_lines, _PLAIN_QUOTES)
            else:
                yield place, row

    for batch in batched(fitting()):
        places, fields = zip(*batch, strict=True)
        yield Chunk(places, dict(zip(header, zip(*fields, strict=True), strict=True)))


def _header(path: Path, header: list[str], delimiter: str) -> list[str]:
    """The names in a header line; pandas' row numbers, which have none, get the name that it gives them."""
    if any("\udc80" <= character <= "\udcff" for name in header for character in name):
        raise DataError("the header line is in another encoding", file=path, fix=OTHER_ENCODING)
    other = next((sign for sign in _DELIMITERS if header and sign != delimiter and sign in header[0]), None)
    if len(header) == 1 and other:
        typed = other.replace("\t", "\\t")
        text = f"the fields are separated by {_DELIMITERS[other]}: the first line is {header[0][:200]!r}"
        expected = f"{_DELIMITERS.get(delimiter) or repr(delimiter)} between the names of columns"
        raise DataError(text, file=path, expected=expected, fix=f"'dataset.reader.delimiter=\"{typed}\"'")
    if len(header) > 1 and header[0] == "" and _ROW_NUMBERS not in header:
        return [_ROW_NUMBERS, *header[1:]]
    return header


def _separated_rows(
    lines: Lines, delimiter: str, options: FileOptions, faults: FaultLog
) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the number of the line on which it begins; `lines.number` is its last line."""
    csv.field_size_limit(MAX_CHARS)
    quoting = csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, quotechar=options.quote, strict=True)
    while True:
        start = lines.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.add(lines.path, start, str(error), None, max(1, lines.number - start + 1), _PLAIN_QUOTES)
            continue
        if row:
            yield start, row


def _swallows_rows(row: list[str], delimiter: str) -> bool:
    r"""Whether a quote that was not closed made one field of several rows.

    In TSV, where texts hold no tabs, any tab in a row of several lines says so. Elsewhere a text may hold separators
    and line ends: it counts as swallowed rows when it has at least four lines, and each of them as many separators as
    make it a whole row (the first with the fields before the text, the last with those after it).

    >>> _swallows_rows(["a", "b\nc, d\ne\nf, g"], ","), _swallows_rows(["a", "b\nc,d\ne,f\ng,h"], ",")
    (False, True)
    """
    if delimiter == "\t":
        return any(delimiter in field for field in row)
    most = len(row) - 1
    for before, field in enumerate(row):
        counts = [line.count(delimiter) for line in field.split("\n")]
        if most and len(counts) > 3 and counts == [most - before, *[most] * (len(counts) - 2), before]:
            return True
    return False


SEPARATED = (".csv", ".tsv")
SUFFIXES = (".parquet", *SEPARATED, ".jsonl", ".json", ".ndjson", ".txt")
_FIRST_LINES = 20  # so many lines of a .txt show whether it is a table


def kind_of(path: Path) -> str:
    """The suffix that stands for a file's format, without `.gz`, in small letters.

    >>> kind_of(Path("a/pairs.CSV.gz"))
    '.csv'
    """
    return (Path(path.stem) if is_zipped(path) else path).suffix.lower()


def chunks_of(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of a file in chunks; rows that do not parse go to `faults`.

    Raises:
        DataError: there is no such file, its suffix is unknown, or nothing in it can be read.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}", expected=f"a file in {path.resolve().parent}")
    kind = kind_of(path)
    if kind == ".parquet" and not is_zipped(path):
        return _parquet_chunks(path)
    if kind in SEPARATED or (kind == ".txt" and options.separated):
        return _separated_chunks(path, options.delimiter_in(kind), options, faults)
    if kind in (".jsonl", ".json", ".ndjson"):
        return _json_chunks(path, options, faults)
    if kind == ".txt":
        return _text_chunks(path, options, faults)
    expected = f"one of: {listed(SUFFIXES)}; all but .parquet also as .gz"
    raise DataError("files of this kind cannot be read", file=path, expected=expected)


def _text_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    head, filled = Lines(path, options.encoding, None, faults).peek_filled(_FIRST_LINES)
    tabs = {line.count("\t") for _, line in head}
    if len(head) > 1 and len(tabs) == 1 and tabs != {0}:
        num_fields = tabs.pop() + 1
        text = f"each line holds {num_fields} fields, separated by tabs: {head[0][1][:200]!r}"
        expected = "a name for each of them, or the ending .tsv if the first line names them"
        raise DataError(text, file=path, expected=expected, fix=f"dataset.reader.header=[{usual_columns(num_fields)}]")
    for batch in batched(filled):
        yield Chunk([place for place, _ in batch], {"text": [text for _, text in batch]})


def _parquet_chunks(path: Path) -> Iterator[Chunk]:
    import pyarrow
    import pyarrow.parquet

    start = 1
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield arrow_chunk(pyarrow.Table.from_batches([batch]), start)
                start += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the file cannot be read as Parquet: {reason}", file=path) from error
