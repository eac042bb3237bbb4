"""Rows in Arrow tables, batch by batch, in memory or memory-mapped; columns whose rows hold lists; groups of rows."""

import functools
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from embexp.core.run_context import progress_bar
from embexp.data.shapes import OF_ANY_SHAPE, ROW_PROMPT, Shape, training_columns

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from datasets import Dataset

BATCH_ROWS = 10_000
_MEMORY_BYTES = 64 * 2**20  # a table larger than this goes to a file


def schema_of(shape: Shape, columns: list[str]) -> "pyarrow.Schema":
    """The Arrow types of the columns that a data set of this shape keeps: those of training, then those it may have.

    >>> from embexp.data.shapes import SHAPES
    >>> schema_of(SHAPES["ranked"], ["type", "id", "prompt", "query"]).names
    ['query', 'positives', 'negatives', 'type', 'prompt']
    """
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
    kept = [*training_columns(shape, columns), *(name for name in (*shape.extras, *OF_ANY_SHAPE) if name in columns)]
    return pyarrow.schema([(name, types.get(name, text)) for name in kept])


def batches_of(rows: "Dataset", progress: str | None = None) -> Iterator["pyarrow.Table"]:
    """The rows in their order, as Arrow tables of at most BATCH_ROWS rows.

    Args:
        progress: title of a progress bar; None shows none.
    """
    batches = rows.with_format("arrow").iter(BATCH_ROWS)
    yield from with_progress(batches, progress, lambda batch: batch.num_rows, rows.num_rows) if progress else batches


def with_progress(
    parts: Iterable[Any], what: str, num_rows_of: Callable[[Any], int], total: int | None = None
) -> Iterator[Any]:
    """The parts, with a count of their rows on the terminal once that takes more than two seconds."""
    with progress_bar(what, total, "row", delay=2, unit_scale=True) as bar:
        for part in parts:
            yield part
            bar.update(num_rows_of(part))


def rows_of(rows: "Dataset", progress: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows in their order, one by one."""
    for batch in batches_of(rows, progress):
        yield from batch.to_pylist()


def table_of_batches(batches: Iterable["pyarrow.Table"], schema: "pyarrow.Schema") -> "Dataset":
    """All batches as one table; a large one is a temporary file until the process ends."""
    import pyarrow
    from datasets import Dataset

    held: list[pyarrow.Table] = []
    size, batches = 0, iter(batches)
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > _MEMORY_BYTES:
            handle, path = tempfile.mkstemp(dir=_folder().name, suffix=".arrow")
            with open(handle, "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
                for part in itertools.chain(held, batches):
                    writer.write_table(part)
            return Dataset.from_file(path)
    return Dataset(pyarrow.concat_tables(held).combine_chunks() if held else schema.empty_table())


def table_of_rows(rows: Iterable[dict[str, Any]], schema: "pyarrow.Schema") -> "Dataset":
    """Rows given one by one as one table; a key that a row lacks is null there."""
    import pyarrow

    source = iter(rows)
    chunks = iter(lambda: list(itertools.islice(source, BATCH_ROWS)), [])
    return table_of_batches((pyarrow.Table.from_pylist(chunk, schema=schema) for chunk in chunks), schema)


def select_rows(rows: "Dataset", keep: "numpy.ndarray") -> "Dataset":
    """The rows where the boolean mask `keep`, `(num_rows,)`, is true, in their order."""
    import pyarrow

    def kept() -> Iterator[pyarrow.Table]:
        start = 0
        for batch in batches_of(rows):
            yield batch.filter(pyarrow.array(keep[start : start + batch.num_rows]))
            start += batch.num_rows

    return rows if keep.all() else table_of_batches(kept(), rows.features.arrow_schema.remove_metadata())


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    """A folder below TMPDIR, removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="embexp-")


def holds_lists(kind: "pyarrow.DataType") -> bool:
    """Whether the values of a column of this type are lists."""
    import pyarrow

    return pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)


def list_lengths(lists: "pyarrow.Array") -> "numpy.ndarray":
    """Number of items of each list, int64 `(num_lists,)`; a missing list has none."""
    import numpy
    import pyarrow.compute as compute

    return numpy.asarray(compute.list_value_length(lists).fill_null(0)).astype("int64")


def list_rows(lists: "pyarrow.Array") -> "numpy.ndarray":
    """The row of each item of the flattened lists, int64 `(num_items,)`."""
    import numpy

    return numpy.repeat(numpy.arange(len(lists)), list_lengths(lists))


def without_items(lists: "pyarrow.Array", items: "pyarrow.Array", keep: "numpy.ndarray") -> "pyarrow.Array":
    """Lists of those items that the mask keeps; a missing list becomes an empty one.

    Args:
        lists: where the items come from.
        items: `lists.flatten()`, or what replaces it, `(num_items,)`.
        keep: which items stay, `(num_items,)`.

    >>> import numpy, pyarrow
    >>> lists = pyarrow.array([["a", "b"], None, ["c"]])
    >>> without_items(lists, lists.flatten(), numpy.array([False, True, False])).to_pylist()
    [['b'], [], []]
    """
    import numpy
    import pyarrow

    lengths = numpy.bincount(list_rows(lists)[keep], minlength=len(lists))
    offsets = pyarrow.array(numpy.append(0, lengths.cumsum()), pyarrow.int32())
    return pyarrow.ListArray.from_arrays(offsets, items.filter(pyarrow.array(keep)))


def scores_without(scores: "pyarrow.Array", texts: "pyarrow.Array", keep: "numpy.ndarray") -> "pyarrow.Array":
    """Lists of scores without those of the texts that were removed.

    A row with another number of scores than texts keeps all scores: which belongs to which is not known.

    Args:
        texts: lists of the scored texts.
        keep: which texts stay, `(num_texts,)`.

    >>> import numpy, pyarrow
    >>> scores, texts = pyarrow.array([[0.1, 0.2], [0.3]]), pyarrow.array([["a", "b"], ["c", "d"]])
    >>> scores_without(scores, texts, numpy.array([True, False, False, False])).to_pylist()
    [[0.1], [0.3]]
    """
    import numpy

    matching = list_lengths(scores) == list_lengths(texts)
    keep_scores = numpy.ones(len(scores.flatten()), dtype=bool)
    keep_scores[matching[list_rows(scores)]] = keep[matching[list_rows(texts)]]
    return without_items(scores, scores.flatten(), keep_scores)


def ranges_within(budget: int, lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Where groups of neighbouring rows begin and end; a row longer than the budget is a group of its own.

    Args:
        budget: most tokens of a group: its rows times the longest of them.
        lengths: tokens of each row, sorted, either way.

    >>> ranges_within(9, [2, 2, 3, 9, 9]), ranges_within(9, [10, 3, 3, 3, 1])
    ([(0, 3), (3, 4), (4, 5)], [(0, 1), (1, 4), (4, 5)])
    """
    ranges, start, widest = [], 0, 0
    for row, length in enumerate(lengths):
        widest = max(widest, length)
        if row > start and widest * (row + 1 - start) > budget:
            ranges.append((start, row))
            start, widest = row, length
    return [*ranges, (start, len(lengths))]
