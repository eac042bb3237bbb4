"""Which documents answer which queries: what rows say, and what follows from it."""

from typing import TYPE_CHECKING

from embexp.data.shapes import MADE_FROM

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset

    Answers = tuple[numpy.ndarray, numpy.ndarray]  # numbers of queries and of documents, int64 `(num_pairs,)` each

MOST_ALIKE = 100  # texts that mean the same; a longer chain of pairs has left the meaning that it began with


def answers_of(
    sources: "numpy.ndarray | None", query_of_row: "numpy.ndarray", rows: "numpy.ndarray", positives: "numpy.ndarray"
) -> "Answers":
    """Queries and their positives; rows made of the same one have theirs in common: copies ask and say the same.

    Args:
        sources: the number of what each row was made of, `(num_rows,)`; None where no rows were made.
        rows: the row of each positive, `(num_positives,)`.
        positives: the document that each is.
    """
    import numpy

    if sources is None:
        return query_of_row[rows], positives
    by_source = numpy.argsort(sources, kind="stable")
    first = numpy.searchsorted(sources[by_source], numpy.arange(sources.max(initial=-1) + 2))
    beside = [by_source[first[source] : first[source + 1]] for source in sources[rows]]
    counts = [len(asking) for asking in beside]
    return query_of_row[numpy.concatenate([*beside, by_source[:0]])], numpy.repeat(positives, counts)


def names_of_sources(rows: "Dataset") -> list[str] | None:
    """What each row was made of, a row's own name where it was there before; None where no rows were made."""
    if MADE_FROM not in rows.column_names:
        return None
    return [source or f"row {place}" for place, source in enumerate(rows[MADE_FROM][:])]


def known_answers(
    answers: "Answers", query_keys: "numpy.ndarray", document_keys: "numpy.ndarray", symmetric: bool
) -> "Answers":
    """The answers, and what follows: a query's own text, and what it is itself the answer to.

    Args:
        query_keys, document_keys: keys of the texts, each once (see row_keys).
        symmetric: whether rows hold two texts that mean the same, so that what means the same as one of them means the
            same as the other: then all texts that such rows connect are known, in groups of at most MOST_ALIKE.
    """
    import numpy

    _, same_query, same_document = numpy.intersect1d(query_keys, document_keys, return_indices=True)
    as_document, as_query = numpy.full(len(query_keys), -1), numpy.full(len(document_keys), -1)
    as_document[same_query], as_query[same_document] = same_document, same_query
    asked, answering = as_document[answers[0]], as_query[answers[1]]
    both = (asked >= 0) & (answering >= 0)
    found = [answers, (same_query, same_document), (answering[both], asked[both])]
    if symmetric:
        found.append(_alike(answers, (same_query, same_document), len(query_keys), len(document_keys)))
    return tuple(numpy.concatenate(parts) for parts in zip(*found, strict=True))


def _alike(answers: "Answers", same: "Answers", num_queries: int, num_documents: int) -> "Answers":
    """Each query with all documents that pairs connect it to, over however many others."""
    import numpy
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    queries, documents = (numpy.concatenate(parts) for parts in zip(answers, same, strict=True))
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
