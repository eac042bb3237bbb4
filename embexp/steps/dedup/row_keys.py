"""Rows and texts as 64-bit keys, to compare millions of them without their texts.

Two different texts among ten million have the same key in about one of 400,000 data sets.
"""

from typing import TYPE_CHECKING

import numpy

from embexp.data.arrow import batches_of, holds_lists, list_rows

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset


def comparable(texts: "pyarrow.Array") -> "pyarrow.Array":
    """The texts without what does not matter in a comparison: NFKD, lower case, only letters, marks and digits.

    Decomposed, because some versions of Arrow do not compose NFKC (its issue 51225). The marks of letters stay: in
    Indic scripts they are vowels. A text without letters and digits keeps its signs.

    >>> import pyarrow
    >>> comparable(pyarrow.array(["Ｗhat's  up?", "What´s_up", "什么？", "?!", None])).to_pylist()
    ['whatsup', 'whatsup', '什么', '?!', '']
    """
    import pyarrow.compute as compute

    lowered = compute.utf8_lower(compute.utf8_normalize(_as_texts(texts), "NFKD"))
    letters = compute.replace_substring_regex(lowered, r"(?:[^\p{L}\p{M}\p{N}]\p{M}*)+", "")
    return compute.if_else(compute.equal(compute.binary_length(letters), 0), lowered, letters)


def text_keys(texts: "pyarrow.Array") -> numpy.ndarray:
    """A key for each text, uint64 `(num_texts,)`; the same in every process. A missing text is an empty one."""
    from pandas.util import hash_array

    return hash_array(_as_texts(texts).to_numpy(zero_copy_only=False).astype(object), categorize=False)


def joined_keys(*columns: numpy.ndarray) -> numpy.ndarray:
    """One key for each row of several columns of keys, uint64; the order of the columns counts.

    >>> import numpy
    >>> a, b = numpy.array([1, 2], "uint64"), numpy.array([2, 1], "uint64")
    >>> bool((joined_keys(a, b) == joined_keys(b, a)).any())
    False
    """
    keys = numpy.zeros_like(columns[0])
    for column in columns:
        keys = mixed(keys ^ column)
    return keys


def pair_keys(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """One key for each pair of keys, uint64; the order within a pair does not count.

    >>> import numpy
    >>> a, b = numpy.array([1, 2], "uint64"), numpy.array([2, 1], "uint64")
    >>> bool((pair_keys(a, b) == pair_keys(b, a)).all())
    True
    """
    return joined_keys(numpy.minimum(first, second), numpy.maximum(first, second))


def list_keys(items: numpy.ndarray, lengths: numpy.ndarray) -> numpy.ndarray:
    """One key for each list, uint64 `(num_lists,)`, from the keys of all items; the order within a list counts.

    Args:
        lengths: number of items of each list, `(num_lists,)`.
    """
    ends = numpy.cumsum(lengths)
    starts = ends - lengths
    places = (numpy.arange(len(items)) - numpy.repeat(starts, lengths)).astype("uint64")
    sums = numpy.append(numpy.zeros(1, "uint64"), numpy.cumsum(joined_keys(items, places), dtype="uint64"))
    return joined_keys(sums[ends] - sums[starts], lengths.astype("uint64"))


def _as_texts(values: "pyarrow.Array") -> "pyarrow.Array":
    """Texts without nulls, also of an array of nulls or of nothing (a flattened column of empty lists)."""
    import pyarrow

    return values.cast(pyarrow.string()).fill_null("")


def mixed(numbers: numpy.ndarray, seed: int = 0) -> numpy.ndarray:
    """A hash of 64-bit numbers, evenly spread and different for each seed (SplitMix64, Steele et al. 2014)."""
    with numpy.errstate(over="ignore"):
        spread = numbers.astype("uint64") + numpy.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        spread = (spread ^ (spread >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        spread = (spread ^ (spread >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return spread ^ (spread >> numpy.uint64(31))


def texts_of_batch(batch: "pyarrow.Table", columns: list[str]) -> tuple["pyarrow.Array", numpy.ndarray]:
    """All texts of a batch, by row, then by column, and how many each row has."""
    import pyarrow

    texts, rows = [], []
    for column in columns:
        values, places = batch[column].combine_chunks(), numpy.arange(batch.num_rows)
        if holds_lists(values.type):
            places, values = list_rows(values), values.flatten()
        texts.append(values.cast(pyarrow.string()))
        rows.append(places)
    row_numbers = numpy.concatenate(rows)
    order = numpy.argsort(row_numbers, kind="stable")
    counts = numpy.bincount(row_numbers, minlength=batch.num_rows)
    return pyarrow.concat_arrays(texts).take(pyarrow.array(order)), counts


def text_hashes(rows: "Dataset", columns: list[str], loosely: bool) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The keys of all texts, row by row, uint64, and how many texts each row has.

    Args:
        loosely: case, spaces and punctuation do not count; else every character does.
    """
    hashes, counts = [numpy.empty(0, "uint64")], [numpy.empty(0, "int32")]
    for batch in batches_of(rows.select_columns(columns)):
        texts, of_rows = texts_of_batch(batch, columns)
        hashes.append(text_keys(comparable(texts) if loosely else texts))
        counts.append(of_rows.astype("int32"))
    return numpy.concatenate(hashes), numpy.concatenate(counts)


def first_places(rows: "Dataset", columns: list[str]) -> numpy.ndarray:
    """The mask of the texts, row by row, that occur for the first time; every character counts."""
    hashes, _ = text_hashes(rows, columns, loosely=False)
    is_first = numpy.zeros(len(hashes), bool)
    is_first[numpy.unique(hashes, return_index=True)[1]] = True
    return is_first
