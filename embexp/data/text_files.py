"""Text files as numbered lines: decoded, unzipped, and read in chunks that know their place in the source."""

import codecs
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from embexp.data.arrow import BATCH_ROWS
from embexp.data.encodings import encoding_fix
from embexp.data.faults import FaultLog
from embexp.errors import DataError, Problem

NESTED = "set"  # some files wrap each row once more: {"set": {"query": ..., "pos": ..., "neg": ...}}


@dataclass(frozen=True)
class Chunk:
    """Some rows as a file gives them.

    Attributes:
        places: the number of each row's line (its row in Parquet), from 1.
        columns: the values of each column, as a list or an Arrow array, as long as `places`.
        source: the file of these rows, when their split comes from several files.
    """

    places: Sequence[int]
    columns: Mapping[str, Any]
    source: Any = None


def unwrapped(row: Any) -> Any:
    """A row out of its set; a set of texts that mean the same becomes a query with the others as its positives.

    >>> unwrapped({"set": {"query": "a"}}), unwrapped({"set": ["a", "b", "c"]})
    ({'query': 'a'}, {'query': 'a', 'pos': ['b', 'c']})
    """
    inner = row.get(NESTED) if isinstance(row, dict) else None
    if isinstance(inner, dict):
        return inner
    if isinstance(inner, list) and len(row) == 1:
        return {"query": inner[0] if inner else None, "pos": inner[1:]}
    return row


def arrow_chunk(table: Any, start: int) -> Chunk:
    """An Arrow table as a chunk; `start` is the number of its first row."""
    import pyarrow

    if NESTED in table.column_names and pyarrow.types.is_struct(table.schema.field(NESTED).type):
        table = pyarrow.Table.from_struct_array(table[NESTED])
    if table.column_names == [NESTED] and pyarrow.types.is_list(table.schema.field(NESTED).type):
        rows = [unwrapped({NESTED: texts}) for texts in table[NESTED].to_pylist()]
        columns = {name: [row.get(name) for row in rows] for name in ("query", "pos")}
        return Chunk(range(start, start + table.num_rows), columns)
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return Chunk(range(start, start + table.num_rows), columns)


def batched(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists of as many rows as a chunk holds."""
    source = iter(rows)
    return iter(lambda: list(itertools.islice(source, BATCH_ROWS)), [])


_BLOCK = 2**20  # characters
MAX_CHARS = 16 * 2**20  # a longer line is no row of texts
# First bytes of files that people rename or download by mistake.
_MAGIC = {
    b"PAR1": "a Parquet file (name it .parquet)",
    b"\x1f\x8b": "compressed with gzip (name it .gz)",
    b"PK\x03\x04": "a zip or Excel file (unpack it, or save it as CSV)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd (unpack it)",
    b"BZh": "compressed with bzip2 (unpack it)",
    b"ARROW1": "an Arrow file (save it as Parquet)",
}
_BYTE_ORDER_MARKS = {b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class FileOptions:
    r"""How text files are read.

    Attributes:
        encoding: as Python names it: utf-8 (with or without byte order mark), gb18030, utf-16 ...
        header: names of the columns of a CSV, TSV or text file that has no header line; empty when it has one.
        quote: the character around fields that hold separators or line ends; None when quotes are plain text.
        delimiter: what stands between fields (`\t` is a tab, `\x01` a control character); None takes that of the
            file's ending. Around fields with a delimiter of several characters there are no quotes.
    """

    encoding: str = "utf-8"
    header: Sequence[str] = ()
    quote: str | None = '"'
    delimiter: str | None = None

    @property
    def separated(self) -> bool:
        """Whether the options say that lines hold fields, as the ending .csv or .tsv does."""
        return bool(self.header) or self.delimiter is not None

    def delimiter_in(self, kind: str) -> str:
        """What stands between the fields of a file with this ending."""
        if self.delimiter is None:
            return "," if kind == ".csv" else "\t"
        return re.sub(r"\\(t|x[0-9a-f]{2})", lambda sign: codecs.decode(sign[0], "unicode_escape"), self.delimiter)

    def problems(self) -> Iterator[Problem]:
        """The problems with the options, whose keys are below `dataset.reader`."""
        if not isinstance(self.encoding, str):
            yield Problem("is no name", "encoding", self.encoding, _ENCODINGS, fix=("encoding=utf-8",))
        if not are_names(self.header):
            fix = ("header=[anchor,positive]",)
            yield Problem("is no list of names", "header", self.header, "a name for each column", fix=fix)
        character = "one character, or null"
        if self.quote is not None and not _is_character(self.quote):
            yield Problem("is not one character", "quote", repr(self.quote), character, fix=("quote=null",))
        fix, expected = ("delimiter=null",), "some characters, or null"
        given = self.delimiter
        if given is not None and (not isinstance(given, str) or not given):
            yield Problem("is no text", "delimiter", repr(given), expected, fix=fix)
        elif given is not None and ({"\n", "\r"} & {*given} or given == self.quote):
            yield Problem("is the quote or a line end", "delimiter", repr(given), "another, or null", fix=fix)


_ENCODINGS = "a name such as utf-8, gb18030 or utf-16"


def _is_character(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1


def are_names(value: Any) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(name, str) for name in value)


def is_zipped(path: Path) -> bool:
    """Whether a file's name ends in `.gz`, in small or capital letters."""
    return path.suffix.lower() == ".gz"


_MOST_UNFOLDED, _ALWAYS = 200, 2**28  # times the size of a compressed file, above so many bytes; texts are below 20


def check_unfolded(path: Path, size: int) -> None:
    """Raise DataError where a compressed file unfolds to more than texts do: it would fill the memory or the disk."""
    if size > max(_ALWAYS, _MOST_UNFOLDED * path.stat().st_size):
        text = f"the file of {path.stat().st_size:,} bytes unfolds to more than {_MOST_UNFOLDED} times as many"
        note = "Whoever made it may want to fill your memory or disk; unpack it yourself if you know better"
        raise DataError(text, file=path, expected="compressed texts", note=note)


class _Unzipped(gzip.GzipFile):
    """The content of a .gz, as long as it is one of texts."""

    def read1(self, size: int = -1) -> bytes:
        check_unfolded(Path(self.name), self.tell())
        return super().read1(size)


class Lines:
    """The lines of a text file, with the number of the last one read in `number`.

    Bytes that the encoding does not know become lone surrogates: the row that holds them is refused later.

    Args:
        encoding: as Python names it; utf-8 reads files with and without byte order mark.
        newline: "" keeps line ends as they are (for CSV), None makes each a newline.
        faults: gets lines that are too long, and the line where the file ends too early.

    Raises:
        DataError: the file is binary, in another encoding by its byte order mark, or the encoding is not known.
    """

    def __init__(self, path: Path, encoding: str, newline: str | None, faults: FaultLog) -> None:
        self.path = path
        self.encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
        self.newline = newline
        self.faults = faults
        self.number = 0
        try:
            "".encode(self.encoding)
            with self._open() as file:
                head = file.read(4096)
        except LookupError as error:
            likely = encoding_fix(path) or "dataset.reader.encoding=utf-8"
            key, given = "dataset.reader.encoding", self.encoding
            raise DataError("is not known", key=key, given=given, expected=_ENCODINGS, fix=likely) from error
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"the file cannot be opened: {error}.", file=self.path) from error
        for mark, name in _BYTE_ORDER_MARKS.items():
            if head.startswith(mark) and not self.encoding.lower().startswith(name[:6]):
                fix = f"dataset.reader.encoding={name}"
                raise DataError(f"the file is encoded in {name}", file=self.path, fix=fix)
        is_plain_16 = self.encoding.lower().replace("_", "-") in ("utf-16", "utf16")
        if is_plain_16 and head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
            text = "the file has no byte order mark"
            raise DataError(text, file=self.path, fix=encoding_fix(path) or "dataset.reader.encoding=utf-16-le")
        kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
        if kind is None and b"\0" in head and not self.encoding.lower().startswith(("utf-16", "utf-32")):
            if "=utf-16" in (fix := encoding_fix(path)):
                raise DataError(f"the file is encoded in {fix.rpartition('=')[2]}", file=path, fix=fix)
            kind = "a binary file: there are zero bytes in it"
        if kind:
            raise DataError(f"the file is no text file but {kind}.", file=self.path)

    def _open(self) -> IO[bytes]:
        return _Unzipped(self.path, "rb") if is_zipped(self.path) else open(self.path, "rb")

    def __iter__(self) -> Iterator[str]:
        try:
            with self._open() as raw:
                text = io.TextIOWrapper(raw, self.encoding, "surrogateescape", self.newline)
                yield from self._lines(text)
        except (OSError, EOFError, zlib.error) as error:  # a .gz that was cut or damaged
            self.faults.add(self.path, self.number + 1, f"the file ends too early ({error})")
        except UnicodeError as error:
            reason = getattr(error, "reason", error)
            text = f"cannot be decoded as {self.encoding} ({reason})"
            self.faults.add(self.path, self.number + 1, text, fix=self.other_encoding())

    def blocks(self) -> Iterator[str]:
        """The text of the file in pieces of about a million characters, whatever its lines are."""
        try:
            with self._open() as raw:
                text = io.TextIOWrapper(raw, self.encoding, "surrogateescape", self.newline)
                yield from iter(lambda: text.read(_BLOCK), "")
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"the file ends too early ({error})", file=self.path) from error
        except UnicodeError as error:
            text = f"cannot be decoded as {self.encoding} ({error})"
            raise DataError(text, file=self.path, fix=self.other_encoding()) from error

    def other_encoding(self) -> str:
        """What to type for the encoding that the file seems to have; empty where none is likely but this one."""
        fix = encoding_fix(self.path)
        return "" if fix.endswith(f"={self.encoding}") else fix

    def _lines(self, text: io.TextIOWrapper) -> Iterator[str]:
        while line := text.readline(MAX_CHARS):
            self.number += 1
            if len(line) == MAX_CHARS and not line.endswith("\n"):
                self.faults.add(self.path, self.number, f"longer than {MAX_CHARS:,} characters")
                while line and not line.endswith("\n"):
                    line = text.readline(MAX_CHARS)
            else:
                yield line

    def peek_filled(self, most: int) -> tuple[list[tuple[int, str]], Iterator[tuple[int, str]]]:
        """The first lines that are not blank, and an iterator over all of them: with their numbers, without ends."""
        filled = ((self.number, line.rstrip("\n")) for line in self if line.strip())
        head = list(itertools.islice(filled, most))
        return head, itertools.chain(head, filled)
