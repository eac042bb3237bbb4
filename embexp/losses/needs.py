"""What a loss or a modifier cannot do without, as the key `_needs_` of its YAML says it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embexp.errors import ConfigError, did_you_mean, listed


@dataclass(frozen=True)
class Needs:
    """What the check before training looks for; what is left out is not needed.

    Attributes:
        transformer: the base model must be a transformer, not a table of token vectors.
        classes: least number of classes that have `texts_per_class` rows.
        texts_per_class: rows that a class must have to be of use.
        batch_size: rows that a batch should have (advised: fewer are a warning).
        masked_language_model: the argument that names one; null stands for the base model.
        teacher_scores: "raw": the label must hold a score for each text, not the margins between them.
    """

    transformer: bool = False
    classes: int = 0
    texts_per_class: int = 0
    batch_size: int = 0
    masked_language_model: str | None = None
    teacher_scores: str | None = None


def needs_of(name: str, node: Mapping[str, Any]) -> Needs:
    """The needs in a YAML.

    Raises:
        ConfigError: `_needs_` names something that is not known.
    """
    given, known = node.get("_needs_") or {}, [field.name for field in dataclasses.fields(Needs)]
    if unknown := [key for key in given if key not in known]:
        raise ConfigError(
            f"{name} has _needs_ {listed(unknown)}. Expected some of: {listed(known)}. "
            f"{did_you_mean(unknown[0], known)}".strip()
        )
    return Needs(**given)
