"""Settings of conversions: the shipped values, all problems at once, and what to type."""

import pytest
from omegaconf import OmegaConf

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose, instantiate, resolve
from embexp.data.arrow import schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import SHAPES
from embexp.errors import ConfigError, ShapeError
from embexp.steps.conversions.conversion import default_settings, missing_numbers
from embexp.steps.conversions.convert import convert_to


def test_the_shipped_values_are_those_of_the_configuration():
    composed = OmegaConf.to_container(compose().conversion)
    assert instantiate(composed) == default_settings()
    assert (default_settings().min_score, default_settings().max_score) == (None, None)


def test_a_value_can_be_set_on_the_command_line():
    overrides = ["conversion.min_score=0.7", "conversion.positive_labels=[same]", "conversion.label_scores.neutral=0.5"]
    settings = instantiate(OmegaConf.to_container(compose(overrides).conversion))
    assert (settings.min_score, settings.positive_labels, settings.label_scores["neutral"]) == (0.7, ["same"], 0.5)


def test_all_mistakes_are_reported_at_once():
    wrong = {
        "min_score": 4,
        "max_score": "low",
        "positive_labels": "entailment",
        "negative_labels": [],
        "label_scores": {"entailment": 2},
        "max_negatives": 0,
        "seed": 1.5,
        "deletion_ratio": 1.0,
    }
    with pytest.raises(ConfigError) as error:
        default_settings(**wrong)
    assert [problem.key for problem in error.value.problems] == [f"conversion.{key}" for key in wrong]
    assert str(error.value.problems[0]) == (
        "conversion.min_score=4 was given. Expected a number of at least 0 and of at most 1, or null.\n"
        "hint: type conversion.min_score=0.8"
    )


def test_scores_that_cross_and_labels_on_both_sides_are_refused():
    with pytest.raises(ConfigError) as error:
        default_settings(min_score=0.3, max_score=0.5, negative_labels=["entailment", "neutral"])
    assert [*map(str, error.value.problems)] == [
        "conversion.max_score=0.5 was given. Expected a number below min_score, which is 0.3.",
        "conversion.positive_labels=[entailment] was given. Expected other classes than negative_labels; both have "
        "entailment.",
    ]


def test_what_to_type_names_all_that_is_missing():
    assert missing_numbers(["min_score", "max_score"]) == {
        "expected": "min_score to take pairs scored at least 0.8 as positives and max_score to take pairs scored at "
        "most 0.3 as negatives (those between are left out)",
        "fix": "conversion.min_score=0.8 conversion.max_score=0.3",
    }


def test_scores_of_classes_in_any_script_are_typed_as_the_message_says():
    names = ("蕴含", "中立", "矛盾")
    rows = [{"sentence1": "a", "sentence2": "b", "label": label} for label in range(3)]
    shape = SHAPES["class_pair"]
    train = table_of_rows(iter(rows), schema_of(shape, ["sentence1", "sentence2", "label"]))
    dataset = EmbeddingDataset("数据", shape, {"train": train}, label_names=names)
    with pytest.raises(ShapeError) as error:
        convert_to(dataset, "scored_pair", label_scores={"蕴含": 1})
    first, _ = error.value.problems[0].fix
    assert first == "'conversion.label_scores={蕴含: 1, 中立: 1, 矛盾: 0}'"
    (override,) = quote_texts(expand_paths(["conversion.label_scores={蕴含: 1, 中立: 0.25, 矛盾: 0.25}"]))
    settings = resolve(compose([override]))["conversion"]
    assert settings["label_scores"] == {"蕴含": 1, "中立": 0.25, "矛盾": 0.25}
    assert convert_to(dataset, "scored_pair", label_scores=settings["label_scores"]).splits["train"]["score"][:] == [
        1.0,
        0.25,
        0.25,
    ]


def test_scores_of_classes_with_plain_names_are_added_to_those_that_are_known():
    (override,) = quote_texts(expand_paths(["conversion.label_scores={good: 1, bad: 0}"]))
    known = {"entailment": 1.0, "neutral": 0.0, "contradiction": 0.0}
    assert resolve(compose([override]))["conversion"]["label_scores"] == known | {"good": 1, "bad": 0}
