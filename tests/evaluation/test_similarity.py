"""Similarity metrics: the same numbers as sentence-transformers, and numbers one can check by hand."""

import random

import numpy
import pytest

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.example_evaluator import ExampleEvaluator
from embexp.evaluation.scores import compare
from embexp.evaluation.similarity import FUNCTIONS, cosine, similarity_evaluator
from embexp.models.encoding import ModelEncoder
from embexp.steps.prompting import set_prompts

ALL = ["cosine", "dot", "euclidean", "manhattan"]
PAIRS = {"sentence1": ["x", "x", "x"], "sentence2": ["x", "xy", "y"], "score": [1.0, 0.5, 0.0]}


class ToyEncoder:
    """Vectors in the plane that one can compute with."""

    vectors = {"x": (1, 0), "y": (0, 1), "xy": (1, 1), "nothing": (0, 0)}  # noqa: RUF012

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], str | None]] = []

    def encode(self, texts, prompt=None):
        self.calls.append((list(texts), prompt))
        return numpy.array([self.vectors[text] for text in texts], dtype="float32")


def evaluator_of(columns, similarity=ALL, split="dev") -> ExampleEvaluator:
    return similarity_evaluator("sts", dataset_of("toy", "scored_pair", {split: columns}), similarity, resamples=50)


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
    assert scores.examples["id"] == ["test-0", "test-1", "test-2"]
    assert (scores.examples["sentence1"], scores.examples["sentence2"]) == (["x", "x", "x"], ["x", "xy", "y"])
    assert scores.examples["gold"].tolist() == [1.0, 0.5, 0.0]


def with_prompts(rows=PAIRS, **prompts):
    dataset = dataset_of("toy", "scored_pair", {"dev": rows})
    return similarity_evaluator(
        "sts", set_prompts(dataset, {"q": "Q: ", "d": "D: "}, **prompts), ["cosine"], resamples=50
    )


FIRST, SECOND = PAIRS["sentence1"], PAIRS["sentence2"]


@pytest.mark.parametrize(
    ("evaluator", "calls"),
    [
        (evaluator_of(PAIRS), [(FIRST + SECOND, None)]),  # the model's own default
        (with_prompts(default="q"), [(FIRST + SECOND, "Q: ")]),
        (with_prompts(columns={"sentence1": "q"}), [(FIRST, "Q: "), (SECOND, "")]),
        (with_prompts(columns={"query": "q", "positives": "d"}), [(FIRST, "Q: "), (SECOND, "D: ")]),
    ],
    ids=["none", "same", "first", "both"],
)
def test_each_column_is_encoded_after_the_prompt_of_its_data_set(evaluator, calls):
    encoder = ToyEncoder()
    scores = evaluator.score(encoder, "dev")
    assert encoder.calls == calls
    assert scores.predicted["cosine"] == pytest.approx([1, 0.5**0.5, 0])


def test_prompts_of_rows_are_in_the_texts_that_are_encoded():
    rows = {"sentence1": ["a", "b"], "sentence2": ["a", "b"], "score": [0.1, 0.9], "prompt": ["R: ", None]}
    scores_of = with_prompts(rows, columns={"sentence1": "q", "sentence2": "d"}).score
    encoder = ToyEncoder()
    encoder.vectors = {"R: a": (1, 0), "Q: b": (1, 1), "a": (0, 1), "b": (1, 1)}
    assert scores_of(encoder, "dev").predicted["cosine"] == pytest.approx([0, 1])
    assert encoder.calls == [(["R: a", "Q: b"], ""), (["a", "b"], "D: ")]


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
    trained.predicted["dot"][:] = trained.examples["gold"]
    trained.metrics["spearman_dot"] = trained.metrics["pearson_dot"] = 1.0
    differences = {difference.metric: difference for difference in compare(base, trained, evaluator.resamples)}
    assert set(differences) == set(evaluator.metric_names)
    assert (differences["spearman_cosine"].low, differences["spearman_cosine"].high) == (0, 0)
    assert differences["spearman_cosine"].verdict == "equal within 0.005"
    assert differences["spearman_dot"].value == pytest.approx(1 - 3**0.5 / 2)
    assert 0 < differences["spearman_dot"].low < differences["spearman_dot"].value < differences["spearman_dot"].high
    assert differences["spearman_dot"].verdict == "better"


def test_an_unknown_function_is_refused_with_the_nearest_known_one():
    with pytest.raises(
        ConfigError,
        match=r"=\[dot,cosin\] was given\. Expected a list, each of it one of: cosine, .*Did you mean 'cosine'",
    ):
        evaluator_of(PAIRS, ["dot", "cosin"])


def test_data_without_dev_and_test_are_refused():
    with pytest.raises(DataError, match=r"reads toy, which has neither a dev nor a test split \(it has: train\)"):
        evaluator_of(PAIRS, split="train")


def test_constant_gold_scores_are_refused():
    with pytest.raises(DataError, match="All gold scores of toy/test are equal"):
        evaluator_of(PAIRS | {"score": [0.5, 0.5, 0.5]}, split="test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("dev", {"spearman": 0.86717, "pearson": 0.86962}),
        pytest.param("test", {"spearman": 0.82032}, marks=pytest.mark.matrix),  # see tests/test_published_numbers.py
    ],
)
def test_the_untouched_minilm_has_its_published_scores_on_the_sts_benchmark(real_data, split, expected):
    from embexp.config.compose import compose, instantiate, resolve
    from embexp.experiment.datasets import builder_of

    config = resolve(compose(["dataset=stsb", f"paths.data={real_data}", "paths.cache=null"]))
    dataset = builder_of(config).read(config["dataset"], "stsb", "scored_pair")
    model = instantiate(config["model"]).load(list, None)
    metrics = similarity_evaluator("stsb", dataset, ["cosine"], resamples=40).score(ModelEncoder(model), split).metrics
    assert {name: metrics[f"{name}_cosine"] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_the_four_functions_are_known_by_their_names():
    assert list(FUNCTIONS) == ALL


def test_rows_seen_in_training_are_left_out_of_a_second_metric():
    rows = {key: [*values, values[0]] for key, values in PAIRS.items()} | {"score": [1.0, 0.5, 0.0, 0.0]}
    dataset = dataset_of("toy", "scored_pair", {"dev": rows})
    leaked = {"dev": numpy.array([False, False, False, True])}  # the row with a wrong score
    evaluator = similarity_evaluator("sts", dataset, ["cosine", "dot"], resamples=50, leaked=leaked)
    metrics = evaluator.score(ToyEncoder(), "dev").metrics
    assert list(metrics) == list(evaluator.metric_names)
    assert metrics["spearman_cosine_no_leaks"] == pytest.approx(1)
    assert metrics["spearman_cosine"] < 0.6
    assert evaluator.headline_metrics == ("spearman_cosine", "pearson_cosine", "spearman_cosine_no_leaks")
    scores = evaluator.score(ToyEncoder(), "dev")
    assert [difference.metric for difference in compare(scores, scores, 50)] == list(metrics)


@pytest.mark.parametrize("leaked", [[False, False, False], [True, True, True], [True, True, False]])
def test_without_leaks_or_without_anything_else_there_is_no_second_metric(leaked):
    dataset = dataset_of("toy", "scored_pair", {"dev": PAIRS})
    evaluator = similarity_evaluator("sts", dataset, ["cosine"], resamples=50, leaked={"dev": numpy.array(leaked)})
    assert evaluator.metric_names == ("spearman_cosine", "pearson_cosine")
