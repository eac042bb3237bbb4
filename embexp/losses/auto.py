"""loss=auto: the loss that suits the shape of the data, taken from the table in conf/loss/auto.yaml."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from embexp.config import option_of
from embexp.errors import ConfigError

logger = logging.getLogger(__name__)


def is_auto(node: Mapping[str, Any]) -> bool:
    """Whether a loss YAML leaves the choice to the data: it holds a table (`_by_shape_`) in place of a call."""
    return "_by_shape_" in node


def loss_for(
    name: str, node: Mapping[str, Any], shape: str, label_names: Sequence[str] = ()
) -> tuple[str, dict[str, Any]]:
    """Name and YAML of the loss that the table gives a shape; which one and why is logged.

    Args:
        name: what the table's own YAML is called.
        label_names: the names of the classes, where the data have some.

    Raises:
        ConfigError: the table has arguments beside it, or no row for the shape.
    """
    if arguments := [key for key in node if not key.startswith("_")]:
        given = " ".join(f"loss.{key}={node[key]}" for key in arguments)
        raise ConfigError(f"{given} was given. {node['_hint_']}")
    row = next((row for row in node["_by_shape_"] if _fits(row, shape, label_names)), None)
    if row is None:
        raise ConfigError(f"loss={name} knows no loss for {shape}. Expected a named one: type loss=<name>.")
    logger.info("loss=%s took loss=%s: %s", name, row["loss"], row["because"])
    return row["loss"], option_of("loss", row["loss"])


def _fits(row: Mapping[str, Any], shape: str, label_names: Sequence[str]) -> bool:
    asked = row.get("label_names")
    return row["shape"] == shape and (asked is None or set(asked) == set(label_names))
