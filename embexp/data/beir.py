"""Documents and queries from files, and retrieval benchmarks in the form of BEIR (Thakur et al. 2021).

A folder holds `queries.jsonl` and `corpus.jsonl` (`_id`, `text`, and a `title` of documents), and for each split
`qrels/<split>.tsv` with the columns query-id, corpus-id and score.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.file_contents import sha256_of
from embexp.data.cells import number_in
from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.faults import FaultLog
from embexp.data.formats import chunks_of
from embexp.data.meaning import plain_name
from embexp.data.reading import ColumnSpec, RowSource, dataset_from
from embexp.data.text_files import Chunk, FileOptions, Lines, batched
from embexp.data.values import listed_values, numbers
from embexp.errors import DataError, listed

_ID, _TITLE, _TEXT = "_id", "title", "text"  # as BEIR names them


@dataclass(frozen=True)
class _Document:
    """A text as a file gives it."""

    line: int  # its number in the file, from 1
    id: str | None  # None in a file without ids
    text: str  # after its title, if it has one; empty where the row holds none


def read_documents(path: Path, faults: FaultLog) -> Iterator[_Document]:
    """The documents of a file one by one; rows that cannot be read go to `faults`.

    Args:
        path: JSONL, CSV, TSV or Parquet with a column `text` (or no other than one), maybe `title` and `_id`; or a
            .txt file with a document on each line.

    Raises:
        DataError: there is no such file, nothing in it can be read, or several columns and none called `text`.
    """
    for chunk in chunks_of(path, FileOptions(), faults):
        text = _TEXT if _TEXT in chunk.columns or len(chunk.columns) != 1 else next(iter(chunk.columns))
        if text not in chunk.columns:
            expected = f"documents in a column called {_TEXT} (with {_TITLE} and {_ID} if there are any): rename yours"
            raise DataError(f"the columns are {listed(chunk.columns)}", file=path, expected=expected)
        absent = [None] * len(chunk.places)
        ids, titles, texts = (listed_values(chunk.columns.get(column, absent)) for column in (_ID, _TITLE, text))
        for line, own_id, title, words in zip(chunk.places, ids, titles, texts, strict=True):
            yield _Document(line, None if own_id is None else str(own_id), _whole(title, words))


def _whole(title: Any, text: Any) -> str:
    """Title and text with a space between, as BEIR joins them; empty where one of them is no text.

    >>> _whole("Bonds", "They pay coupons."), _whole(None, "They pay."), _whole("", " "), _whole("Bonds", None)
    ('Bonds They pay coupons.', 'They pay.', '', '')
    """
    if not isinstance(text, str) or not isinstance(title, str | None):
        return ""
    return f"{title or ''} {text}".strip()


_QUERIES, _CORPUS = "queries.jsonl", "corpus.jsonl"
_QRELS = ("query-id", "corpus-id", "score")  # columns of the files that say which documents are relevant
# Their names in other files, without signs; and where they stand in files without names.
_NAMES = dict.fromkeys(("queryid", "qid", "query", "topic", "topicid"), "query-id")
_NAMES |= dict.fromkeys(
    ("corpusid", "docid", "docno", "did", "pid", "passageid", "documentid", "document"), "corpus-id"
)
_NAMES |= dict.fromkeys(("score", "rel", "relevance", "label", "grade", "judgement", "judgment"), "score")
_PLACES = {3: (0, 1, 2), 4: (0, 2, 3)}
_QRELS_FORM = f"a first line that names {listed(_QRELS)}, separated by tabs, or the four columns of TREC"
_RELEVANT = 1.0  # the score of all that are relevant, where relevance is not graded
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Qrels:
    """The relevance of documents to one query."""

    line: int  # the query's first one in the file of the split
    scores: dict[str, float] = field(default_factory=dict)  # by document: above 0 is relevant
    lines: dict[str, int] = field(default_factory=dict)  # by document


def read_beir(
    name: str,
    folder: str | Path,
    splits: Mapping[str, str] | None,
    on_fault: str,
    shape: str | None = None,
    max_rows: int | None = None,
) -> EmbeddingDataset:
    """Ranked rows: each query with its relevant documents, and with those that the files call irrelevant.

    Where relevance is graded, the rows have it as positive_scores. The rest of the corpus is not among the rows: an
    evaluator reads it from the same file.

    Args:
        folder: in the form of BEIR; the qrels may be in TREC's form, too.
        splits: the name of the qrels file for each of train, dev, test; None takes the files that are called so.
        on_fault: `stop` at faulty rows, or `drop` them and count them.
        max_rows: most queries of each split.

    Raises:
        ConfigError: a split with another name.
        DataError: a file is missing or unreadable, or rows are faulty.
    """
    place = Path(folder)
    files = _qrels_files(place, splits)
    faults = FaultLog(on_fault)
    qrels = {split: _read_qrels(file, faults) for split, file in files.items()}
    queries = _texts(place / _QUERIES, {query for found in qrels.values() for query in found}, faults)
    scores = [each.scores for found in qrels.values() for each in found.values()]
    documents = _texts(place / _CORPUS, {document for of_query in scores for document in of_query}, faults)
    graded = any(score > 0 and score != _RELEVANT for of_query in scores for score in of_query.values())
    sources = {
        split: RowSource(file, partial(_chunks, _Rows(file, queries, documents, graded, faults), qrels[split]))
        for split, file in files.items()
    }
    provenance = {"source": str(folder)} | {f"sha256/{split}": sha256_of(file) for split, file in files.items()}
    provenance |= {f"sha256/{file}": sha256_of(place / file) for file in (_QUERIES, _CORPUS)}
    spec = ColumnSpec(shape or "ranked", max_rows=max_rows)
    refuse(spec.problems(), under="dataset.reader")
    return dataset_from(name, sources, spec, faults, provenance)


def _qrels_files(folder: Path, splits: Mapping[str, str] | None) -> dict[str, Path]:
    """The file with the qrels of each split."""
    legal = LegalValues(many=True, one_of=SPLITS)
    refuse(problems_with("dataset.reader.splits", [*(splits or SPLITS)], legal, "{dev: <file>}"))
    names = splits or {split: split for split in SPLITS if _qrels_file(folder, split).is_file()}
    files = {split: _qrels_file(folder, names[split]) for split in SPLITS if split in names}
    needed = [folder / _QUERIES, folder / _CORPUS, *(files.values() or [folder / "qrels" / "test.tsv"])]
    missing = [str(file) for file in needed if not file.is_file()]
    if missing:
        raise DataError(
            f"{folder} is no folder in the form of BEIR: there is no file {listed(missing)}",
            expected=f"{_QUERIES}, {_CORPUS} and qrels/<split>.tsv; other names of splits can be given",
            fix=[f"'dataset.reader.splits={{test: {file.stem}}}'" for file in sorted((folder / "qrels").glob("*.tsv"))],
        )
    return files


def _qrels_file(folder: Path, name: str) -> Path:
    """The file with the qrels of a split, as BEIR or TREC end its name; BEIR's where there is none."""
    files = [folder / "qrels" / f"{name}{ending}" for ending in (".tsv", ".txt", ".trec", ".qrels")]
    return next((file for file in files if file.is_file()), files[0])


def _read_qrels(path: Path, faults: FaultLog) -> dict[str, _Qrels]:
    """The qrels of each query that has a relevant document, in the order of the file."""
    found: dict[str, _Qrels] = {}
    for line, query, document, given in _judgements(path, faults):
        (score,), wrong = numbers([given])
        if wrong:
            faults.add(path, line, f"score {wrong[0][0]}", given)
            continue
        qrels, score = found.setdefault(query, _Qrels(line)), score.as_py()
        qrels.scores[document] = max(score, qrels.scores.get(document, score))
        qrels.lines[document] = line
    answered = {query: qrels for query, qrels in found.items() if max(qrels.scores.values()) > 0}
    if len(answered) < len(found):
        logger.info("%s: %s queries without a relevant document are left out", path, f"{len(found) - len(answered):,}")
    return answered


def _judgements(path: Path, faults: FaultLog) -> Iterator[tuple[int, str, str, str]]:
    """The line, query, document and score of each judgement.

    Three columns are query-id, corpus-id and score; four are TREC's, of which the second says nothing. A first line may
    name them.
    """
    head, filled = Lines(path, "utf-8", None, faults).peek_filled(1)
    if not head:
        raise DataError("the file begins with no line", file=path, expected=_QRELS_FORM)
    delimiter = "\t" if "\t" in head[0][1] else None
    first = head[0][1].split(delimiter)
    places = _PLACES.get(len(first))
    if number_in(first[-1]) is None:  # names of columns
        next(filled)
        named = [_NAMES.get(plain_name(name)) for name in first]
        if absent := [column for column in _QRELS if column not in named]:
            text = f"there is no column {listed(absent)} (but: {listed(first)})"
            raise DataError(text, file=path, expected=_QRELS_FORM)
        places = tuple(named.index(column) for column in _QRELS)
    if places is None:
        raise DataError(f"the first line is {head[0][1][:200]!r}", file=path, expected=_QRELS_FORM)
    for number, line in filled:
        fields = line.split(delimiter)
        if len(fields) != len(first):
            faults.add(path, number, f"not {len(first)} fields as in the header", fields)
        else:
            query, document, score = (fields[place].strip() for place in places)
            yield number, query, document, score


def _texts(path: Path, wanted: set[str], faults: FaultLog) -> dict[str, str]:
    """The texts of those ids that are wanted."""
    texts: dict[str, str] = {}
    for document in read_documents(path, faults):
        if document.id is None:
            faults.add(path, document.line, "has no _id", document.text)
        elif document.id in texts:
            faults.add(path, document.line, "has an _id that was there before", document.id)
        elif document.id in wanted and document.text:
            texts[document.id] = document.text
    return texts


@dataclass(frozen=True)
class _Rows:
    """Makes rows of the qrels in a file: holds the texts behind the ids."""

    file: Path
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    graded: bool
    faults: FaultLog

    def row(self, query: str, qrels: _Qrels) -> dict[str, object] | None:
        """A query with its documents; None where it has no text or no relevant document."""
        if query not in self.queries:
            self.faults.add(self.file, qrels.line, f"query-id has no text in {_QUERIES}", query)
            return None
        known = [document for document in qrels.scores if self._is_known(document, qrels)]
        positives = [document for document in known if qrels.scores[document] > 0]
        if not positives:
            return None
        row = {
            "query": self.queries[query],
            "positives": [self.documents[document] for document in positives],
            "negatives": [self.documents[document] for document in known if qrels.scores[document] <= 0],
        }
        return row | ({"positive_scores": [qrels.scores[document] for document in positives]} if self.graded else {})

    def _is_known(self, document: str, qrels: _Qrels) -> bool:
        if document not in self.documents:
            self.faults.add(self.file, qrels.lines[document], f"corpus-id has no text in {_CORPUS}", document)
        return document in self.documents


def _chunks(rows: _Rows, qrels: Mapping[str, _Qrels]) -> Iterator[Chunk]:
    made = ((each.line, rows.row(query, each)) for query, each in qrels.items())
    for batch in batched((line, row) for line, row in made if row):
        yield Chunk([line for line, _ in batch], {name: [row[name] for _, row in batch] for name in batch[0][1]})
