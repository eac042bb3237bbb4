"""Binary decisions: the same numbers as sentence-transformers, and thresholds that a person can use."""

import random

import numpy
import pytest

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.scores import compare
from embexp.evaluation.similarity import binary_evaluator, thresholds_of
from embexp.models.encoding import ModelEncoder

ALL = ["cosine", "dot", "euclidean", "manhattan"]
VECTORS = {"x": (1, 0), "xxy": (2, 1), "xy": (1, 1), "xyy": (1, 2), "y": (0, 1)}
PAIRS = {"sentence1": ["x"] * 4, "sentence2": ["x", "xxy", "xy", "y"], "label": [1, 0, 1, 0]}


class PlaneEncoder:
    def encode(self, texts, prompt=None):
        return numpy.array([VECTORS[text] for text in texts], dtype="float32")


def evaluator_of(columns=PAIRS, similarity=ALL, split="dev", **options):
    dataset = dataset_of("toy", "binary_pair", {split: columns})
    return binary_evaluator("binary", dataset, similarity, **{"resamples": 50, **options})


def test_metrics_in_the_plane():
    metrics = evaluator_of().score(PlaneEncoder(), "dev").metrics
    assert metrics["ap_cosine"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["roc_auc_cosine"] == pytest.approx(3 / 4)
    assert metrics["accuracy_cosine"] == pytest.approx(3 / 4)
    assert metrics["f1_cosine"] == pytest.approx(4 / 5)
    # dot: 1, 2, 1, 0 for labels 1, 0, 1, 0
    assert metrics["ap_dot"] == pytest.approx(2 / 3)
    assert metrics["roc_auc_dot"] == pytest.approx(1 / 2)


def test_the_first_function_gives_the_headline():
    evaluator = evaluator_of(similarity=["dot", "cosine"])
    assert evaluator.primary_metric == "ap_dot"
    assert evaluator.headline_metrics == ("ap_dot", "accuracy_dot", "f1_dot")
    assert len(evaluator.metric_names) == 8


def test_examples_keep_texts_labels_and_similarities():
    scores = evaluator_of(similarity=["euclidean"]).score(PlaneEncoder(), "dev")
    assert [*scores.examples] == ["id", "sentence1", "sentence2", "gold"]
    assert scores.examples["gold"].tolist() == [1, 0, 1, 0]
    assert scores.predicted["euclidean"] == pytest.approx([0, -(2**0.5), -1, -(2**0.5)])


def test_pairs_of_label_1_mean_the_same():
    positives = evaluator_of().positives("dev")
    assert (positives.first, positives.second) == (["x", "x"], ["x", "xy"])


def test_thresholds_lie_between_the_similarities_and_are_no_metrics():
    evaluator = evaluator_of(similarity=["cosine"], leaked={"dev": numpy.array([True, False, False, False])})
    scores = evaluator.score(PlaneEncoder(), "dev")
    assert "ap_cosine_no_leaks" in scores.metrics
    between = (2 / 5**0.5 + 1) / 2
    assert thresholds_of(scores) == pytest.approx(
        {"accuracy_threshold_cosine": between, "f1_threshold_cosine": (2**-0.5 + 0) / 2}
    )
    assert not [metric for metric in scores.metrics if "threshold" in metric]


def test_thresholds_of_other_forms_are_given_too():
    scores = evaluator_of(similarity=["cosine"], dimensions=[2]).score(PlaneEncoder(), "dev")
    assert {"f1_threshold_cosine", "f1_threshold_cosine_dim2"} <= set(thresholds_of(scores))


def model_and_pairs(folder, number=60):
    """A tiny model with random weights, and pairs whose similarities are all different."""
    import torch

    from embexp.models.scratch import ScratchModel

    draw = random.Random(1)
    words = ["bank", "market", "rate", "stock", "rose", "fell", "sharply", "today"]
    texts = [f"{' '.join(draw.choices(words, k=draw.randint(1, 6)))} {place}" for place in range(2 * number)]
    columns = {
        "sentence1": texts[:number],
        "sentence2": texts[number:],
        "label": [draw.choice([0, 1]) for _ in range(number)],
    }
    torch.manual_seed(1)
    return ScratchModel(2, 32, 2, vocabulary_size=200, max_seq_length=16).load(lambda: texts, folder), columns


def test_metrics_and_thresholds_equal_those_of_sentence_transformers(tmp_path):
    from sentence_transformers.sentence_transformer.evaluation import BinaryClassificationEvaluator

    model, columns = model_and_pairs(tmp_path)
    theirs = BinaryClassificationEvaluator(*columns.values(), similarity_fn_names=ALL, write_csv=False)(model)
    scores = evaluator_of(columns).score(ModelEncoder(model), "dev")
    ours = {name: value for name, value in scores.metrics.items() if not name.startswith("roc_auc")}
    assert all(len(set(scores.predicted[function])) == 60 for function in ALL)
    assert len(ours) == 12
    swapped = {
        f"{metric}_{function}": f"{function}_{metric}" for metric in ("ap", "accuracy", "f1") for function in ALL
    }
    assert ours == pytest.approx({name: theirs[swapped[name]] for name in ours}, abs=1e-6)
    found = thresholds_of(scores)
    assert len(found) == 8
    for name, value in found.items():
        metric, _, function = name.rpartition("_")
        sign = -1 if function in ("euclidean", "manhattan") else 1  # theirs are distances
        assert sign * value == pytest.approx(theirs[f"{function}_{metric}"], abs=1e-5)


def test_roc_auc_equals_that_of_scikit_learn(tmp_path):
    from sklearn.metrics import roc_auc_score

    model, columns = model_and_pairs(tmp_path)
    scores = evaluator_of(columns).score(ModelEncoder(model), "dev")
    first, second = (model.encode(columns[column]).astype(float) for column in ("sentence1", "sentence2"))
    expected = {"dot": (first * second).sum(axis=1), "manhattan": -numpy.abs(first - second).sum(axis=1)}
    for function, similarities in expected.items():
        assert scores.metrics[f"roc_auc_{function}"] == pytest.approx(roc_auc_score(columns["label"], similarities))


def test_every_metric_has_an_interval_around_its_difference(tmp_path):
    model, columns = model_and_pairs(tmp_path)
    evaluator = evaluator_of(columns)
    base, trained = (evaluator.score(ModelEncoder(model), "dev") for _ in range(2))
    trained.predicted["cosine"][:] = trained.examples["gold"]
    trained.metrics.update(dict.fromkeys(["ap_cosine", "accuracy_cosine", "f1_cosine", "roc_auc_cosine"], 1.0))
    differences = {difference.metric: difference for difference in compare(base, trained, 50)}
    assert set(differences) == set(evaluator.metric_names)
    assert differences["ap_dot"].verdict == "equal within 0.005"
    for metric in ("ap_cosine", "accuracy_cosine", "f1_cosine", "roc_auc_cosine"):
        assert 0 < differences[metric].low < differences[metric].value < differences[metric].high


@pytest.mark.parametrize(("labels", "missing"), [([1, 1, 1, 1], "0"), ([0, 0, 0, 0], "1")])
def test_labels_that_are_all_the_same_are_refused(labels, missing):
    with pytest.raises(DataError, match=rf"toy/dev has no pair of label {missing}\. Expected pairs of label 1 and"):
        evaluator_of(PAIRS | {"label": labels})


def test_an_unknown_function_is_refused_with_the_nearest_known_one():
    with pytest.raises(
        ConfigError, match=r"evaluator\.binary\.similarity=\[cosin\] was given\.(.|\n)*Did you mean 'cosine'"
    ):
        evaluator_of(similarity=["cosin"])


@pytest.mark.slow
def test_minilm_on_mrpc_equals_sentence_transformers(real_data):
    from sentence_transformers.sentence_transformer.evaluation import BinaryClassificationEvaluator

    from embexp.config.compose import compose, instantiate, resolve
    from embexp.experiment.datasets import builder_of

    config = resolve(compose(["dataset=mrpc", f"paths.data={real_data}", "paths.cache=null"]))
    dataset = builder_of(config).read(config["dataset"], "mrpc", "binary_pair")
    model = instantiate(config["model"]).load(list, None)
    rows = dataset.splits["test"].select(range(500))
    columns = {column: rows[column][:] for column in ("sentence1", "sentence2", "label")}
    theirs = BinaryClassificationEvaluator(*columns.values(), similarity_fn_names=["cosine"], write_csv=False)(model)
    metrics = evaluator_of(columns, ["cosine"], "test").score(ModelEncoder(model), "test").metrics
    for metric in ("ap", "accuracy", "f1"):
        assert metrics[f"{metric}_cosine"] == pytest.approx(theirs[f"cosine_{metric}"], abs=1e-6)
