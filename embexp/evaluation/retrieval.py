"""Retrieval: whether each query finds its own documents among many."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy

from embexp.core.nearest_neighbours import check_similarity, nearest
from embexp.data.beir import read_documents
from embexp.data.dataset import EmbeddingDataset
from embexp.data.faults import FaultLog
from embexp.errors import ConfigError, DataError, Problem, did_you_mean, listed
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator, Task
from embexp.evaluation.metrics import Measure
from embexp.evaluation.ranking_metrics import (
    RANKING_METRICS,
    SHAPES,
    Cuts,
    SearchTask,
    check_cuts,
    qrels_of,
    rank_relevance,
    search_in,
)

if TYPE_CHECKING:
    from datasets import Dataset

_ALL, _SPLIT = "all", "split"
_HEADLINE = ("ndcg", "mrr", "recall")  # the first metric of each of these kinds
logger = logging.getLogger(__name__)


def retrieval_evaluator(
    name: str,
    dataset: EmbeddingDataset,
    corpus: str,
    similarity: str,
    graded: bool,
    ignore_identical: bool,
    ndcg_at: Sequence[int],
    mrr_at: Sequence[int],
    recall_at: Sequence[int],
    map_at: Sequence[int],
    accuracy_at: Sequence[int],
    precision_at: Sequence[int],
    **options: Unpack[EvaluatorOptions],
) -> ExampleEvaluator:
    """How well queries find their documents: metrics of the first k, the mean over all distinct queries.

    Args:
        dataset: ranked rows or positive pairs. Rows with the same query are one example; queries without a positive are
            not used.
        corpus: the searched documents: `all`, the positives and negatives of all splits; `split`, those of the
            evaluated split; or a file of documents, plus those of the evaluated split. Equal texts are one document.
        similarity: cosine or dot.
        graded: use positive_scores as grades of relevance in nDCG.
        ignore_identical: a document that equals the query is neither found nor relevant.
        ndcg_at, ...: the k of each kind of metric; the first of nDCG, MRR and recall are headline metrics.
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: no metric, a k below 1, or another invalid argument.
        DataError: no dev or test split, one without a query that has a positive, or a corpus that cannot be read.
    """
    check_similarity(name, similarity)
    cuts = dict(zip(RANKING_METRICS, (ndcg_at, mrr_at, recall_at, map_at, accuracy_at, precision_at), strict=True))
    check_cuts(name, cuts)
    if not any(cuts.values()):
        key, expected = f"evaluator.{name}", f"a number in at least one of: {listed(f'{kind}_at' for kind in cuts)}"
        raise ConfigError("has no metric", key=key, expected=expected, fix=f"{key}.ndcg_at=[10]")
    documents = _corpus(name, corpus, dataset)
    task = _RetrievalTask(name, dataset.shape.name, documents, similarity, cuts, graded, ignore_identical)
    return ExampleEvaluator(name, dataset, task, **options)


def _corpus(name: str, corpus: str, dataset: EmbeddingDataset) -> list[str]:
    """The searched documents besides those of the evaluated split."""
    if corpus == _SPLIT:
        return []
    if corpus == _ALL:
        columns = SHAPES[dataset.shape.name]
        every = (qrels for rows in dataset.splits.values() for qrels in qrels_of(rows, columns))
        return [text for qrels in every for text in qrels.documents]
    path, key = Path(corpus), f"evaluator.{name}.corpus"
    if not path.is_file():
        expected = f"{_ALL} (documents of all splits), {_SPLIT} (of the evaluated one), or a file"
        note = did_you_mean(corpus, (_ALL, _SPLIT))
        raise ConfigError("is no file", key=key, given=corpus, expected=expected, note=note, fix=f"{key}={_ALL}")
    faults = FaultLog("drop")
    texts = [document.text for document in read_documents(path, faults) if document.text]
    if faults.count:
        logger.warning("%s", faults.summary(len(texts)))
    return texts


class _RetrievalTask(Task):
    """Queries and their documents: are they among the first that the query finds?"""

    def __init__(
        self,
        name: str,
        shape: str,
        documents: Sequence[str],
        similarity: str,
        cuts: Cuts,
        graded: bool,
        ignore_identical: bool,
    ) -> None:
        self.name = name
        self.columns = SHAPES[shape]
        self.documents = documents
        self.similarity = similarity
        self.graded = graded
        self.ignore_identical = ignore_identical
        self.cuts = {f"{kind}_at_{cut}": (kind, cut) for kind, each in cuts.items() for cut in each}
        self.measures = tuple(Measure(metric, "mean", metric) for metric in self.cuts)
        first = [f"{kind}_at_{cuts[kind][0]}" for kind in _HEADLINE if cuts[kind]]
        self.headline = tuple(first) or (self.measures[0].name,)
        self._known: dict[int, tuple[Dataset, SearchTask]] = {}

    def check(self, rows: "Dataset", where: str) -> None:
        search = search_in(rows, self.columns, (), self.graded, self.ignore_identical)
        grades = [grade for of_query in search.relevant for grade in of_query.values()]
        if not grades:
            raise DataError(f"No query of {where} has a positive", expected="at least one to retrieve")
        if min(grades) <= 0:
            raise DataError(
                f"positive_scores of {where} hold {min(grades):g}",
                expected="grades of relevance above 0, or graded=false if they are another model's scores",
                fix=f"evaluator.{self.name}.graded=false",
            )

    def doubts(self, rows: "Dataset", where: str) -> Iterator[Problem]:
        search = self._search(rows)
        pairs = zip(search.identical, search.relevant, strict=True)
        own = sum(place >= 0 and place not in grades for place, grades in pairs)
        if own and not self.ignore_identical:
            yield Problem(
                f"{own:,} of {len(search.queries):,} queries of {where} are among the searched documents themselves, "
                "and each finds itself first",
                note="BEIR and mteb leave such a document out of its own query's ranking",
                fix=(f"evaluator.{self.name}.ignore_identical=true",),
            )

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        search = self._search(rows)
        return {self.columns.query: search.queries, self.columns.positives: search.documents}

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        search = self._search(rows)
        return {
            "query": search.queries,
            "num_relevant": [len(grades) for grades in search.relevant],
            "relevant_document": [search.documents[next(iter(grades))] for grades in search.relevant],
        }

    def example_of(self, rows: "Dataset") -> Sequence[int]:
        return self._search(rows).example_of

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        search = self._search(rows)
        pairs = zip(search.queries, search.relevant, strict=True)
        return [(query, search.documents[place]) for query, grades in pairs for place in grades]

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        search = self._search(rows)
        queries, documents = (vectors[column] for column in (self.columns.query, self.columns.positives))
        excluded = numpy.array(search.identical) if self.ignore_identical else None
        depth = max(cut for _, cut in self.cuts.values())
        order = _tie_order(search.documents)
        if excluded is not None:
            excluded = numpy.where(excluded >= 0, numpy.argsort(order)[excluded], -1)
        found = nearest(queries, documents[order], depth, self.similarity, excluded).places
        places = numpy.where(found >= 0, order[found], -1)
        ranked = rank_relevance(places, search.relevant, len(search.documents))
        values = {metric: RANKING_METRICS[kind](ranked, cut) for metric, (kind, cut) in self.cuts.items()}
        shown = [search.documents[place] if place >= 0 else None for place in places[:, 0]]
        return values | {"first_rank": ranked.first_ranks, "top_document": numpy.array(shown, dtype=object)}

    def _search(self, rows: "Dataset") -> SearchTask:
        """The search of these rows, prepared once."""
        if id(rows) not in self._known:
            search = search_in(rows, self.columns, self.documents, self.graded, self.ignore_identical)
            self._known[id(rows)] = (rows, search)  # the rows stay alive, so their id stays their own
        return self._known[id(rows)][1]


def _tie_order(documents: Sequence[str]) -> numpy.ndarray:
    """The places of the documents in the order in which those of equal scores stand: that of a hash of their texts."""
    keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in documents]
    return numpy.argsort(numpy.frombuffer(b"".join(keys), dtype=">u8"), kind="stable")
