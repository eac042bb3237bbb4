"""What is searched for negatives: the distinct queries and documents of a split, and which documents answer which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.steps.comparing.row_keys import comparable, text_keys
from embexp.steps.comparing.text_lists import list_rows
from embexp.steps.negatives.known_answers import answers_of, known_answers, names_of_sources

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from datasets import Dataset


@dataclass(frozen=True)
class Pairs:
    """Pairs of numbers, each pair once, sorted; int64 `(num_pairs,)` each.

    Attributes:
        left: of a query or row.
        right: of a document.
    """

    left: "numpy.ndarray"
    right: "numpy.ndarray"


@dataclass(frozen=True)
class Pool:
    """Queries and documents by number. Texts that differ in case, spaces and punctuation only are one: the first.

    Attributes:
        rows: the ranked rows that all this comes from.
        query_of_row: the query of each row, `(num_rows,)`.
        row_documents: each row with each of its documents; those of the corpus stand in no row.
        positives: each query with each of its known positives, over all rows that ask it and those made of these.
        known: the same, and what follows from them (see `known_answers`): none of its negatives.
        prompts: what goes before queries and before documents, as `Encoder.encode` takes it.
    """

    queries: list[str]
    documents: list[str]
    rows: "Dataset"
    query_of_row: "numpy.ndarray"
    row_documents: Pairs
    positives: Pairs
    known: Pairs
    prompts: tuple[str | None, str | None]


def pool_of(
    rows: "Dataset",
    corpus: "pyarrow.Array",
    not_from_corpus: "numpy.ndarray",
    prompts: tuple[str | None, str | None],
    symmetric: bool,
) -> Pool:
    """The pool of ranked rows and of further documents.

    Args:
        corpus: texts of documents besides those of the rows.
        not_from_corpus: keys of texts (see row_keys) that are left out of the corpus: those of other splits.
        symmetric: whether query and positive mean the same, as the texts of a labelled pair do.
    """
    import numpy
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
    sources = None if (names := names_of_sources(rows)) is None else _numbered(keys_of(names))[1]
    answers = answers_of(sources, query_of_row, rows_of_positives, numbers[: len(rows_of_positives)])
    known = known_answers(answers, query_keys[first_queries], document_keys[first_documents], symmetric)
    return Pool(
        queries.take(pyarrow.array(first_queries)).to_pylist(),
        documents.take(pyarrow.array(first_documents)).to_pylist(),
        rows,
        query_of_row,
        _pairs(rows_of_both, numbers[: len(rows_of_both)]),
        _pairs(*answers),
        _pairs(*known),
        prompts,
    )


def keys_of(texts: Sequence[str]) -> "numpy.ndarray":
    """The keys by which texts are the same in a pool, uint64 `(num_texts,)`."""
    import pyarrow

    return text_keys(comparable(pyarrow.array(texts, pyarrow.string())))


def _texts(rows: "Dataset", column: str) -> "pyarrow.Array":
    """A column of texts or of lists of texts in one piece; a column of empty lists holds texts, too."""
    import pyarrow

    kind = pyarrow.string() if column == "query" else pyarrow.list_(pyarrow.string())
    values = rows.with_format("arrow")[:][column].cast(kind).combine_chunks()
    return values.chunk(0) if isinstance(values, pyarrow.ChunkedArray) else values


def _numbered(keys: "numpy.ndarray") -> tuple["numpy.ndarray", "numpy.ndarray"]:
    """The place of the first of each key, in this order, and the number of each key among them."""
    import numpy

    _, first, inverse = numpy.unique(keys, return_index=True, return_inverse=True)
    order = numpy.argsort(first)
    ranks = numpy.empty(len(order), "int64")
    ranks[order] = numpy.arange(len(order))
    return first[order], ranks[inverse.reshape(-1)]


def _pairs(left: "numpy.ndarray", right: "numpy.ndarray") -> Pairs:
    import numpy

    distinct = numpy.unique(numpy.stack([left, right]).astype("int64"), axis=1)
    return Pairs(*distinct)
