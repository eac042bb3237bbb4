"""Companions of a loss: other models that it reads and never trains, such as a guide, named as base models are."""

from collections.abc import Iterator, Mapping
from typing import Any

from embexp.data.hub import hub_answers
from embexp.errors import ConfigError, ModelError
from embexp.named_models import model_named
from embexp.protocols import BaseModel


def companions_of(call: Mapping[str, Any]) -> dict[str, BaseModel]:
    """The models that a loss's arguments name, by argument; nothing is loaded.

    Which arguments name models stands in `_companions_`; one whose value is null is left out.

    Raises:
        ConfigError: a value is neither a model's name, nor a path, nor a Hub id.
    """
    return {key: model_named(f"loss.{key}", call[key]) for key in _named_in(call)}


def places_of(call: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Where the weights of a loss's companions come from, by argument, as `BaseModel.locate` tells it.

    Raises:
        ConfigError: a value is no model, none with a transformer, or one whose weights are drawn at random.
        ModelError: a model's weights are not there, and the Hub does not answer.
    """
    return {
        key: _place_of(f"loss.{key}={call[key]}", model, advice_for(key, call))
        for key, model in companions_of(call).items()
    }


def advice_for(key: str, call: Mapping[str, Any]) -> str:
    """What to type for the companion that an argument names: the end of a message."""
    if key == (call.get("_needs_") or {}).get("masked_language_model"):
        return (
            f"type loss.{key}=<folder or Hub id> of one with the base model's vocabulary, such as "
            "google-bert/bert-base-uncased for minilm."
        )
    return f"type loss.{key}=minilm, or give a folder or a Hub id."


def _named_in(call: Mapping[str, Any]) -> Iterator[str]:
    return (key for key in call.get("_companions_") or () if call.get(key) is not None)


def _place_of(given: str, model: BaseModel, advice: str) -> dict[str, str]:
    try:
        place = model.locate()
    except ModelError as error:
        raise ModelError(f"{given}: {error}") from error
    if place["source"] == "scratch":
        raise ConfigError(f"{given} is a model with random weights. Expected a trained one: {advice}")
    if not model.has_transformer:
        raise ConfigError(f"{given} has no transformer. Expected a model with one: {advice}")
    if place["source"] == "hub" and not hub_answers():
        raise ModelError(
            f"{given} is on the Hugging Face Hub ({place['location']}), which does not answer. Expected a connection, "
            f"or weights on disk: {advice}"
        )
    return place
