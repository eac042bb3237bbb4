"""Rows in Arrow tables that are passed on batch by batch: in memory while small, in a memory-mapped file once large."""

import functools
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from embexp.data.shapes import ROW_PROMPT, Shape, kept_columns

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from datasets import Dataset

BATCH_ROWS = 10_000
MEMORY_BYTES = 64 * 2**20  # a table larger than this goes to a file


def schema_of(shape: Shape, columns: list[str]) -> "pyarrow.Schema":
    """The Arrow types of the columns that a data set of this shape keeps, in its order."""
    import pyarrow

    text, number = pyarrow.string(), pyarrow.float64()
    label = {
        "score": number,
        "binary": pyarrow.int64(),
        "class": pyarrow.int64(),
        "scores": pyarrow.list_(number),
        "embedding": pyarrow.list_(pyarrow.float32()),
    }
    types = dict.fromkeys(shape.text_lists, pyarrow.list_(text))
    types |= {"positive_scores": pyarrow.list_(number), "negative_scores": pyarrow.list_(number), ROW_PROMPT: text}
    if shape.label:
        types[shape.label] = label[shape.label_kind]
    return pyarrow.schema([(name, types.get(name, text)) for name in kept_columns(shape, columns)])


def batches_of(rows: "Dataset", progress: str | None = None) -> Iterator["pyarrow.Table"]:
    """The rows in their order, as Arrow tables of at most BATCH_ROWS rows.

    Args:
        progress: what a progress bar should say; None shows none.
    """
    batches = rows.with_format("arrow").iter(BATCH_ROWS)
    yield from with_progress(batches, progress, lambda batch: batch.num_rows, rows.num_rows) if progress else batches


def with_progress(
    parts: Iterable[Any], what: str, num_rows_of: Callable[[Any], int], total: int | None = None
) -> Iterator[Any]:
    """The parts, with a count of their rows on the terminal once that takes more than two seconds."""
    from tqdm.auto import tqdm

    with tqdm(desc=what, total=total, unit="row", unit_scale=True, delay=2, leave=False) as bar:
        for part in parts:
            yield part
            bar.update(num_rows_of(part))


def rows_of(rows: "Dataset", progress: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows in their order, one by one."""
    for batch in batches_of(rows, progress):
        yield from batch.to_pylist()


def table_of_batches(batches: Iterable["pyarrow.Table"], schema: "pyarrow.Schema") -> "Dataset":
    """All batches as one table; what does not fit in MEMORY_BYTES lies in a temporary file until the process ends."""
    import pyarrow
    from datasets import Dataset

    held: list[pyarrow.Table] = []
    size, batches = 0, iter(batches)
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > MEMORY_BYTES:
            return _in_file(itertools.chain(held, batches), schema)
    return Dataset(pyarrow.concat_tables(held).combine_chunks() if held else schema.empty_table())


def table_of_rows(rows: Iterable[dict[str, Any]], schema: "pyarrow.Schema") -> "Dataset":
    """Rows given one by one as one table; a key that a row lacks is null there."""
    import pyarrow

    source = iter(rows)
    chunks = iter(lambda: list(itertools.islice(source, BATCH_ROWS)), [])
    return table_of_batches((pyarrow.Table.from_pylist(chunk, schema=schema) for chunk in chunks), schema)


def selected(rows: "Dataset", keep: "numpy.ndarray") -> "Dataset":
    """The rows where the boolean mask `keep`, `(num_rows,)`, is true, in their order."""
    import pyarrow

    def kept() -> Iterator[pyarrow.Table]:
        start = 0
        for batch in batches_of(rows):
            yield batch.filter(pyarrow.array(keep[start : start + batch.num_rows]))
            start += batch.num_rows

    return rows if keep.all() else table_of_batches(kept(), rows.features.arrow_schema.remove_metadata())


def _in_file(batches: Iterable["pyarrow.Table"], schema: "pyarrow.Schema") -> "Dataset":
    import pyarrow
    from datasets import Dataset

    handle, path = tempfile.mkstemp(dir=_folder().name, suffix=".arrow")
    with open(handle, "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            writer.write_table(batch)
    return Dataset.from_file(path)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    """Removed when the process ends; TMPDIR says where it lies."""
    return tempfile.TemporaryDirectory(prefix="embexp-")
