"""Clustering: scikit-learn's V-measure of its own clusters."""

import numpy
import pytest

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.classification import clustering_evaluator
from embexp.evaluation.scores import compare
from embexp.models.encoding import ModelEncoder

NAMES = ("bank", "river", "sky")
ARGUMENTS = {"runs": 3, "batch_size": 500, "seed": 42, "resamples": 50}
TEXTS = [f"{place} {NAMES[place % 3]}" for place in range(90)]
ROWS = {"text": TEXTS, "label": [place % 3 for place in range(90)]}


class NoisyEncoder:
    """Vectors about the mean of the class that a text names."""

    def __init__(self, noise):
        self.noise = noise

    def encode(self, texts, prompt=None):
        return numpy.stack([self.vector(text) for text in texts]).astype("float32")

    def vector(self, text):
        number, _, name = text.partition(" ")
        random = numpy.random.default_rng(int(number))
        return numpy.eye(3)[NAMES.index(name)] + self.noise * random.normal(size=3)


def evaluator_of(rows=ROWS, label_names=NAMES, **changes):
    dataset = dataset_of("toy", "labelled_text", {"test": rows}, label_names=label_names)
    return clustering_evaluator("clustering", dataset, **{**ARGUMENTS, **changes})


def test_clusters_that_are_the_classes_have_v_measure_1():
    scores = evaluator_of(runs=1).score(NoisyEncoder(0.01), "test")
    assert scores.metrics == {"v_measure": pytest.approx(1)}
    assert len(set(zip(scores.predicted["cluster"], scores.examples["gold"], strict=True))) == 3
    assert [*scores.examples] == ["id", "text", "label", "gold"]


@pytest.mark.parametrize(("runs", "batch_size", "seed"), [(1, 500, 42), (4, 20, 1)])
def test_the_v_measure_is_the_mean_of_scikit_learn_s_over_the_runs(runs, batch_size, seed):
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    encoder = NoisyEncoder(0.4)
    metrics = evaluator_of(runs=runs, batch_size=batch_size, seed=seed).score(encoder, "test").metrics
    expected = [
        v_measure_score(
            ROWS["label"],
            MiniBatchKMeans(3, n_init="auto", batch_size=batch_size, random_state=seed + run)
            .fit(encoder.encode(TEXTS))
            .labels_,
        )
        for run in range(runs)
    ]
    assert len(set(expected)) == min(runs, 2)
    assert metrics["v_measure"] == pytest.approx(numpy.mean(expected), abs=1e-9)
    assert 0.2 < metrics["v_measure"] < 0.9


def test_examples_keep_the_cluster_of_every_run_and_come_back_from_a_table():
    import pyarrow

    found = evaluator_of(runs=3).score(NoisyEncoder(0.4), "test").predicted["cluster"]
    assert found.shape == (90,)
    kept = pyarrow.table({"cluster": found})["cluster"]
    assert kept.to_pylist() == [clusters.tolist() for clusters in found]
    assert {len(clusters) for clusters in found} == {3}


def test_there_are_as_many_clusters_as_classes_in_the_split():
    rows = {"text": TEXTS[:6], "label": [0, 2, 0, 2, 0, 2]}
    assert set(evaluator_of(rows, runs=1).score(NoisyEncoder(0.5), "test").predicted["cluster"]) == {0, 1}


def test_one_model_clustered_from_other_starts_is_no_better_or_worse():
    """With the start left out of the interval, most of these would be a difference."""
    rows = {
        "text": [f"{place} {NAMES[place % 3]}" for place in range(900)],
        "label": [place % 3 for place in range(900)],
    }
    encoder = NoisyEncoder(0.8)
    verdicts = {
        runs: [
            compare(
                *(evaluator_of(rows, runs=runs, batch_size=100, seed=seed).score(encoder, "test") for seed in seeds),
                200,
            )[0].verdict
            for seeds in ((start, start + 50) for start in range(0, 1000, 100))
        ]
        for runs in (1, 20)
    }
    decided = {runs: sum(each in ("better", "worse") for each in found) for runs, found in verdicts.items()}
    assert decided[20] <= 1
    assert decided[1] >= 3


def test_embeddings_that_are_all_the_same_have_v_measure_0():
    class Collapsed:
        def encode(self, texts, prompt=None):
            return numpy.ones((len(texts), 4), dtype="float32")

    assert evaluator_of().score(Collapsed(), "test").metrics["v_measure"] == pytest.approx(0, abs=1e-9)


def test_the_v_measure_decides_and_has_an_interval_around_its_difference():
    evaluator = evaluator_of()
    assert evaluator.primary_metric == "v_measure"
    assert evaluator.headline_metrics == evaluator.metric_names == ("v_measure",)
    assert evaluator.positives("test").first == []
    (difference,) = compare(*(evaluator.score(NoisyEncoder(noise), "test") for noise in (0.8, 0.1)), 50)
    assert 0 < difference.low < difference.value < difference.high
    assert difference.verdict == "better"


def test_rows_not_seen_in_training_have_a_v_measure_of_their_own():
    from sklearn.metrics import v_measure_score

    scores = evaluator_of(runs=1, leaked={"test": numpy.arange(90) < 30}).score(NoisyEncoder(0.4), "test")
    expected = v_measure_score(ROWS["label"][30:], scores.predicted["cluster"][30:])
    assert scores.metrics["v_measure_no_leaks"] == pytest.approx(expected)


def test_a_single_class_is_refused():
    with pytest.raises(DataError, match=r"toy/test has rows of 1 class\. Expected two"):
        evaluator_of({"text": TEXTS[:3], "label": [0, 0, 0]})


def test_all_invalid_arguments_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        evaluator_of(runs=0, batch_size=0, seed=-1)
    assert [*map(str, error.value.problems)] == [
        "evaluator.clustering.runs=0 was given. Expected a whole number of at least 1.\n"
        "hint: type evaluator.clustering.runs=20",
        "evaluator.clustering.batch_size=0 was given. Expected a whole number of at least 1.\n"
        "hint: type evaluator.clustering.batch_size=500",
        "evaluator.clustering.seed=-1 was given. Expected a whole number of at least 0.\n"
        "hint: type evaluator.clustering.seed=42",
    ]


@pytest.mark.slow
def test_minilm_on_trec_equals_scikit_learn_on_its_vectors(real_data):
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    from embexp.config.compose import compose, instantiate, resolve
    from embexp.experiment.datasets import builder_of

    overrides = ["dataset=trec", "evaluator=[clustering]", f"paths.data={real_data}", "paths.cache=null"]
    config = resolve(compose(overrides))
    dataset = builder_of(config).read(config["dataset"], "trec", "labelled_text")
    model = instantiate(config["model"]).load(list, None)
    call = {key: value for key, value in config["evaluator"]["clustering"].items() if key != "dataset"}
    encoder = ModelEncoder(model)
    metrics = instantiate(call, name="trec", dataset=dataset).score(encoder, "test").metrics
    rows = dataset.splits["test"].to_pandas()
    vectors = encoder.encode([*rows.text])
    expected = [
        v_measure_score(rows.label, MiniBatchKMeans(6, batch_size=500, random_state=seed).fit_predict(vectors))
        for seed in range(42, 62)
    ]
    assert metrics["v_measure"] == pytest.approx(numpy.mean(expected), abs=1e-6)
    assert metrics["v_measure"] > 0.2
