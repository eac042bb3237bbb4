"""What is searched for negatives: distinct queries and documents of a split, and which documents are relevant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from embexp.data.arrow import list_rows
from embexp.data.shapes import MADE_FROM
from embexp.steps.dedup.row_keys import comparable, text_keys

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

    Relevant = tuple[numpy.ndarray, numpy.ndarray]  # queries and their relevant documents

MOST_ALIKE = 100  # texts that mean the same; a longer chain of pairs drifts away from what the first ones mean


def _relevant_documents(
    sources: numpy.ndarray | None, query_of_row: numpy.ndarray, rows: numpy.ndarray, positives: numpy.ndarray
) -> "Relevant":
    """Queries and their positives; rows made from the same row share theirs, because such copies mean the same.

    `sources` has the number of what each row was made from, or is None; `rows` has the row of each of `positives`.
    """
    if sources is None:
        return query_of_row[rows], positives
    by_source = numpy.argsort(sources, kind="stable")
    first = numpy.searchsorted(sources[by_source], numpy.arange(sources.max(initial=-1) + 2))
    same_source = [by_source[first[source] : first[source + 1]] for source in sources[rows]]
    counts = [len(some) for some in same_source]
    return query_of_row[numpy.concatenate([*same_source, by_source[:0]])], numpy.repeat(positives, counts)


def _known_documents(
    relevant: "Relevant", query_keys: numpy.ndarray, document_keys: numpy.ndarray, symmetric: bool
) -> "Relevant":
    """The relevant documents, and what follows: a query's own text, and the queries that it is itself relevant to.

    Where the texts of a row mean the same (`symmetric`), so do all that rows connect, in groups of at most MOST_ALIKE.
    """
    _, same_query, same_document = numpy.intersect1d(query_keys, document_keys, return_indices=True)
    as_document, as_query = numpy.full(len(query_keys), -1), numpy.full(len(document_keys), -1)
    as_document[same_query], as_query[same_document] = same_document, same_query
    documents, queries = as_document[relevant[0]], as_query[relevant[1]]  # each pair the other way round
    both = (documents >= 0) & (queries >= 0)
    found = [relevant, (same_query, same_document), (queries[both], documents[both])]
    if symmetric:
        found.append(_alike(relevant, (same_query, same_document), len(query_keys), len(document_keys)))
    return tuple(numpy.concatenate(parts) for parts in zip(*found, strict=True))


def _alike(relevant: "Relevant", same: "Relevant", num_queries: int, num_documents: int) -> "Relevant":
    """Each query with all documents that a chain of pairs connects it to, however long."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    queries, documents = (numpy.concatenate(parts) for parts in zip(relevant, same, strict=True))
    size = num_queries + num_documents
    edges = coo_array((numpy.ones(len(queries), bool), (queries, num_queries + documents)), shape=(size, size))
    num_groups, group = connected_components(edges, directed=False)
    of_query, of_document = group[:num_queries], group[num_queries:]
    by_group = numpy.argsort(of_document, kind="stable")
    sizes = numpy.bincount(of_document, minlength=num_groups)
    counts = numpy.where(sizes <= MOST_ALIKE, sizes, 0)[of_query]
    starts = (numpy.cumsum(sizes) - sizes)[of_query]
    places = numpy.arange(counts.sum()) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
    return numpy.repeat(numpy.arange(num_queries), counts), by_group[numpy.repeat(starts, counts) + places]


@dataclass(frozen=True)
class Pairs:
    """Pairs of numbers, each pair once, sorted; int64 `(num_pairs,)` each.

    Attributes:
        left: of a query or row.
        right: of a document.
    """

    left: numpy.ndarray
    right: numpy.ndarray


@dataclass(frozen=True)
class Pool:
    """Queries and documents by number. Of texts that differ only in case, spaces and punctuation the first one stays.

    Attributes:
        rows: the ranked rows that all this comes from.
        query_of_row: the query of each row, `(num_rows,)`.
        row_documents: each row with each of its documents; those of the corpus are in no row.
        positives: each query with each of its known positives, over all rows that have it and those made from these.
        known: the same, and what follows from them (see `_known_documents`): none of its negatives.
        prompts: what goes before queries and before documents, as `Encoder.encode` takes it.
    """

    queries: list[str]
    documents: list[str]
    rows: "Dataset"
    query_of_row: numpy.ndarray
    row_documents: Pairs
    positives: Pairs
    known: Pairs
    prompts: tuple[str | None, str | None]


def make_pool(
    rows: "Dataset",
    corpus: "pyarrow.Array",
    not_from_corpus: numpy.ndarray,
    prompts: tuple[str | None, str | None],
    symmetric: bool,
) -> Pool:
    """The pool of ranked rows and of further documents.

    Args:
        corpus: texts of documents besides those of the rows.
        not_from_corpus: keys of texts (see row_keys) that are left out of the corpus: those of other splits.
        symmetric: whether query and positive mean the same, as in labelled pairs.
    """
    import pyarrow

    queries = _texts(rows, "query")
    positives, negatives = (_texts(rows, name) for name in ("positives", "negatives"))
    wanted = ~numpy.isin(text_keys(comparable(corpus)), not_from_corpus)
    documents = pyarrow.concat_arrays([positives.flatten(), negatives.flatten(), corpus.filter(pyarrow.array(wanted))])
    query_keys, document_keys = (text_keys(comparable(texts)) for texts in (queries, documents))
    first_queries, query_of_row = _numbered(query_keys)
    first_documents, numbers = _numbered(document_keys)
    rows_of_positives = list_rows(positives)
    rows_of_both = numpy.concatenate([rows_of_positives, list_rows(negatives)])
    sources = None
    if MADE_FROM in rows.column_names:  # a row that was there before is its own source
        names = [source or f"row {place}" for place, source in enumerate(rows[MADE_FROM][:])]
        sources = _numbered(keys_of(names))[1]
    relevant = _relevant_documents(sources, query_of_row, rows_of_positives, numbers[: len(rows_of_positives)])
    known = _known_documents(relevant, query_keys[first_queries], document_keys[first_documents], symmetric)
    return Pool(
        queries.take(pyarrow.array(first_queries)).to_pylist(),
        documents.take(pyarrow.array(first_documents)).to_pylist(),
        rows,
        query_of_row,
        _pairs(rows_of_both, numbers[: len(rows_of_both)]),
        _pairs(*relevant),
        _pairs(*known),
        prompts,
    )


def keys_of(texts: Sequence[str]) -> numpy.ndarray:
    """The keys of texts, uint64 `(num_texts,)`: texts with one key are the same in a pool."""
    import pyarrow

    return text_keys(comparable(pyarrow.array(texts, pyarrow.string())))


def _texts(rows: "Dataset", column: str) -> "pyarrow.Array":
    """A column of texts or of lists of texts in one piece; empty lists count as lists of texts."""
    import pyarrow

    kind = pyarrow.string() if column == "query" else pyarrow.list_(pyarrow.string())
    values = rows.with_format("arrow")[:][column].cast(kind).combine_chunks()
    return values.chunk(0) if isinstance(values, pyarrow.ChunkedArray) else values


def _numbered(keys: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The place of the first of each key, in this order, and the number of each key among them."""
    _, first, inverse = numpy.unique(keys, return_index=True, return_inverse=True)
    order = numpy.argsort(first)
    ranks = numpy.empty(len(order), "int64")
    ranks[order] = numpy.arange(len(order))
    return first[order], ranks[inverse.reshape(-1)]


def _pairs(left: numpy.ndarray, right: numpy.ndarray) -> Pairs:
    return Pairs(*numpy.unique(numpy.stack([left, right]).astype("int64"), axis=1))
