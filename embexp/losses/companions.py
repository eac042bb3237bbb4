"""Companions of a loss: other models that it reads and never trains, such as a guide, named as base models are."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embexp.config import instantiate, option_names, option_of
from embexp.errors import ConfigError, ModelError, did_you_mean, listed
from embexp.protocols import BaseModel

BY_PATH = "pretrained"  # the option of the group `model` that reads any folder or Hub id


def companions_of(call: Mapping[str, Any]) -> dict[str, BaseModel]:
    """The models that a loss's arguments name, by argument; nothing is loaded.

    Which arguments name models stands in `_companions_`; one whose value is null is left out.

    Raises:
        ConfigError: a value is neither a model's name, nor a path, nor a Hub id.
    """
    return {key: _model_named(key, call[key]) for key in _named_in(call)}


def places_of(call: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Where the weights of a loss's companions come from, by argument, as `BaseModel.locate` tells it.

    Raises:
        ConfigError: a value is no model, or one whose weights are drawn at random.
        ModelError: a model's weights are not there.
    """
    return {key: _place_of(key, call[key], model) for key, model in companions_of(call).items()}


def _named_in(call: Mapping[str, Any]) -> Iterator[str]:
    return (key for key in call.get("_companions_") or () if call.get(key) is not None)


def _place_of(key: str, value: Any, model: BaseModel) -> dict[str, str]:
    try:
        place = model.locate()
    except ModelError as error:
        raise ModelError(f"loss.{key}={value}: {error}") from error
    if place["source"] == "scratch":
        raise ConfigError(
            f"loss.{key}={value} is a model with random weights. Expected a trained one: type loss.{key}=minilm, "
            "or give a folder or a Hub id."
        )
    return place


def _model_named(key: str, value: Any) -> BaseModel:
    """A model by its option in conf/model, by path or Hub id, or by a YAML of its own."""
    if isinstance(value, Mapping):
        return instantiate(value)
    names = sorted({*option_names("model")} - {BY_PATH})
    if value in names:
        return instantiate(option_of("model", value))
    if "/" in str(value) or Path(str(value)).is_dir():
        return instantiate(option_of("model", BY_PATH) | {"path": str(value)})
    raise ConfigError(
        f"loss.{key}={value} is not known. Expected a folder, a Hub id such as org/name, or one of: {listed(names)}. "
        f"{did_you_mean(str(value), names)}".strip()
    )
