"""Modifiers: what wraps around a loss to train several widths or depths of the model at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embexp.config.checks import read_keys
from embexp.config.compose import instantiate, parameters_of
from embexp.config.yaml_keys import ModifierKeys, Needs
from embexp.core.arguments import LegalValues
from embexp.errors import ConfigError, listed

_SMALLEST_WIDTH = 32  # of the widths that are made by halving


@dataclass(frozen=True)
class Modifier:
    """A wrapper around any loss as its YAML describes it; nothing is imported before `wrap`.

    Attributes:
        refuses: traits of losses that it does not compose with (`_refuses_`).
        needs: what it cannot do without (`_needs_`).
        call: the YAML itself: `_target_` and the modifier's own arguments.
        values: what these may be (`_values_`).
    """

    name: str
    refuses: tuple[str, ...]
    needs: Needs
    call: Mapping[str, Any]
    values: Mapping[str, LegalValues] = field(default_factory=dict)

    def wrap(self, loss: Any, model: Any) -> Any:
        """The loss with the modifier around it.

        Raises:
            ConfigError: arguments that do not fit the model, such as a width that is larger than its own.
        """
        width = model.get_embedding_dimension()
        on_demand = {"model": model, "loss": loss, "matryoshka_dims": _halves(width)}
        wanted = parameters_of(self.call["_target_"]) or ()
        runtime = {key: value for key, value in on_demand.items() if key in wanted and self.call.get(key) is None}
        try:
            return instantiate({key: value for key, value in self.call.items() if key not in runtime}, **runtime)
        except ValueError as error:
            text, note = f"does not fit: {error}", f"The model's embeddings have {width} numbers."
            fix = ("modifier.<argument>=<value>", "modifier=none")
            raise ConfigError(text, key="modifier", given=self.name, note=note, fix=fix) from error

    def public_call(self) -> dict[str, Any]:
        """The call without what only describes it: `_target_` and the arguments."""
        arguments = {key: value for key, value in self.call.items() if not key.startswith("_")}
        return {"_target_": self.call["_target_"], **arguments}


def modifier_of(name: str, node: Mapping[str, Any] | None) -> Modifier | None:
    """The modifier in a YAML; None for one that is empty.

    Raises:
        ConfigError: the YAML has arguments and names no callable.
    """
    if not node:
        return None
    if not node.get("_target_"):
        text, expected = f"has {listed(node)} and no _target_", "one: see conf/modifier/matryoshka.yaml"
        raise ConfigError(text, key="modifier", given=name, expected=expected)
    keys = read_keys(ModifierKeys, node, "modifier")
    return Modifier(name=name, refuses=keys.refuses, needs=keys.needs, call=dict(node), values=keys.values)


def _halves(width: int) -> list[int]:
    """The width and its halves, down to SMALLEST_WIDTH.

    >>> _halves(384)
    [384, 192, 96, 48]
    """
    widths = [width]
    while widths[-1] // 2 >= _SMALLEST_WIDTH:
        widths.append(widths[-1] // 2)
    return widths
