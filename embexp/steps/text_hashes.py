"""Texts as 64-bit hashes, so that millions of rows are compared in little memory.

Texts are compared exactly: case and spaces count. Two different texts among ten million have the same hash in about
one of 400,000 data sets.
"""

from typing import TYPE_CHECKING

from embexp.data.arrow import batches_of

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from datasets import Dataset


def texts_of_batch(batch: "pyarrow.Table", columns: list[str]) -> tuple["pyarrow.Array", "numpy.ndarray"]:
    """All texts of a batch, row by row and column by column within a row, and how many each row has."""
    import numpy
    import pyarrow
    import pyarrow.compute

    texts, rows = [], []
    for column in columns:
        values, places = batch[column].combine_chunks(), numpy.arange(batch.num_rows)
        if pyarrow.types.is_list(values.type) or pyarrow.types.is_large_list(values.type):
            places, values = numpy.asarray(pyarrow.compute.list_parent_indices(values)), values.flatten()
        texts.append(values.cast(pyarrow.string()))
        rows.append(places)
    row_numbers = numpy.concatenate(rows)
    order = numpy.argsort(row_numbers, kind="stable")
    counts = numpy.bincount(row_numbers, minlength=batch.num_rows)
    return pyarrow.concat_arrays(texts).take(pyarrow.array(order)), counts


def text_hashes(rows: "Dataset", columns: list[str]) -> tuple["numpy.ndarray", "numpy.ndarray"]:
    """The hashes of all texts, row by row, as unsigned 64-bit numbers, and how many texts each row has."""
    import numpy
    from pandas.util import hash_array

    hashes, counts = [numpy.empty(0, "uint64")], [numpy.empty(0, "int32")]
    for batch in batches_of(rows.select_columns(columns)):
        texts, of_rows = texts_of_batch(batch, columns)
        hashes.append(hash_array(texts.to_numpy(zero_copy_only=False), categorize=False))
        counts.append(of_rows.astype("int32"))
    return numpy.concatenate(hashes), numpy.concatenate(counts)


def first_places(rows: "Dataset", columns: list[str]) -> "numpy.ndarray":
    """Whether each text, row by row, stands there for the first time, as a boolean mask."""
    import numpy

    hashes, _ = text_hashes(rows, columns)
    is_first = numpy.zeros(len(hashes), bool)
    is_first[numpy.unique(hashes, return_index=True)[1]] = True
    return is_first


def mixed(numbers: "numpy.ndarray", seed: int = 0) -> "numpy.ndarray":
    """Other 64-bit numbers for these, evenly spread and different for each seed (SplitMix64, Steele et al. 2014)."""
    import numpy

    with numpy.errstate(over="ignore"):
        spread = numbers.astype("uint64") + numpy.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        spread = (spread ^ (spread >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        spread = (spread ^ (spread >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return spread ^ (spread >> numpy.uint64(31))
