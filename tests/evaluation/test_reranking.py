"""Reranking metrics: numbers one can check by hand, and those of sentence-transformers and scikit-learn."""

import random

import numpy
import pytest

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.reranking import _Ranking, reranking_evaluator
from embexp.evaluation.scores import compare
from embexp.models.encoding import ModelEncoder

OPTIONS = {"similarity": "cosine", "mrr_at": [10], "ndcg_at": [10], "resamples": 50}
# Documents on the unit circle: the query at 0 degrees, d1 at 10, d2 at 20 and so on.
ROWS = {
    "query": ["q", "q", "q"],
    "positives": [["d1", "d3"], ["d2"], ["d1"]],
    "negatives": [["d2", "d4"], ["d1", "d3"], []],
}


class PlaneEncoder:
    """Texts as points on the unit circle: `d3` is at 30 degrees."""

    def __init__(self, turn=0):
        self.turn = turn
        self.calls = []

    def encode(self, texts, prompt=None):
        self.calls.append((list(texts), prompt))
        radians = numpy.radians([10 * int(text[1:]) if text[1:] else self.turn for text in texts])
        return numpy.stack([numpy.cos(radians), numpy.sin(radians)], axis=1).astype("float32")


def evaluator_of(rows=ROWS, **options):
    return reranking_evaluator("rerank", dataset_of("toy", "ranked", {"test": rows}), **OPTIONS | options)


def test_metrics_in_the_plane():
    scores = evaluator_of().score(PlaneEncoder(), "test")
    second = 1 / numpy.log2(3)
    # + - + - in the first row, - + - in the second one; the third one has nothing to be put in order
    assert scores.predicted["map"].tolist() == pytest.approx([(1 + 2 / 3) / 2, 1 / 2])
    assert scores.predicted["mrr_at_10"].tolist() == pytest.approx([1, 1 / 2])
    assert scores.predicted["ndcg_at_10"].tolist() == pytest.approx([1.5 / (1 + second), second])
    assert scores.metrics["map"] == pytest.approx(2 / 3)
    assert scores.examples["num_positives"].tolist() == [2, 1]
    assert scores.examples["num_negatives"].tolist() == [2, 2]


def test_rows_without_negatives_are_no_examples():
    evaluator = evaluator_of()
    assert list(evaluator.task.example_of(evaluator.dataset.splits["test"])) == [0, 1, -1]
    first = {"query": ["q", "q"], "positives": [["d1"], ["d2"]], "negatives": [[], ["d1"]]}
    assert list(evaluator.task.example_of(evaluator_of(first).dataset.splits["test"])) == [-1, 0]


def test_data_without_negatives_are_refused():
    rows = {"query": ["q"], "positives": [["d1"]], "negatives": [[]]}
    with pytest.raises(
        DataError, match=r"No query of toy/test has positives and negatives(.|\n)*hint: type evaluator=\[retrieval\]"
    ):
        evaluator_of(rows)


def test_documents_are_encoded_once_and_queries_row_by_row():
    encoder = PlaneEncoder()
    evaluator_of().score(encoder, "test")
    assert encoder.calls == [(["q", "q", "d1", "d3", "d2", "d4"], None)]


def test_a_cut_leaves_out_what_comes_later():
    metrics = evaluator_of(mrr_at=[1, 10], ndcg_at=[1]).score(PlaneEncoder(), "test").metrics
    assert metrics == pytest.approx({"map": 2 / 3, "mrr_at_1": 1 / 2, "mrr_at_10": 3 / 4, "ndcg_at_1": 1 / 2})
    assert evaluator_of(mrr_at=[1, 10]).headline_metrics == ("map", "mrr_at_1", "ndcg_at_10")


def test_the_nearest_document_is_reported():
    assert list(evaluator_of().score(PlaneEncoder(), "test").predicted["top_document"]) == ["d1", "d1"]


def test_a_model_to_which_all_texts_are_the_same_gains_nothing_from_their_order():
    ranking = _Ranking(numpy.ones(10), 1)
    assert ranking.average_precision() == pytest.approx(0.1)
    assert ranking.mrr(10) == pytest.approx(0.1)
    assert ranking.mrr(9) == 0
    assert ranking.ndcg(10) == pytest.approx(numpy.mean(1 / numpy.log2(numpy.arange(10) + 2)))


@pytest.mark.parametrize("seed", range(5))
def test_documents_with_one_score_count_as_in_scikit_learn(seed):
    from sklearn.metrics import average_precision_score, ndcg_score

    random = numpy.random.default_rng(seed)
    scores, number = random.integers(0, 4, 12).astype(float), int(random.integers(1, 6))
    gold = numpy.arange(12) < number
    ranking = _Ranking(scores, number)
    assert ranking.average_precision() == pytest.approx(average_precision_score(gold, scores))
    for cut in (1, 3, 12, 20):
        assert ranking.ndcg(cut) == pytest.approx(ndcg_score([gold], [scores], k=cut))


@pytest.mark.parametrize("cut", [3, 10])
def test_all_metrics_equal_those_of_sentence_transformers(tmp_path, cut):
    import torch
    from sentence_transformers.sentence_transformer.evaluation import RerankingEvaluator

    from embexp.models.scratch import ScratchModel

    draw = random.Random(1)
    words = [f"{start}{end}" for start in ("ba", "ke", "mi", "so", "tu") for end in ("nk", "rt", "ll", "sh", "pe")]
    texts = [*dict.fromkeys(" ".join(draw.choices(words, k=draw.randint(2, 8))) for _ in range(300))]
    rows = {"query": texts[:50], "positives": [], "negatives": []}
    for _ in range(50):
        found = draw.sample(texts[50:], 14)
        number = draw.randint(1, 6)
        rows["positives"].append(found[:number])
        rows["negatives"].append(found[number:] if draw.random() < 0.9 else [])
    torch.manual_seed(1)
    model = ScratchModel(2, 32, 2, vocabulary_size=200, max_seq_length=16).load(lambda: texts, tmp_path)
    samples = [
        {"query": query, "positive": positives, "negative": negatives}
        for query, positives, negatives in zip(*rows.values(), strict=True)
    ]
    theirs = RerankingEvaluator(samples, at_k=cut, write_csv=False)(model)
    ours = evaluator_of(rows, mrr_at=[cut], ndcg_at=[cut]).score(ModelEncoder(model), "test").metrics
    assert len(ours) == 3
    assert ours == pytest.approx({metric: theirs[metric.replace("_at_", "@")] for metric in ours}, abs=1e-6)
    assert 0.2 < ours["map"] < 0.9


def test_two_models_are_compared_over_their_queries():
    rows = {key: values[:2] * 10 for key, values in ROWS.items()}
    evaluator = evaluator_of(rows)
    base, trained = (evaluator.score(PlaneEncoder(turn), "test") for turn in (40, 0))
    differences = {each.metric: each for each in compare(base, trained, 200)}
    assert list(differences) == ["map", "mrr_at_10", "ndcg_at_10"]
    # at 40 degrees d4 and d3 come first: the order is - + - + and - + -
    assert differences["map"].value == pytest.approx(2 / 3 - 1 / 2)
    assert differences["map"].verdict == "better"


def test_queries_seen_in_training_are_left_out_of_a_second_metric():
    metrics = evaluator_of(leaked={"test": numpy.array([False, True, False])}).score(PlaneEncoder(), "test").metrics
    assert metrics["mrr_at_10"] == 0.75
    assert metrics["mrr_at_10_no_leaks"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": "euclidean"}, r"rerank.similarity=euclidean was given\. Expected one of: cosine, dot"),
        ({"mrr_at": [0]}, r"mrr_at=\[0\] was given. Expected .* whole number"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        evaluator_of(**options)


def test_a_run_builds_it_from_the_bundled_corpus():
    from embexp.config.compose import compose, resolve
    from embexp.errors import Problems
    from embexp.experiment.datasets import builder_of
    from embexp.experiment.evaluators import plan_evaluators

    config = resolve(compose(["evaluator=[rerank]", "paths.cache=null"]))
    (evaluator,), _, _ = plan_evaluators(config, "finance", [], builder_of(config), Problems())
    assert evaluator.primary_metric == "map"
    assert evaluator.splits == ("dev", "test")
