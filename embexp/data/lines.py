"""Text files as lines: decoded, unzipped, numbered; what is no text is refused before a line is read."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from embexp.data.faults import FaultLog
from embexp.errors import DataError

MAX_CHARS = 16 * 2**20  # a longer line is no row of texts
# First bytes of what people rename or download by mistake.
MAGIC = {
    b"PAR1": "a Parquet file (name it .parquet)",
    b"\x1f\x8b": "compressed with gzip (name it .gz)",
    b"PK\x03\x04": "a zip or Excel file (unpack it, or save it as CSV)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd (unpack it)",
    b"BZh": "compressed with bzip2 (unpack it)",
    b"ARROW1": "an Arrow file (save it as Parquet)",
}
BYTE_ORDER_MARKS = {b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class Lines:
    """The lines of a text file, with the number of the last one read in `number`.

    Bytes that the encoding does not know become lone surrogates: the row that holds them is refused later, by name.

    Args:
        encoding: as Python names it; utf-8 reads files with and without byte order mark.
        newline: "" keeps line ends as they are (for CSV), None makes each a newline.
        faults: gets what ends the file too early and lines that are too long.

    Raises:
        DataError: the file is binary, in another encoding by its byte order mark, or the encoding is not known.
    """

    def __init__(self, path: Path, encoding: str, newline: str | None, faults: FaultLog) -> None:
        self.path = path
        self.encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
        self.newline = newline
        self.faults = faults
        self.number = 0
        self._check()

    def _open(self) -> IO[bytes]:
        return gzip.open(self.path, "rb") if self.path.suffix == ".gz" else open(self.path, "rb")

    def _check(self) -> None:
        try:
            "".encode(self.encoding)
            with self._open() as file:
                head = file.read(4096)
        except LookupError as error:
            raise DataError(
                f"dataset.reader.encoding={self.encoding} is not known. Expected one such as utf-8, gb18030, utf-16."
            ) from error
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self.path} cannot be opened: {error}.") from error
        for mark, name in BYTE_ORDER_MARKS.items():
            if head.startswith(mark) and not self.encoding.lower().startswith(name[:6]):
                raise DataError(f"{self.path} is encoded in {name}. Type dataset.reader.encoding={name}.")
        kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
        if kind is None and b"\0" in head and not self.encoding.lower().startswith(("utf-16", "utf-32")):
            kind = "a binary file: there are zero bytes in it"
        if kind:
            raise DataError(f"{self.path} is no text file but {kind}.")

    def __iter__(self) -> Iterator[str]:
        try:
            with self._open() as raw:
                text = io.TextIOWrapper(raw, self.encoding, "surrogateescape", self.newline)
                yield from self._lines(text)
        except (OSError, EOFError, zlib.error) as error:  # a .gz that was cut or damaged
            self.faults.add(self.path, self.number + 1, f"the file ends too early ({error})")
        except UnicodeDecodeError as error:
            self.faults.add(self.path, self.number + 1, f"cannot be decoded as {self.encoding} ({error.reason})")

    def _lines(self, text: io.TextIOWrapper) -> Iterator[str]:
        while line := text.readline(MAX_CHARS):
            self.number += 1
            if len(line) == MAX_CHARS and not line.endswith("\n"):
                self.faults.add(self.path, self.number, f"longer than {MAX_CHARS:,} characters")
                while line and not line.endswith("\n"):
                    line = text.readline(MAX_CHARS)
            else:
                yield line
