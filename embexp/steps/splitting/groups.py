"""Rows that must stay together: those connected by common texts, or only identical ones."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.steps.comparing.row_keys import mixed
from embexp.steps.comparing.text_hashes import text_hashes

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset


@dataclass(frozen=True)
class Groups:
    """A division of rows into groups.

    Attributes:
        of_rows: the number of each row's group, int32 `(num_rows,)`.
        sizes: rows of each group, int64 `(num_groups,)`.
        keys: a 64-bit hash of each group, which depends on its own texts alone.
        texts: the number of each text, row by row, and `counts`, how many texts each row has.
    """

    of_rows: "numpy.ndarray"
    sizes: "numpy.ndarray"
    keys: "numpy.ndarray"
    texts: "numpy.ndarray"
    counts: "numpy.ndarray"


def connected_rows(rows: "Dataset", columns: list[str]) -> Groups:
    """Rows that share a text, directly or through other rows; a group's key is the smallest hash of its texts.

    Case, spaces and punctuation do not count, as in the leak audit.

    >>> from datasets import Dataset
    >>> connected_rows(Dataset.from_dict({"a": ["x", "y", "z"], "b": ["u", "v", "u"]}), ["a", "b"]).of_rows.tolist()
    [0, 1, 0]
    """
    import numpy

    hashes, counts = text_hashes(rows, columns, loosely=True)
    distinct, texts = numpy.unique(hashes, return_inverse=True)
    del hashes
    texts = texts.astype("int32")
    starts = numpy.cumsum(counts) - counts
    firsts = texts[starts]
    component = _components(len(distinct), numpy.repeat(firsts, counts), texts)
    # Texts are numbered by their hash: the first one of a component has its smallest.
    _, smallest = numpy.unique(component, return_index=True)
    return _numbered(component[firsts], distinct[smallest], texts, counts)


def identical_rows(rows: "Dataset", columns: list[str]) -> Groups:
    """Rows with the same texts in the same order."""
    import numpy

    hashes, counts = text_hashes(rows, columns, loosely=False)
    starts = numpy.cumsum(counts) - counts
    places = numpy.arange(len(hashes), dtype="int32") - numpy.repeat(starts.astype("int32"), counts)
    hashes_in_place = mixed(hashes ^ mixed(places))
    keys, group = numpy.unique(numpy.add.reduceat(hashes_in_place, starts), return_inverse=True)
    del hashes_in_place, places
    texts = numpy.unique(hashes, return_inverse=True)[1].astype("int32")
    return _numbered(group, keys, texts, counts)


def _numbered(group: "numpy.ndarray", keys: "numpy.ndarray", texts: "numpy.ndarray", counts: "numpy.ndarray") -> Groups:
    """The groups numbered in the order of their first rows."""
    import numpy

    _, first_rows, numbers = numpy.unique(group, return_index=True, return_inverse=True)
    order = numpy.argsort(first_rows)
    rank = numpy.empty_like(order)
    rank[order] = numpy.arange(len(order))
    of_rows = rank[numbers].astype("int32")
    return Groups(of_rows, numpy.bincount(of_rows), keys[group[first_rows[order]]], texts, counts)


def _components(num_nodes: int, one: "numpy.ndarray", other: "numpy.ndarray") -> "numpy.ndarray":
    """For each node the number of the component that it belongs to."""
    import numpy
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    apart = one != other
    edges = (numpy.ones(int(apart.sum()), "int8"), (one[apart], other[apart]))
    return connected_components(coo_array(edges, shape=(num_nodes, num_nodes)), directed=False)[1]
