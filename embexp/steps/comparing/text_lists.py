"""Columns whose rows hold lists: their lengths, and lists without some of their items."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import pyarrow


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
    """The row that each item of the flattened lists stands in, int64 `(num_items,)`."""
    import numpy

    return numpy.repeat(numpy.arange(len(lists)), list_lengths(lists))


def without_items(lists: "pyarrow.Array", items: "pyarrow.Array", keep: "numpy.ndarray") -> "pyarrow.Array":
    """Lists of those items that the mask keeps; a missing list becomes an empty one.

    Args:
        lists: where the items come from.
        items: what stands in the place of `lists.flatten()`, `(num_items,)`.
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
    """Lists of scores without those of the texts that went.

    A row whose scores are not as many as its texts keeps them all: which belongs to which is not known.

    Args:
        texts: lists of the texts that the scores belong to.
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
