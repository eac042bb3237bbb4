"""What a loss is like, in words that checks and modifiers look for: the key `_traits_` of its YAML."""

from collections.abc import Mapping
from typing import Any

# The words for them in the catalogue and in messages.
TRAITS = {
    "in_batch_negatives": "takes the other rows of a batch as negatives",
    "compares_rows": "compares the rows of a batch",
    "gradient_cache": "embeds a batch twice",
    "owns_head": "trains a layer of its own",
    "owns_decoder": "trains a decoder",
    "owns_copy": "trains a copy of the model",
    "owns_temperature": "trains a temperature",
}


def traits_of(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The traits of a loss with these arguments.

    A trait may hang on an argument: `{gradient_cache: use_mini_batched_version}` counts where that one is on.

    >>> traits_of({"_traits_": ["in_batch_negatives", {"gradient_cache": "cached"}], "cached": False})
    ('in_batch_negatives',)
    """
    traits = []
    for entry in node.get("_traits_") or ():
        if isinstance(entry, str):
            traits.append(entry)
        else:
            traits += [trait for trait, argument in entry.items() if node.get(argument)]
    return tuple(traits)


def switch_of(node: Mapping[str, Any], trait: str) -> str | None:
    """The argument that switches a trait on and off, None where the loss always has it.

    >>> switch_of({"_traits_": [{"gradient_cache": "cached"}], "cached": True}, "gradient_cache")
    'cached'
    """
    switches = {}
    for entry in node.get("_traits_") or ():
        if not isinstance(entry, str):
            switches |= entry
    argument = switches.get(trait)
    return argument if node.get(argument) is True else None
