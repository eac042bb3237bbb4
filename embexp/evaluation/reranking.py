"""Reranking: whether each query ranks its own positives before its own negatives."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy

from embexp.core.nearest_neighbours import check_similarity
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator, Task
from embexp.evaluation.metrics import Measure
from embexp.evaluation.ranking_metrics import NO_EXAMPLE, SHAPES, Qrels, check_cuts, discounts, qrels_of
from embexp.evaluation.similarity import FUNCTIONS

if TYPE_CHECKING:
    from datasets import Dataset

_COLUMNS = SHAPES["ranked"]


def reranking_evaluator(
    name: str,
    dataset: EmbeddingDataset,
    similarity: str,
    mrr_at: Sequence[int],
    ndcg_at: Sequence[int],
    **options: Unpack[EvaluatorOptions],
) -> ExampleEvaluator:
    """How well each query orders its own documents: mean average precision, MRR and nDCG.

    Args:
        dataset: ranked rows; those without a negative are not used.
        similarity: cosine or dot.
        mrr_at, ndcg_at: the number of first documents considered; the first of each is a headline metric.
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: an invalid argument.
        DataError: no dev or test split, or one without a query that has positives and negatives.
    """
    check_similarity(name, similarity)
    cuts = {"mrr": mrr_at, "ndcg": ndcg_at}
    check_cuts(name, cuts)
    return ExampleEvaluator(name, dataset, _RerankingTask(similarity, cuts), **options)


class _RerankingTask(Task):
    """Queries with positives and negatives: are the positives more similar?

    Documents with the same score share their ranks: average precision counts them together, nDCG uses their mean gain
    (both as in scikit-learn), and MRR ranks the negatives among them first.
    """

    def __init__(self, similarity: str, cuts: Mapping[str, Sequence[int]]) -> None:
        self.similarity = similarity
        self.cuts = {f"{kind}_at_{cut}": (kind, cut) for kind, each in cuts.items() for cut in each}
        self.measures = tuple(Measure(metric, "mean", metric) for metric in ("map", *self.cuts))
        self.headline = ("map", *(f"{kind}_at_{each[0]}" for kind, each in cuts.items() if each))

    def check(self, rows: "Dataset", where: str) -> None:
        if not _examples(rows):
            raise DataError(
                f"No query of {where} has positives and negatives",
                expected="some to rank, or an evaluator that searches the documents of all queries",
                fix="evaluator=[retrieval]",
            )

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        examples = _examples(rows)
        documents = dict.fromkeys(text for qrels in examples for text in qrels.documents)
        return {_COLUMNS.query: [qrels.query for qrels in examples], _COLUMNS.positives: [*documents]}

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        examples = _examples(rows)
        return {
            "query": [qrels.query for qrels in examples],
            "positive": [qrels.positives[0] for qrels in examples],
            "num_positives": [len(qrels.positives) for qrels in examples],
            "num_negatives": [len(qrels.negatives) for qrels in examples],
        }

    def example_of(self, rows: "Dataset") -> Sequence[int]:
        examples = iter(range(rows.num_rows))
        return [next(examples) if _is_example(qrels) else NO_EXAMPLE for qrels in qrels_of(rows, _COLUMNS)]

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        return [(qrels.query, text) for qrels in _examples(rows) for text in qrels.positives]

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        place = {text: place for place, text in enumerate(self.texts(rows)[_COLUMNS.positives])}
        values: dict[str, list[float]] = {metric: [] for metric in ("map", *self.cuts)}
        top = []
        for qrels, query in zip(_examples(rows), vectors[_COLUMNS.query], strict=True):
            documents = vectors[_COLUMNS.positives][[place[text] for text in qrels.documents]]
            scores = FUNCTIONS[self.similarity](documents, query[None, :])
            ranking = _Ranking(scores, len(qrels.positives))
            values["map"].append(ranking.average_precision())
            for metric, (kind, cut) in self.cuts.items():
                values[metric].append({"mrr": ranking.mrr, "ndcg": ranking.ndcg}[kind](cut))
            top.append(qrels.documents[len(scores) - 1 - int(scores[::-1].argmax())])  # of equal ones a negative
        found = {metric: numpy.array(each) for metric, each in values.items()}
        return found | {"top_document": numpy.array(top, dtype=object)}


def _is_example(qrels: Qrels) -> bool:
    return bool(qrels.positives) and bool(qrels.negatives)


def _examples(rows: "Dataset") -> list[Qrels]:
    return [qrels for qrels in qrels_of(rows, _COLUMNS) if _is_example(qrels)]


class _Ranking:
    """One query's documents, the positives before the negatives; documents with the same score form a step."""

    def __init__(self, scores: numpy.ndarray, num_positives: int) -> None:
        self.scores = scores
        self.num_positives = num_positives
        is_positive = numpy.arange(len(scores)) < num_positives
        _, self.step = numpy.unique(-scores, return_inverse=True)
        self.size = numpy.bincount(self.step)
        self.positives = numpy.bincount(self.step, weights=is_positive)

    def average_precision(self) -> float:
        """The mean of the precision down to each positive's step."""
        precision = numpy.cumsum(self.positives) / numpy.cumsum(self.size)
        return float((precision * self.positives).sum() / self.num_positives)

    def ndcg(self, cut: int) -> float:
        """Discounted gain of the first documents as a share of the best order's."""
        weights = discounts(len(self.scores))
        weights[cut:] = 0
        gains = numpy.repeat(self.positives / self.size, self.size)
        return float(gains @ weights / weights[: self.num_positives].sum())

    def mrr(self, cut: int) -> float:
        """One over the rank of the best positive, 0 if that is beyond the cut."""
        before = int((self.scores[self.num_positives :] >= self.scores[: self.num_positives].max()).sum())
        return 1 / (before + 1) if before < cut else 0.0
