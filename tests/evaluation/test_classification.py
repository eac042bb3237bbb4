"""Classification: the predictions of scikit-learn on the same folds, and what cannot be folded is refused."""

import logging
from dataclasses import replace

import numpy
import pytest

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.classification import classification_evaluator
from embexp.evaluation.scores import compare
from embexp.models.encoding import ModelEncoder
from embexp.steps.prompting import set_prompts

NAMES = ("bank", "river", "sky")
DIM = 8
ARGUMENTS = {
    "fit_on": "folds",
    "folds": 5,
    "samples_per_label": None,
    "inverse_regularisation": 1.0,
    "max_iter": 1000,
    "seed": 42,
    "resamples": 50,
}


class NoisyEncoder:
    """Vectors about the mean of the class that a text names, all `scale` times as long."""

    def __init__(self, scale=1.0, noise=1.0):
        self.scale, self.noise = scale, noise
        self.calls = []

    def encode(self, texts, prompt=None):
        self.calls.append((list(texts), prompt))
        return numpy.stack([self.vector(text) for text in texts]).astype("float32")

    def vector(self, text):
        number, _, name = text.partition(" ")
        random = numpy.random.default_rng(int(number))
        return self.scale * (numpy.eye(DIM)[NAMES.index(name)] + self.noise * random.normal(size=DIM))


def rows_of(sizes, start=0):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    order = numpy.random.default_rng(len(labels)).permutation(len(labels))
    labels = [labels[place] for place in order]
    return {"text": [f"{start + place} {NAMES[label]}" for place, label in enumerate(labels)], "label": labels}


def dataset_with(label_names=NAMES, **splits):
    return dataset_of("toy", "labelled_text", splits, label_names=label_names)


def evaluator_of(dataset, **changes):
    return classification_evaluator("classification", dataset, **{**ARGUMENTS, **changes})


TEST = rows_of([40, 30, 20])
TRAIN = rows_of([60, 50, 12], start=1000)


def scaled(vectors):
    vectors = vectors.astype(float)
    return vectors / numpy.linalg.norm(vectors, axis=1).mean()


def test_the_predictions_are_those_of_scikit_learn_on_the_same_folds():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    scores = evaluator_of(dataset_with(test=TEST), folds=4, seed=7, inverse_regularisation=0.5).score(
        NoisyEncoder(), "test"
    )
    expected = cross_val_predict(
        LogisticRegression(C=0.5, max_iter=1000),
        scaled(NoisyEncoder().encode(TEST["text"])),
        TEST["label"],
        cv=StratifiedKFold(4, shuffle=True, random_state=7),
    )
    assert scores.predicted["class"].tolist() == expected.tolist()
    assert scores.metrics["accuracy"] == pytest.approx(accuracy_score(TEST["label"], expected))
    assert scores.metrics["macro_f1"] == pytest.approx(f1_score(TEST["label"], expected, average="macro"))
    assert 0.4 < scores.metrics["accuracy"] < 0.9


def test_examples_keep_texts_classes_and_their_names():
    scores = evaluator_of(dataset_with(test=TEST)).score(NoisyEncoder(), "test")
    assert [*scores.examples] == ["id", "text", "label", "gold"]
    assert scores.examples["label"][:2] == [text.partition(" ")[2] for text in TEST["text"][:2]]
    assert scores.examples["gold"].tolist() == TEST["label"]
    assert scores.predicted["right"].tolist() == (scores.predicted["class"] == TEST["label"]).tolist()


def test_classes_without_names_are_numbers():
    scores = evaluator_of(dataset_with((), test=TEST)).score(NoisyEncoder(), "test")
    assert [*scores.examples] == ["id", "text", "gold"]


def test_accuracy_decides_and_macro_f1_is_shown_with_it():
    evaluator = evaluator_of(dataset_with(dev=TEST, test=TEST))
    assert evaluator.splits == ("dev", "test")
    assert evaluator.primary_metric == "accuracy"
    assert evaluator.headline_metrics == ("accuracy", "macro_f1")
    assert evaluator.positives("dev").first == []


def test_the_scale_of_the_embeddings_does_not_matter():
    evaluator = evaluator_of(dataset_with(test=TEST), inverse_regularisation=0.01)
    short, long = (evaluator.score(NoisyEncoder(scale), "test") for scale in (0.01, 100))
    assert short.predicted["class"].tolist() == long.predicted["class"].tolist()


def test_embeddings_that_are_all_zeros_give_the_largest_class():
    scores = evaluator_of(dataset_with(test=TEST)).score(NoisyEncoder(scale=0), "test")
    assert scores.metrics["accuracy"] == pytest.approx(40 / 90)


def test_the_same_seed_gives_the_same_folds_and_another_seed_others():
    dataset = dataset_with(test=TEST)
    first, again, other = (
        evaluator_of(dataset, seed=seed).score(NoisyEncoder(), "test").predicted["class"].tolist() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_fitted_on_train_the_predictions_are_those_of_a_probe_of_its_rows():
    from sklearn.linear_model import LogisticRegression

    evaluator = evaluator_of(dataset_with(train=TRAIN, test=TEST), fit_on="train")
    encoder = NoisyEncoder()
    scores = evaluator.score(encoder, "test")
    assert [len(texts) for texts, _ in encoder.calls] == [90 + 122]
    every = scaled(encoder.encode([*TEST["text"], *TRAIN["text"]]))
    expected = LogisticRegression(max_iter=1000).fit(every[90:], TRAIN["label"]).predict(every[:90])
    assert scores.predicted["class"].tolist() == expected.tolist()
    assert len(scores.examples["text"]) == 90


def test_of_each_class_of_train_no_more_rows_are_drawn_than_requested():
    texts = {}
    for seed in (1, 1, 2):
        evaluator = evaluator_of(dataset_with(train=TRAIN, dev=TEST), fit_on="train", samples_per_label=20, seed=seed)
        drawn = evaluator.texts("dev")[None][90:]
        assert [sum(text.endswith(name) for text in drawn) for name in NAMES] == [20, 20, 12]
        assert texts.setdefault(seed, drawn) == drawn
    assert texts[1] != texts[2]


def test_rows_of_train_that_have_a_prompt_of_their_own_are_fitted_on_with_it():
    train = {**rows_of([5, 5, 5]), "prompt": ["A: "] * 15}
    test = {**TEST, "prompt": [None] * 90}
    dataset = set_prompts(dataset_with(train=train, test=test), {"q": "Q: "}, default="q")
    texts = evaluator_of(dataset, fit_on="train").texts("test")[""]
    assert [text[:3] for text in texts] == ["Q: "] * 90 + ["A: "] * 15


def test_both_metrics_have_an_interval_around_their_difference():
    evaluator = evaluator_of(dataset_with(test=TEST))
    base, trained = (evaluator.score(NoisyEncoder(noise=noise), "test") for noise in (1.5, 0.1))
    differences = compare(base, trained, 50)
    assert [difference.metric for difference in differences] == ["accuracy", "macro_f1"]
    assert all(0 < difference.low < difference.value < difference.high for difference in differences)


def test_a_form_of_fewer_dimensions_and_rows_not_seen_in_training_have_metrics_too():
    leaked = {"test": numpy.arange(90) < 86}  # fewer unseen rows of a class than folds are no hindrance
    evaluator = evaluator_of(dataset_with(test=TEST), leaked=leaked, dimensions=[2])
    scores = evaluator.score(NoisyEncoder(), "test")
    assert {"accuracy_no_leaks", "macro_f1_no_leaks", "accuracy_dim2", "macro_f1_dim2"} <= set(evaluator.metric_names)
    assert scores.metrics["accuracy_no_leaks"] == scores.predicted["right"][86:].mean()
    assert scores.metrics["accuracy_dim2"] < scores.metrics["accuracy"]


def test_a_probe_that_has_not_converged_is_reported_once(caplog):
    with caplog.at_level(logging.WARNING):
        evaluator_of(dataset_with(test=TEST), max_iter=1).score(NoisyEncoder(), "test")
    assert [record.message.partition(".")[0] for record in caplog.records] == [
        "5 of 5 probes of a classification had not converged after max_iter=1 iterations"
    ]


def test_a_class_with_fewer_rows_than_folds_is_refused_with_what_to_type():
    dataset = dataset_with(train=TRAIN, dev=rows_of([4, 9, 9]), test=rows_of([9, 3, 2]))
    with pytest.raises(DataError) as refusal:
        evaluator_of(dataset)
    assert str(refusal.value) == (
        "evaluator.classification.folds=5 is more than the rows of some classes of toy: dev bank (4), test river (3), "
        "test sky (2). Expected 5 rows of each class or more, one for every fold.\n"
        "hint: type evaluator.classification.folds=2\nhint: type evaluator.classification.fit_on=train"
    )


def test_a_class_with_a_single_row_cannot_be_folded():
    with pytest.raises(DataError, match=r"test sky \(1\)\. .* Add rows of these classes, or take them out"):
        evaluator_of(dataset_with(test=rows_of([9, 9, 1])))
    evaluator_of(dataset_with(train=TRAIN, test=rows_of([9, 9, 1])), fit_on="train")


def test_a_single_class_is_refused():
    with pytest.raises(DataError, match=r"toy/test has rows of 1 class\. Expected two or more"):
        evaluator_of(dataset_with(test=rows_of([9])))
    with pytest.raises(DataError, match="toy/train has rows of 1 class"):
        evaluator_of(dataset_with(train=rows_of([9]), test=TEST), fit_on="train")


def test_fitting_on_train_needs_a_train_split():
    with pytest.raises(
        DataError, match=r"needs a train split, and toy has none \(it has: test\)(.|\n)*hint: type .*fit_on=folds$"
    ):
        evaluator_of(dataset_with(test=TEST), fit_on="train")


def test_all_invalid_arguments_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        evaluator_of(dataset_with(test=TEST), folds=1, samples_per_label=8, inverse_regularisation=0, max_iter=0)
    assert [
        (problem.key.removeprefix("evaluator.classification."), problem.given) for problem in error.value.problems
    ] == [
        ("inverse_regularisation", 0),
        ("max_iter", 0),
        ("folds", 1),
        ("samples_per_label", 8),
    ]
    with pytest.raises(
        ConfigError, match=r"fit_on=trian was given\. Expected one of: folds, train\. Did you mean 'train'"
    ):
        evaluator_of(dataset_with(test=TEST), fit_on="trian")


@pytest.mark.slow
@pytest.mark.parametrize("fit_on", ["folds", "train"])
def test_minilm_on_trec_equals_scikit_learn_on_its_vectors(real_data, fit_on):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    from embexp.config.compose import compose, instantiate, resolve
    from embexp.experiment.datasets import builder_of

    overrides = ["dataset=trec", "evaluator=[classification]", f"evaluator.classification.fit_on={fit_on}"]
    config = resolve(compose([*overrides, f"paths.data={real_data}", "paths.cache=null"]))
    dataset = builder_of(config).read(config["dataset"], "trec", "labelled_text")
    splits = {**dataset.splits, "train": dataset.splits["train"].select(range(1000))}
    dataset = replace(dataset, splits=splits)
    model = instantiate(config["model"]).load(list, None)
    call = {key: value for key, value in config["evaluator"]["classification"].items() if key != "dataset"}
    metrics = instantiate(call, name="trec", dataset=dataset).score(ModelEncoder(model), "test").metrics
    train, test = (dataset.splits[split].to_pandas() for split in ("train", "test"))
    vectors, gold = model.encode([*test.text]).astype(float), test.label
    probe = LogisticRegression(max_iter=1000)
    if fit_on == "folds":
        found = cross_val_predict(probe, vectors, gold, cv=StratifiedKFold(5, shuffle=True, random_state=42))
    else:
        found = probe.fit(model.encode([*train.text]).astype(float), train.label).predict(vectors)
    assert metrics["accuracy"] == pytest.approx((found == gold).mean(), abs=1e-6)
    assert metrics["macro_f1"] == pytest.approx(f1_score(gold, found, average="macro"), abs=1e-6)
    assert metrics["accuracy"] > 0.7
