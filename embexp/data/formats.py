"""File formats as chunks of columns, told by the ending: CSV, TSV, JSONL, plain text and Parquet."""

from collections.abc import Iterator
from pathlib import Path

from embexp.data.arrow import BATCH_ROWS
from embexp.data.chunks import Chunk, arrow_chunk, batched, peeked
from embexp.data.columns import usual_columns
from embexp.data.faults import FaultLog
from embexp.data.json_lines import json_chunks
from embexp.data.lines import FileOptions, Lines, filled_lines, is_zipped
from embexp.data.separated import separated_chunks
from embexp.errors import DataError, listed

SEPARATED = (".csv", ".tsv")
SUFFIXES = (".parquet", *SEPARATED, ".jsonl", ".json", ".ndjson", ".txt")
FIRST_LINES = 20  # that many lines of a .txt tell whether it is a table


def kind_of(path: Path) -> str:
    """The suffix that tells a file's format, without `.gz`, in small letters.

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
        raise DataError(f"There is no file {path}. Expected a file in {path.resolve().parent}.")
    kind = kind_of(path)
    if kind == ".parquet" and not is_zipped(path):
        return _parquet_chunks(path)
    if kind in SEPARATED or (kind == ".txt" and options.separated):
        return separated_chunks(path, options.delimiter_in(kind), options, faults)
    if kind in (".jsonl", ".json", ".ndjson"):
        return json_chunks(path, options, faults)
    if kind == ".txt":
        return _text_chunks(path, options, faults)
    raise DataError(
        f"{path} is not of a kind that can be read. Expected one of: {listed(SUFFIXES)}; all but .parquet also as .gz."
    )


def _text_chunks(path: Path, options: FileOptions, faults: FaultLog) -> Iterator[Chunk]:
    head, filled = peeked(filled_lines(Lines(path, options.encoding, None, faults)), FIRST_LINES)
    tabs = {line.count("\t") for _, line in head}
    if len(head) > 1 and len(tabs) == 1 and tabs != {0}:
        num_fields = tabs.pop() + 1
        raise DataError(
            f"{path} holds {num_fields} fields in each line, separated by tabs: {head[0][1][:200]!r}. "
            f"Name its columns with dataset.reader.header=[{usual_columns(num_fields)}]; "
            "if its first line names them, name the file .tsv."
        )
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
        raise DataError(f"{path} cannot be read as Parquet: {reason}") from error
