"""Models that an argument names: by an option of the group `model`, a folder or a Hub id. Nothing is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embexp.config import instantiate, option_names, option_of
from embexp.errors import ConfigError, did_you_mean, listed
from embexp.protocols import BaseModel

BY_PATH = "pretrained"  # the option of the group `model` that reads any folder or Hub id


def model_named(key: str, value: Any) -> BaseModel:
    """A model by its option in conf/model, by path or Hub id, or by a YAML of its own.

    Args:
        key: what the argument is called, for the message.

    Raises:
        ConfigError: the value is none of these.
    """
    if isinstance(value, Mapping):
        return instantiate(value)
    names = sorted({*option_names("model")} - {BY_PATH})
    if value in names:
        return instantiate(option_of("model", value))
    if "/" in str(value) or Path(str(value)).is_dir():
        return instantiate(option_of("model", BY_PATH) | {"path": str(value)})
    raise ConfigError(
        f"{key}={value} is not known. Expected a folder, a Hub id such as org/name, or one of: {listed(names)}. "
        f"{did_you_mean(str(value), names)}".strip()
    )
