"""Settings of conversions: the shipped values, all misfits at once, and what to type."""

import pytest
from omegaconf import OmegaConf

from embexp.config import compose, instantiate
from embexp.errors import ConfigError
from embexp.steps.conversions.conversion_settings import default_settings, what_to_type


def test_the_shipped_values_are_those_of_the_configuration():
    composed = OmegaConf.to_container(compose().conversion)
    assert instantiate(composed) == default_settings()
    assert (default_settings().min_score, default_settings().max_score) == (None, None)


def test_a_value_can_be_set_on_the_command_line():
    overrides = ["conversion.min_score=0.7", "conversion.positive_labels=[same]", "conversion.label_scores.neutral=0.5"]
    settings = instantiate(OmegaConf.to_container(compose(overrides).conversion))
    assert (settings.min_score, settings.positive_labels, settings.label_scores["neutral"]) == (0.7, ["same"], 0.5)


def test_all_misfits_are_told_at_once():
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
    lines = str(error.value).splitlines()
    assert [line.partition("=")[0] for line in lines] == [f"conversion.{key}" for key in wrong]
    assert lines[0] == "conversion.min_score=4 was given; expected null or a number from 0 to 1."


def test_scores_that_cross_and_labels_on_both_sides_are_refused():
    with pytest.raises(ConfigError) as error:
        default_settings(min_score=0.3, max_score=0.5, negative_labels=["entailment", "neutral"])
    assert str(error.value).splitlines() == [
        "conversion.max_score=0.5 was given; expected less than conversion.min_score=0.3.",
        "conversion.positive_labels and conversion.negative_labels share entailment; expected none to.",
    ]


def test_what_to_type_names_all_that_is_missing():
    assert what_to_type(["min_score", "max_score"]) == (
        "Type conversion.min_score=0.8 to take pairs scored at least 0.8 as positives and conversion.max_score=0.3 "
        "to take pairs scored at most 0.3 as negatives (those between are left out)."
    )
