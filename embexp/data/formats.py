"""File formats as chunks of columns, chosen by the ending: CSV, TSV, JSON Lines, plain text and Parquet."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from embexp.data.arrow import BATCH_ROWS
from embexp.data.faults import FaultLog
from embexp.data.json_files import json_chunks
from embexp.data.samples import header_fix, may_be_header
from embexp.data.text_files import (
    MAX_CHARS,
    Chunk,
    FileOptions,
    Lines,
    arrow_chunk,
    batched,
    check_unfolded,
    is_zipped,
)
from embexp.errors import DataError, listed

_DELIMITERS = {"|||": "triple bars", "||": "double bars", "::": "double colons"}
_DELIMITERS |= {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
# What else people put between fields, which no sentence holds: signs in a row, control characters, names of tokens.
_UNUSUAL = re.compile(
    r"([#@$^&*~=+_<>\\])\1+|[¦‖§\x01\x02\x1c-\x1f]|(?:\[|<)/?(?:sep|tab|s|delim)(?:\]|>)", re.IGNORECASE
)
_ROW_NUMBERS = "Unnamed: 0"  # what pandas calls a column without a name: the row numbers that it writes first
_PLAIN_QUOTES = "dataset.reader.quote=null"
_SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)  # Excel's first line


def _separated_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of a CSV or TSV file; rows with too few or too many fields go to `faults`."""
    lines = Lines(path, options.encoding, "", faults)
    numbered = iter(lines)
    first = next(numbered, "")
    delimiter = options.delimiter_in(kind_of(path))
    if separator := _SEPARATOR.fullmatch(first):
        delimiter = delimiter if options.delimiter else separator[1]
    elif first:
        numbered = itertools.chain([first], numbered)
    rows = _separated_rows(lines, numbered, delimiter, options, faults)
    header = list(options.header) or _header(lines, next(rows, (0, []))[1], delimiter)
    repeated = [name for name, times in Counter(header).items() if times > 1 or not name.strip()]
    if not header or repeated:
        found = f"the columns {listed(map(repr, header[:20]))}" if header else "no line"
        expected = "a header line that names each column once"
        note = "A file without one needs the names of its columns"
        some = [row for _, row in itertools.islice(rows, 200) if len(row) == len(header)]
        fix = header_fix([*zip(*([header, *some] if header else [["a"]]), strict=True)])
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


def _header(lines: Lines, header: list[str], delimiter: str) -> list[str]:
    """The names in a header line; pandas' row numbers, which have none, get the name that it gives them."""
    if any("\udc80" <= character <= "\udcff" for name in header for character in name):
        raise DataError("the header line is in another encoding", file=lines.path, fix=lines.other_encoding())
    signs = [sign for sign in (*_DELIMITERS, "，", "；") if header and sign != delimiter and sign in header[0]]
    other = next(iter(signs), "") or (_unusual_delimiter(header) if header else "")
    if len(header) == 1 and other and other != delimiter:
        text = f"the fields are separated by {_said(other)}: the first line is {header[0][:200]!r}"
        expected = f"{_DELIMITERS.get(delimiter) or repr(delimiter)} between the names of columns"
        raise DataError(text, file=lines.path, expected=expected, fix=_delimiter_fix(other))
    if len(header) > 1 and header[0] == "" and _ROW_NUMBERS not in header:
        return [_ROW_NUMBERS, *header[1:]]
    return header


def _said(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter) or repr(delimiter)


def _unusual_delimiter(lines: Sequence[str]) -> str:
    """Unusual signs that all lines hold between other text, as often; empty where there are none.

    >>> _unusual_delimiter(["a ### b c", "d ### e"]), _unusual_delimiter(["a == b", "c"]), _unusual_delimiter(["=="])
    (' ### ', '', '')
    """
    for sign in dict.fromkeys(found[0] for found in _UNUSUAL.finditer(lines[0])):
        blank = f" {sign} "
        found = blank if all(line.count(blank) == line.count(sign) for line in lines) else sign
        counts = {line.count(found) for line in lines}
        if len(counts) == 1 and counts != {0} and all(all(map(str.strip, line.split(found))) for line in lines):
            return found
    return ""


def _delimiter_fix(delimiter: str) -> str:
    typed = delimiter if delimiter.isprintable() else delimiter.encode("unicode_escape").decode()
    return f"'dataset.reader.delimiter=\"{typed}\"'"


def _separated_rows(
    lines: Lines, numbered: Iterator[str], delimiter: str, options: FileOptions, faults: FaultLog
) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the number of the line on which it begins; `lines.number` is its last line."""
    if len(delimiter) > 1:
        filled = ((lines.number, line.rstrip("\r\n")) for line in numbered if line.strip())
        yield from ((number, line.split(delimiter)) for number, line in filled)
        return
    csv.field_size_limit(MAX_CHARS)
    quoting = csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE
    reader = csv.reader(numbered, delimiter=delimiter, quoting=quoting, quotechar=options.quote, strict=True)
    start = max(1, lines.number)  # the first line is read already, unless it is no row
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.add(lines.path, start, str(error), None, max(1, lines.number - start + 1), _PLAIN_QUOTES)
        else:
            if row:
                yield start, row
        start = lines.number + 1


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
JSON = (".jsonl", ".json", ".ndjson")
SUFFIXES = (".parquet", *SEPARATED, *JSON, ".txt")
_FIRST_LINES = 20  # so many lines of a .txt show whether it is a table
_FEWEST = 5  # or so many, by signs that sentences hold, too


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
        return _separated_chunks(path, options, faults)
    if kind in JSON:
        return json_chunks(path, options, faults)
    if kind == ".txt":
        return _text_chunks(path, options, faults)
    expected = f"one of: {listed(SUFFIXES)}; all but .parquet also as .gz"
    raise DataError("files of this kind cannot be read", file=path, expected=expected)


def _text_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    lines = Lines(path, options.encoding, None, faults)
    head, filled = lines.peek_filled(_FIRST_LINES)
    if delimiter := _delimiter_of([line for _, line in head]):
        rows = [line.split(delimiter) for _, line in head]
        if may_be_header(rows[0], [*zip(*rows[1:], strict=True)]):
            expected, header = "the ending .tsv, or .csv, for a file whose first line names columns", []
        else:
            expected, header = "a name for each of them", [header_fix([*zip(*rows, strict=True)])]
        fixes = header if header and delimiter == "\t" else [" ".join([*header, _delimiter_fix(delimiter)])]
        if delimiter != "\t" and not any("\t" in line for _, line in head):
            expected += "; texts that hold it need another separator, which they do not hold"
            fixes.append(f"dataset.reader.header=[text] {_delimiter_fix(chr(9))} {_PLAIN_QUOTES}")
        text = f"each line holds {len(rows[0])} fields, separated by {_said(delimiter)}: {head[0][1][:200]!r}"
        raise DataError(text, file=path, expected=expected, fix=fixes)
    for batch in batched(filled):
        yield Chunk([place for place, _ in batch], {"text": [text for _, text in batch]})


def _delimiter_of(lines: Sequence[str]) -> str:
    """What separates the fields of lines; empty where they hold none, or not all as many.

    Commas, semicolons and colons occur in sentences: they separate fields only in five lines or more that all have
    the same number of them.
    """
    for delimiter in _DELIMITERS:
        counts = {line.count(delimiter) for line in lines}
        least = 2 if "|" in delimiter or delimiter == "\t" else _FEWEST
        if len(lines) >= least and len(counts) == 1 and counts != {0}:
            return delimiter
    return _unusual_delimiter(lines) if len(lines) >= _FEWEST else ""


_ROWS_OF_A_BYTE, _ALWAYS_ROWS = 200, 10**7


def check_parquet(path: Path, metadata: Any) -> None:
    """Raise DataError where a Parquet file unfolds to more bytes or rows than texts do."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    check_unfolded(path, sum(group.total_byte_size for group in groups))
    if metadata.num_rows > max(_ALWAYS_ROWS, _ROWS_OF_A_BYTE * path.stat().st_size):
        raise DataError(f"the file of {path.stat().st_size:,} bytes claims {metadata.num_rows:,} rows", file=path)


def _parquet_chunks(path: Path) -> Iterator[Chunk]:
    import pyarrow
    import pyarrow.parquet

    start = 1
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            check_parquet(path, file.metadata)
            for batch in file.iter_batches(BATCH_ROWS):
                batch.validate(full=True)  # texts are UTF-8: Arrow does not look before somebody reads them
                yield arrow_chunk(pyarrow.Table.from_batches([batch]), start)
                start += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the file cannot be read as Parquet: {reason}", file=path) from error
