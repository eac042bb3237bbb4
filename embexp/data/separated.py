"""CSV and TSV: headers, separators, and quotes that swallow rows."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from embexp.data.chunks import Chunk, batched
from embexp.data.faults import FaultLog
from embexp.data.lines import MAX_CHARS, FileOptions, Lines
from embexp.errors import DataError, listed

DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
ROW_NUMBERS = "Unnamed: 0"  # what pandas calls a column without a name: the row numbers that it writes first
PLAIN_QUOTES = "type dataset.reader.quote=null where quotes are plain text"


def separated_chunks(path: Path, delimiter: str, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of a CSV or TSV file; rows with too few or too many fields go to `faults`.

    Raises:
        DataError: the first line does not name each column once.
    """
    lines = Lines(path, options.encoding, "", faults)
    rows = _separated_rows(lines, delimiter, options, faults)
    header = list(options.header) or _header(path, next(rows, (0, []))[1], delimiter)
    repeated = [name for name, times in Counter(header).items() if times > 1 or not name.strip()]
    if not header or repeated:
        found = f"the columns {listed(map(repr, header[:20]))}" if header else "no line"
        raise DataError(
            f"{path} begins with {found}. Expected a header line that names each column once; "
            "name the columns of a file without one with dataset.reader.header=[...]."
        )

    def fitting() -> Iterator[tuple[int, list[str]]]:
        for place, row in rows:
            num_lines = lines.number - place + 1
            if len(row) != len(header):
                faults.add(path, place, f"not {len(header)} fields as in the header", row, num_lines)
            elif num_lines > 1 and _swallows_rows(row, delimiter):
                faults.add(path, place, f"in a quote that spans rows ({PLAIN_QUOTES})", None, num_lines)
            else:
                yield place, row

    for batch in batched(fitting()):
        yield Chunk(
            [place for place, _ in batch], dict(zip(header, zip(*(row for _, row in batch), strict=True), strict=True))
        )


def _header(path: Path, header: list[str], delimiter: str) -> list[str]:
    """The names in a header line; the row numbers that pandas writes first, without a name, get the name it gives them.

    Raises:
        DataError: the line is in another encoding, or its fields are separated otherwise.
    """
    if any("\udc80" <= character <= "\udcff" for name in header for character in name):
        raise DataError(f"{path} is in another encoding: name it with dataset.reader.encoding=gb18030 or the like.")
    other = next((sign for sign in DELIMITERS if header and sign != delimiter and sign in header[0]), None)
    if len(header) == 1 and other:
        typed = other.replace("\t", "\\t")
        raise DataError(
            f"{path} is separated by {DELIMITERS[other]}: its first line is {header[0][:200]!r}. Expected "
            f"{DELIMITERS[delimiter] if delimiter in DELIMITERS else repr(delimiter)} between the names of columns. "
            f"Type 'dataset.reader.delimiter=\"{typed}\"'."
        )
    if len(header) > 1 and header[0] == "" and ROW_NUMBERS not in header:
        return [ROW_NUMBERS, *header[1:]]
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
            faults.add(lines.path, start, f"{error} ({PLAIN_QUOTES})", None, max(1, lines.number - start + 1))
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
