"""File formats as chunks of columns: CSV, TSV, JSONL, plain text and Parquet, each row with its place in the file."""

import csv
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.data.arrow import BATCH_ROWS
from embexp.data.faults import FaultLog
from embexp.data.lines import MAX_CHARS, Lines
from embexp.errors import ConfigError, DataError, listed

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".txt")
NESTED = "set"  # some sets wrap each row once more: {"set": {"query": ..., "pos": ..., "neg": ...}}


@dataclass(frozen=True)
class Chunk:
    """Some rows as a file gives them.

    Attributes:
        places: the number of each row's line (its row in Parquet), from 1.
        columns: the values of each column, as a list or an Arrow array, as long as `places`.
    """

    places: Sequence[int]
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class FileOptions:
    """How text files are to be read.

    Attributes:
        encoding: as Python names it: utf-8 (with or without byte order mark), gb18030, utf-16 ...
        header: names of the columns of a CSV or TSV file that has no header line; empty when it has one.
        quote: the character around fields that hold separators or line ends; None when quotes are plain text.
    """

    encoding: str = "utf-8"
    header: Sequence[str] = ()
    quote: str | None = '"'

    def __post_init__(self) -> None:
        if self.quote is not None and len(self.quote) != 1:
            raise ConfigError(f"dataset.reader.quote={self.quote!r} is not one character. Expected one, or null.")


def kind_of(path: Path) -> str:
    """The suffix that tells a file's format, without `.gz`.

    >>> kind_of(Path("a/pairs.csv.gz"))
    '.csv'
    """
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def chunks_of(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    """The rows of a file in chunks; rows that do not parse go to `faults`.

    Raises:
        DataError: there is no such file, its suffix is unknown, or nothing in it can be read.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}. Expected a file in {path.resolve().parent}.")
    kind = kind_of(path)
    if kind == ".parquet" and path.suffix != ".gz":
        return _parquet_chunks(path)
    if kind in (".csv", ".tsv"):
        return _separated_chunks(path, "\t" if kind == ".tsv" else ",", options, faults)
    if kind in (".jsonl", ".json", ".ndjson"):
        return _json_chunks(path, options, faults)
    if kind == ".txt":
        return _text_chunks(path, options, faults)
    raise DataError(
        f"{path} is not of a kind that can be read. Expected one of: {listed(SUFFIXES)}; all but .parquet also as .gz."
    )


def _batched(rows: Iterable[Any]) -> Iterator[list[Any]]:
    source = iter(rows)
    return iter(lambda: list(itertools.islice(source, BATCH_ROWS)), [])


def _separated_chunks(path: Path, delimiter: str, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    lines = Lines(path, options.encoding, "", faults)
    rows = _separated_rows(lines, delimiter, options, faults)
    header = list(options.header) or next(rows, (0, []))[1]
    repeated = [name for name, times in Counter(header).items() if times > 1 or not name.strip()]
    if not header or repeated:
        found = f"the columns {listed(map(repr, header[:20]))}" if header else "no line"
        raise DataError(
            f"{path} begins with {found}. Expected a header line that names each column once; "
            "name the columns of a file without one with dataset.reader.header=[...]."
        )

    def fitting() -> Iterator[tuple[int, list[str]]]:
        for place, row in rows:
            if len(row) == len(header):
                yield place, row
            else:
                faults.add(path, place, f"not {len(header)} fields as in the header", row)

    for batch in _batched(fitting()):
        yield Chunk(
            [place for place, _ in batch], dict(zip(header, zip(*(row for _, row in batch), strict=True), strict=True))
        )


def _separated_rows(
    lines: Lines, delimiter: str, options: FileOptions, faults: FaultLog
) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the number of the line on which it begins."""
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
            faults.add(lines.path, start, f"{error} (type dataset.reader.quote=null where quotes are plain text)")
            continue
        if delimiter == "\t" and lines.number > start and any("\t" in field for field in row):
            faults.add(lines.path, start, "a quote that spans lines and tabs (type dataset.reader.quote=null)")
        elif row:
            yield start, row


def _json_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    for batch in _batched(_json_rows(Lines(path, options.encoding, None, faults), faults)):
        names = dict.fromkeys(name for _, row in batch for name in row)
        yield Chunk([place for place, _ in batch], {name: [row.get(name) for _, row in batch] for name in names})


def _json_rows(lines: Lines, faults: FaultLog) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            faults.add(lines.path, lines.number, "no JSON", getattr(error, "msg", type(error).__name__))
            continue
        if isinstance(row, dict) and isinstance(row.get(NESTED), dict):
            row = row[NESTED]
        if not isinstance(row, dict):
            faults.add(lines.path, lines.number, "no JSON object (expected one in each line)", row)
        else:
            yield lines.number, row


def _text_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    lines = Lines(path, options.encoding, None, faults)
    filled = ((lines.number, line.rstrip("\n")) for line in lines if line.strip())
    for batch in _batched(filled):
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
        raise DataError(f"{path} cannot be read as Parquet: {reason}") from error


def arrow_chunk(table: Any, start: int) -> Chunk:
    """An Arrow table as a chunk; `start` is the number of its first row."""
    import pyarrow

    if NESTED in table.column_names and pyarrow.types.is_struct(table.schema.field(NESTED).type):
        table = pyarrow.Table.from_struct_array(table[NESTED])
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return Chunk(range(start, start + table.num_rows), columns)
