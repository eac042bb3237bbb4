"""What is searched for what: the distinct queries and documents of rows, and which documents answer which query."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

NO_EXAMPLE = -1  # the example of a row that is none


@dataclass(frozen=True)
class Columns:
    """Where rows of a shape have their texts: the query, the documents that answer it, and those that do not."""

    query: str
    positives: str
    negatives: str | None = None


SHAPES = {"ranked": Columns("query", "positives", "negatives"), "positive_pair": Columns("anchor", "positive")}


@dataclass(frozen=True)
class Judged:
    """One row: a query, the documents that answer it with their grades, and those that do not."""

    query: str
    positives: Sequence[str]
    grades: Sequence[float]
    negatives: Sequence[str]


@dataclass(frozen=True)
class Search:
    """Queries and documents, each text once.

    Attributes:
        relevant: for each query the grade of each document that answers it, by the document's place; at least one.
        identical: for each query the place of the document with the same text, -1 where there is none.
        example_of: the query of each row, NO_EXAMPLE for a row without a positive.
    """

    queries: list[str]
    documents: list[str]
    relevant: list[dict[int, float]]
    identical: list[int]
    example_of: list[int]


def judgements(rows: "Dataset", columns: Columns, graded: bool = False) -> Iterator[Judged]:
    """The rows one by one; every grade is 1 where there are none, or where they are not asked for."""
    positives = rows[columns.positives][:]
    negatives = rows[columns.negatives][:] if columns.negatives else [()] * len(positives)
    has_grades = graded and "positive_scores" in rows.column_names
    scores = rows["positive_scores"][:] if has_grades else [None] * len(positives)
    for query, answers, grades, others in zip(rows[columns.query][:], positives, scores, negatives, strict=True):
        texts = [answers] if isinstance(answers, str) else answers
        yield Judged(query, texts, [1.0] * len(texts) if grades is None else grades, others)


def documents_of(rows: "Dataset", columns: Columns) -> Iterator[str]:
    """The documents of rows one after another, each as often as it is there."""
    for judged in judgements(rows, columns):
        yield from judged.positives
        yield from judged.negatives


def search_in(rows: "Dataset", columns: Columns, others: Iterable[str], graded: bool, ignore_identical: bool) -> Search:
    """The search that rows describe, in their documents and all others.

    Args:
        ignore_identical: a document that equals the query does not answer it.
    """
    documents = {text: place for place, text in enumerate(dict.fromkeys((*others, *documents_of(rows, columns))))}
    relevant: dict[str, dict[int, float]] = {}
    numbers: dict[str, int] = {}  # of the queries
    example_of = []
    for judged in judgements(rows, columns, graded):
        answers = zip(judged.positives, judged.grades, strict=True)
        answers = [(documents[text], grade) for text, grade in answers if not ignore_identical or text != judged.query]
        for place, grade in answers:
            grades = relevant.setdefault(judged.query, {})
            grades[place] = max(grade, grades.get(place, grade))
        example_of.append(numbers.setdefault(judged.query, len(numbers)) if answers else NO_EXAMPLE)
    identical = [documents.get(query, -1) for query in relevant]
    return Search([*relevant], [*documents], [*relevant.values()], identical, example_of)
