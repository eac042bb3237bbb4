"""LossSpec: what a loss YAML must say, and what a loss is given besides its own arguments."""

import pytest
from omegaconf import OmegaConf

from embexp.config.session import conf_dir
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError
from embexp.losses.spec import _num_labels, spec_of
from embexp.models.scratch import ScratchModel

LOSSES = "sentence_transformers.sentence_transformer.losses"
PAIR = {"sentence1": ["a b", "b"], "sentence2": ["c", "d"]}
NLI = dataset_of("nli", "class_pair", {"train": PAIR | {"label": [0, 2]}}, ("entailment", "neutral", "contradiction"))
UNNAMED = dataset_of("unnamed", "class_pair", {"train": PAIR | {"label": [0, 4]}})
BINARY = dataset_of("qqp", "binary_pair", {"train": PAIR | {"label": [1, 1]}})
SCORED = dataset_of("sts", "scored_pair", {"train": PAIR | {"score": [0.5, 1.0]}})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    scratch = ScratchModel(num_layers=2, hidden_size=32, num_heads=2, vocabulary_size=60, max_seq_length=16)
    return scratch.load(lambda: [*NLI.texts("train")], tmp_path_factory.mktemp("model"))


def shipped(name, **changes):
    """The specification in conf/loss/, with some of its values changed."""
    node = OmegaConf.to_container(OmegaConf.load(conf_dir() / "loss" / f"{name}.yaml"))
    return spec_of(name, node | changes)


@pytest.mark.parametrize(
    ("node", "missing"),
    [
        ({}, "_target_ and no _accepts_"),
        ({"_target_": "a.b"}, "_accepts_"),
        ({"_target_": "a.b", "_accepts_": []}, "_accepts_"),
        ({"_accepts_": ["triplet"]}, "_target_"),
    ],
)
def test_a_yaml_must_name_its_callable_and_its_shapes(node, missing):
    with pytest.raises(ConfigError) as error:
        spec_of("mine", node)
    assert str(error.value) == f"loss=mine has no {missing}. Expected both: see conf/loss/mnrl.yaml."


def test_an_accepted_shape_that_does_not_exist_is_refused():
    with pytest.raises(
        ConfigError, match=r"loss\._accepts_=.positive_pair,triplets. was given.*Did you mean 'triplet'"
    ):
        spec_of("mine", {"_target_": "a.b", "_accepts_": ["positive_pair", "triplets"]})


def test_the_keys_with_underscores_describe_and_the_others_are_arguments():
    node = {
        "_target_": "a.b",
        "_accepts_": ["triplet", "positive_pair"],
        "_batch_sampler_": "no_duplicates",
        "_max_negatives_": 3,
        "scale": 30.0,
    }
    spec = spec_of("mine", node)
    assert (spec.name, spec.accepts) == ("mine", ("triplet", "positive_pair"))
    assert (spec.batch_sampler, spec.max_negatives) == ("no_duplicates", 3)
    assert spec.arguments() == {"scale": 30.0}
    assert spec.public_call() == {"_target_": "a.b", "scale": 30.0}


def test_what_a_yaml_leaves_out_has_plain_defaults():
    spec = spec_of("mine", {"_target_": "a.b", "_accepts_": ["triplet"]})
    assert (spec.batch_sampler, spec.max_negatives) == ("batch_sampler", None)


@pytest.mark.parametrize(("dataset", "expected"), [(NLI, 3), (UNNAMED, 5), (BINARY, 2), (SCORED, None)])
def test_labels_are_counted(dataset, expected):
    assert _num_labels(dataset) == expected


@pytest.mark.parametrize(("dataset", "expected"), [(NLI, 3), (BINARY, 2)])
def test_a_classifier_is_given_the_dimension_and_the_number_of_labels(model, dataset, expected):
    loss = shipped("softmax").build(model, dataset)
    assert loss.model is model
    assert loss.classifier.weight.shape == (expected, 3 * 32)  # reads u, v and |u - v|


def test_a_loss_that_asks_for_the_model_only_is_given_no_more(model):
    loss = shipped("cosent", scale=7.0).build(model, SCORED)
    assert type(loss).__name__ == "CoSENTLoss"
    assert (loss.model is model, loss.scale) == (True, 7.0)


def test_a_number_of_labels_in_the_yaml_wins_over_that_of_the_data(model):
    assert shipped("softmax", num_labels=9).build(model, NLI).num_labels == 9
    assert shipped("softmax", num_labels=None).build(model, NLI).num_labels == 3


def test_an_argument_that_the_loss_does_not_take_is_refused_with_the_nearest(model):
    with pytest.raises(ConfigError, match=r"scales=\S+ is no argument of .*CoSENTLoss\..* Did you mean 'scale'\?"):
        shipped("cosent", scales=7.0).build(model, SCORED)


def test_traits_are_words_or_hang_on_an_argument():
    node = {"_target_": "a.b", "_accepts_": ["triplet"], "_traits_": ["compares_rows", {"owns_head": "projection_dim"}]}
    assert spec_of("mine", node).traits == ("compares_rows",)
    assert spec_of("mine", node | {"projection_dim": 4}).traits == ("compares_rows", "owns_head")


def test_needs_are_known_words():
    node = {"_target_": "a.b", "_accepts_": ["labelled_text"], "_needs_": {"classes": 2}}
    assert (spec_of("mine", node).needs.classes, spec_of("mine", node).needs.transformer) == (2, False)
    with pytest.raises(ConfigError, match=r"loss\._needs_\.class=2 is not known\. .*Did you mean 'classes'"):
        spec_of("mine", node | {"_needs_": {"class": 2}})


@pytest.mark.parametrize(("width", "expected"), [(32, None), (3, 3)])
def test_a_teacher_of_another_width_gets_a_projection(model, width, expected):
    teacher = dataset_of("teacher", "embedded_text", {"train": {"text": ["a b"], "label": [[0.5] * width]}})
    assert shipped("mse").build(model, teacher).projection_dim == expected
    assert shipped("mse", projection_dim=width).build(model, teacher).projection_dim == width


def test_a_value_that_the_loss_refuses_is_reported_as_a_mistake(model):
    with pytest.raises(
        ConfigError, match=r"loss=mnrl does not fit: Invalid directions.*\nhint: type loss\.<argument>="
    ):
        shipped("mnrl", directions=["query_to_doc", "sideways"]).build(model, SCORED)


def test_a_loss_that_cannot_be_imported_is_refused(model):
    with pytest.raises(ConfigError, match=rf"_target_={LOSSES}\.NoLoss cannot be imported"):
        spec_of("mine", {"_target_": f"{LOSSES}.NoLoss", "_accepts_": ["triplet"]}).build(model, SCORED)
