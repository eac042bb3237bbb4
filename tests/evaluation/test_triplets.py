"""Triplets: the same accuracies as sentence-transformers, and margins one can check by hand."""

import random

import numpy
import pytest

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.scores import compare
from embexp.evaluation.similarity import _TripletTask, triplet_evaluator
from embexp.models.encoding import ModelEncoder
from embexp.steps.prompting import set_prompts

ALL = ["cosine", "dot", "euclidean", "manhattan"]
VECTORS = {"x": (1, 0), "y": (0, 1), "xy": (1, 1), "-x": (-1, 0), "xxx": (3, 0)}
ROWS = {
    "anchor": ["x", "x", "x", "x"],
    "positive": ["x", "y", "xy", "xy"],
    "negative_1": ["y", "xy", "y", "xy"],
    "negative_2": ["xy", "-x", "-x", "y"],
}


class PlaneEncoder:
    def __init__(self):
        self.calls = []

    def encode(self, texts, prompt=None):
        self.calls.append((list(texts), prompt))
        return numpy.array([VECTORS[text] for text in texts], dtype="float32")


def evaluator_of(columns=ROWS, similarity=ALL, split="dev", **options):
    dataset = dataset_of("toy", "triplet", {split: columns})
    return triplet_evaluator("triplet", dataset, similarity, **{"resamples": 50, **options})


def test_a_row_is_right_when_its_positive_is_more_similar_than_every_negative():
    scores = evaluator_of().score(PlaneEncoder(), "dev")
    assert scores.predicted["right_cosine"].tolist() == [1, 0, 1, 0]  # the last one is a tie
    assert scores.predicted["right_dot"].tolist() == [0, 0, 1, 0]
    assert scores.metrics["accuracy_cosine"] == 0.5
    assert scores.metrics["accuracy_dot"] == 0.25


def test_the_margin_is_that_over_the_most_similar_negative():
    scores = evaluator_of(similarity=["dot"]).score(PlaneEncoder(), "dev")
    half = 0.5**0.5
    assert scores.predicted["margin_cosine"] == pytest.approx([1 - half, -half, half, 0])
    assert scores.metrics["margin_cosine"] == pytest.approx((1 - half) / 4)
    assert [*scores.metrics] == ["accuracy_dot", "margin_cosine"]


def test_negatives_count_however_many_there_are_and_in_the_order_of_their_numbers():
    columns = {"anchor": ["x"], "positive": ["xy"]} | {f"negative_{number}": ["y"] for number in range(1, 12)}
    assert evaluator_of(columns).score(PlaneEncoder(), "dev").metrics["accuracy_cosine"] == 1
    scores = evaluator_of(columns | {"negative_11": ["x"]}).score(PlaneEncoder(), "dev")
    assert scores.metrics["accuracy_cosine"] == 0
    assert [*scores.examples] == ["id", "anchor", "positive", *(f"negative_{number}" for number in range(1, 12))]


def test_the_first_function_gives_the_headline():
    evaluator = evaluator_of(similarity=["manhattan", "cosine"])
    assert evaluator.primary_metric == "accuracy_manhattan"
    assert evaluator.headline_metrics == ("accuracy_manhattan", "margin_cosine")


def test_anchors_take_the_prompt_of_queries_and_all_others_that_of_documents():
    dataset = set_prompts(
        dataset_of("toy", "triplet", {"dev": ROWS}),
        {"q": "Q: ", "d": "D: "},
        columns={"anchor": "q", "positive": "d"},
    )
    evaluator = triplet_evaluator("triplet", dataset, ["cosine"], resamples=50)
    encoder = PlaneEncoder()
    assert evaluator.score(encoder, "dev").predicted["right_cosine"].tolist() == [1, 0, 1, 0]
    assert {prompt: len(texts) for texts, prompt in encoder.calls} == {"Q: ": 4, "D: ": 12}


def test_anchor_and_positive_mean_the_same():
    positives = evaluator_of().positives("dev")
    assert [*zip(positives.first, positives.second, strict=True)] == [("x", "x"), ("x", "y"), ("x", "xy"), ("x", "xy")]
    dataset = set_prompts(dataset_of("toy", "triplet", {"dev": ROWS}), {"q": "Q: "}, columns={"anchor": "q"})
    assert triplet_evaluator("triplet", dataset, ["cosine"], resamples=50).positives("dev").prompts == ("Q: ", "")


def test_accuracies_equal_those_of_sentence_transformers(tmp_path):
    import torch
    from sentence_transformers.sentence_transformer.evaluation import TripletEvaluator

    from embexp.models.scratch import ScratchModel

    draw = random.Random(1)
    words = ["bank", "market", "rate", "stock", "rose", "fell", "sharply", "today"]
    texts = [f"{' '.join(draw.choices(words, k=draw.randint(1, 6)))} {place}" for place in range(150)]
    columns = {"anchor": texts[:50], "positive": texts[50:100], "negative_1": texts[100:]}
    torch.manual_seed(1)
    model = ScratchModel(2, 32, 2, vocabulary_size=200, max_seq_length=16).load(lambda: texts, tmp_path)
    theirs = TripletEvaluator(*columns.values(), similarity_fn_names=ALL, write_csv=False)(model)
    metrics = evaluator_of(columns).score(ModelEncoder(model), "dev").metrics
    ours = {function: metrics[f"accuracy_{function}"] for function in ALL}
    assert ours == pytest.approx({function: theirs[f"{function}_accuracy"] for function in ALL}, abs=1e-6)
    assert len(set(ours.values())) > 1
    assert 0.2 < ours["cosine"] < 0.8


def test_both_metrics_have_an_interval_around_their_difference():
    evaluator = evaluator_of({key: values * 5 for key, values in ROWS.items()})
    base, trained = (evaluator.score(PlaneEncoder(), "dev") for _ in range(2))
    trained.predicted["right_cosine"][:] = 1
    trained.metrics["accuracy_cosine"] = 1.0
    differences = {difference.metric: difference for difference in compare(base, trained, 200)}
    assert 0 < differences["accuracy_cosine"].low < 0.5 < differences["accuracy_cosine"].high < 1
    assert differences["margin_cosine"].verdict == "equal within 0.01"


def test_a_split_without_rows_is_refused():
    rows = dataset_of("toy", "triplet", {"dev": ROWS}).splits["dev"].select([])
    with pytest.raises(DataError, match=r"toy/test has no rows\. Expected at least one triplet"):
        _TripletTask(["cosine"]).check(rows, "toy/test")


def test_an_unknown_function_is_refused():
    with pytest.raises(ConfigError, match=r"evaluator\.triplet\.similarity=\[cos\] was given"):
        evaluator_of(similarity=["cos"])
