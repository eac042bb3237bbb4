"""Similarity metrics: the same numbers as sentence-transformers, and numbers one can check by hand."""

import random

import numpy
import pytest

from embexp.data.checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.similarity import FUNCTIONS, SimilarityEvaluator, cosine
from embexp.models.encoding import ModelEncoder

ALL = ["cosine", "dot", "euclidean", "manhattan"]
PAIRS = {"sentence1": ["x", "x", "x"], "sentence2": ["x", "xy", "y"], "score": [1.0, 0.5, 0.0]}


class ToyEncoder:
    """Vectors in the plane that one can compute with."""

    vectors = {"x": (1, 0), "y": (0, 1), "xy": (1, 1), "nothing": (0, 0)}  # noqa: RUF012

    def encode(self, texts):
        return numpy.array([self.vectors[text] for text in texts], dtype="float32")


def evaluator_of(columns, similarity=ALL, split="dev") -> SimilarityEvaluator:
    return SimilarityEvaluator("sts", dataset_of("toy", "scored_pair", {split: columns}), similarity, 50)


def test_similarities_in_the_plane():
    scores = evaluator_of(PAIRS).score(ToyEncoder(), "dev")
    assert scores.predicted["cosine"] == pytest.approx([1, 0.5**0.5, 0])
    assert scores.predicted["dot"] == pytest.approx([1, 1, 0])
    assert scores.predicted["euclidean"] == pytest.approx([0, -1, -(2**0.5)])
    assert scores.predicted["manhattan"] == pytest.approx([0, -1, -2])


def test_correlations_in_the_plane():
    metrics = evaluator_of(PAIRS).score(ToyEncoder(), "dev").metrics
    assert metrics["spearman_cosine"] == metrics["spearman_euclidean"] == pytest.approx(1)
    assert metrics["pearson_manhattan"] == pytest.approx(1)
    # dot: ranks 2.5, 2.5, 1 against 3, 2, 1
    assert metrics["spearman_dot"] == pytest.approx(3**0.5 / 2)
    assert metrics["pearson_dot"] == pytest.approx(3**0.5 / 2)


def test_scores_keep_split_texts_and_gold():
    scores = evaluator_of(PAIRS, ["dot"], "test").score(ToyEncoder(), "test")
    assert scores.split == "test"
    assert scores.texts == (["x", "x", "x"], ["x", "xy", "y"])
    assert scores.gold.tolist() == [1.0, 0.5, 0.0]


def test_the_cosine_with_a_zero_vector_is_zero():
    vectors = ToyEncoder().encode(["nothing", "nothing", "x"])
    assert cosine(vectors, ToyEncoder().encode(["x", "nothing", "x"])).tolist() == [0, 0, 1]


def test_the_first_function_gives_the_primary_metric():
    evaluator = evaluator_of(PAIRS, ["manhattan", "cosine"])
    assert evaluator.primary_metric == "spearman_manhattan"
    assert evaluator.headline_metrics == ("spearman_manhattan", "pearson_manhattan")
    assert set(evaluator.metric_names) == set(evaluator.score(ToyEncoder(), "dev").metrics)


def test_all_eight_metrics_equal_those_of_sentence_transformers(tmp_path):
    import torch
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    from embexp.models.scratch import ScratchModel

    draw = random.Random(1)
    words = ["bank", "market", "rate", "stock", "rose", "fell", "sharply", "today"]
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(80)]
    columns = {
        "sentence1": texts[:40],
        "sentence2": texts[40:],
        "score": [draw.choice([0, 0.25, 0.5, 0.75, 1.0]) for _ in range(40)],
    }
    torch.manual_seed(1)
    model = ScratchModel(2, 32, 2, vocabulary_size=100, max_seq_length=16).load(lambda: texts, tmp_path)
    theirs = EmbeddingSimilarityEvaluator(
        columns["sentence1"], columns["sentence2"], columns["score"], similarity_fn_names=ALL, write_csv=False
    )(model)
    ours = evaluator_of(columns).score(ModelEncoder(model), "dev").metrics
    assert len(ours) == 8
    assert ours == pytest.approx({metric: theirs[metric] for metric in ours}, abs=1e-6)


def test_every_metric_is_compared_with_an_interval_around_its_difference():
    evaluator = evaluator_of({key: values * 5 for key, values in PAIRS.items()})
    base, trained = (evaluator.score(ToyEncoder(), "dev") for _ in range(2))
    trained.predicted["dot"][:] = trained.gold
    trained.metrics["spearman_dot"] = trained.metrics["pearson_dot"] = 1.0
    differences = {difference.metric: difference for difference in evaluator.compare(base, trained)}
    assert set(differences) == set(evaluator.metric_names)
    assert (differences["spearman_cosine"].low, differences["spearman_cosine"].high) == (0, 0)
    assert differences["spearman_cosine"].verdict == "no difference"
    assert differences["spearman_dot"].value == pytest.approx(1 - 3**0.5 / 2)
    assert 0 < differences["spearman_dot"].low < differences["spearman_dot"].value < differences["spearman_dot"].high
    assert differences["spearman_dot"].verdict == "better"


def test_an_unknown_function_is_refused_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"names 'cosin'\. Expected some of: cosine, .*Did you mean 'cosine'"):
        evaluator_of(PAIRS, ["dot", "cosin"])


def test_data_without_dev_and_test_are_refused():
    with pytest.raises(DataError, match=r"reads toy, which has neither a dev nor a test split \(it has: train\)"):
        evaluator_of(PAIRS, split="train")


def test_constant_gold_scores_are_refused():
    with pytest.raises(DataError, match="All gold scores of toy/test are equal"):
        evaluator_of(PAIRS | {"score": [0.5, 0.5, 0.5]}, split="test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "expected"), [("dev", {"spearman": 0.86717, "pearson": 0.86962}), ("test", {"spearman": 0.82032})]
)
def test_the_untouched_minilm_has_its_published_scores_on_the_sts_benchmark(real_data, split, expected):
    from embexp.config import compose, instantiate
    from embexp.plan import read_dataset, resolve

    config = resolve(compose(["dataset=stsb", f"paths.data={real_data}"]))
    dataset = read_dataset(config["dataset"], "stsb", "scored_pair")
    model = instantiate(config["model"]).load(list, None)
    metrics = SimilarityEvaluator("stsb", dataset, ["cosine"], 1).score(ModelEncoder(model), split).metrics
    assert {name: metrics[f"{name}_cosine"] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_the_four_functions_are_known_by_their_names():
    assert list(FUNCTIONS) == ALL
