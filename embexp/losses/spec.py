"""What a loss YAML says: which shapes it accepts, how batches must be drawn, what it is like, and how it is built."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embexp.config.compose import instantiate, option_of, parameters_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import shape_named
from embexp.errors import ConfigError, Problem
from embexp.losses.modifiers import Modifier, composing_modifiers
from embexp.losses.yaml_keys import (
    TRAITS,
    LegalValues,
    Needs,
    companions_of,
    needs_of,
    places_of,
    switch_of,
    traits_of,
    value_problems,
    values_of,
)

_EMBEDDING_TRAINING = "embexp.training.embedding_training.EmbeddingTraining"


@dataclass(frozen=True)
class LossSpec:
    """A loss as its YAML describes it; nothing is imported before `build`.

    Attributes:
        accepts: names of the shapes it trains on, best first (`_accepts_`).
        batch_sampler: how sentence-transformers draws its batches (`_batch_sampler_`): batch_sampler,
            no_duplicates (for in-batch negatives) or group_by_label.
        max_negatives: most negatives that a row may have, None for any number (`_max_negatives_`).
        call: the YAML itself: `_target_` and the loss's own arguments.
        needs: what the check before training looks for (`_needs_`): see `losses/needs.py`.
        values: what the arguments may be (`_values_`): see `losses/legal_values.py`.
        trained_by: what trains a model with it (`_trained_by_`): see `training/stage_training.py`.
        modifier: what wraps around the loss, None for nothing.
    """

    name: str
    accepts: tuple[str, ...]
    batch_sampler: str
    max_negatives: int | None
    call: Mapping[str, Any]
    needs: Needs = field(default_factory=Needs)
    values: Mapping[str, LegalValues] = field(default_factory=dict)
    modifier: Modifier | None = None
    trained_by: str = _EMBEDDING_TRAINING

    @property
    def traits(self) -> tuple[str, ...]:
        """What the loss is like with these arguments (`_traits_`), in words that checks and modifiers look for.

        in_batch_negatives: the other rows of a batch are negatives. compares_rows: it learns from the order of a
        batch's rows. gradient_cache: it embeds a batch in parts, twice. owns_head, owns_decoder, owns_copy: it trains
        a layer, a decoder, or a second copy of the model, that goes after training. owns_temperature: it trains one.
        """
        return traits_of(self.call)

    def locate(self) -> dict[str, dict[str, str]]:
        """Where the weights of other models that the loss reads come from, by argument; see losses/companions.py."""
        return places_of(self.call)

    def build(self, model: Any, dataset: EmbeddingDataset) -> Any:
        """The loss as a torch module for this model and data, with its modifier around it.

        A loss gets what its signature asks for and only a run knows: `model`, `embedding_dimension`, `num_labels`,
        and the `_projection_dim` of teacher embeddings that are not as wide as the model's. Arguments that name another
        model (`_companions_`) become that model, not yet loaded.

        Raises:
            ConfigError: an argument does not fit, or the modifier does not compose with what the data ask for.
        """
        width = model.get_embedding_dimension()
        on_demand = {
            "model": model,
            "embedding_dimension": width,
            "num_labels": num_labels(dataset),
            "projection_dim": _projection_dim(dataset, width),
        }
        wanted = parameters_of(self.call["_target_"]) or ()
        runtime = {key: value for key, value in on_demand.items() if key in wanted and self.call.get(key) is None}
        runtime |= companions_of(self.call)
        if problem := self.modifier_problem(traits_of(self.call | runtime)):
            raise ConfigError(problem)
        try:
            loss = instantiate({key: value for key, value in self.call.items() if key not in runtime}, **runtime)
        except ValueError as error:
            raise ConfigError(
                f"loss={self.name} does not fit: {error} Type loss.<argument>=<value that fits> (conf/loss/"
                f"{self.name}.yaml says what each may be), or choose another loss or model."
            ) from error
        return self.modifier.wrap(loss, model) if self.modifier else loss

    def value_problems(self) -> list[Problem]:
        """What is wrong with the values of the loss's and the modifier's arguments, and what to type."""
        problems = [*value_problems("loss", self.name, self.call, self.values)]
        return problems + ([*self.modifier.value_problems()] if self.modifier else [])

    def modifier_problem(self, traits: tuple[str, ...]) -> Problem | None:
        """Why the modifier does not compose with a loss of these traits, and what to type; None when it does."""
        refused = self.modifier.refused(traits) if self.modifier else []
        if not refused:
            return None
        like = " and ".join(TRAITS.get(trait, f"has the trait {trait}") for trait in refused)
        switches = [f"loss.{switch}=false" for trait in refused if (switch := switch_of(self.call, trait))]
        return Problem(
            f"does not compose with the loss {self.name}, which {like}",
            "modifier",
            self.modifier.name,
            expected="a modifier that does, or another loss",
            fix=(*switches, *(f"modifier={name}" for name in composing_modifiers(traits))),
        )

    def arguments(self) -> dict[str, Any]:
        """The loss's own arguments as they stand in the configuration."""
        return {key: value for key, value in self.call.items() if not key.startswith("_")}

    def public_call(self) -> dict[str, Any]:
        """The call without what only describes it: `_target_` and the arguments."""
        return {"_target_": self.call["_target_"], **self.arguments()}


def spec_of(name: str, node: Mapping[str, Any], modifier: Modifier | None = None) -> LossSpec:
    """The specification in a loss YAML, with a modifier for it.

    Raises:
        ConfigError: the YAML names no callable or no accepted shape.
    """
    missing = [key for key in ("_target_", "_accepts_") if not node.get(key)]
    if missing:
        raise ConfigError(f"loss={name} has no {' and no '.join(missing)}. Expected both: see conf/loss/mnrl.yaml.")
    for shape in node["_accepts_"]:
        shape_named(shape)
    return LossSpec(
        name=name,
        accepts=tuple(node["_accepts_"]),
        batch_sampler=node.get("_batch_sampler_", "batch_sampler"),
        max_negatives=node.get("_max_negatives_"),
        call=dict(node),
        needs=needs_of(f"loss={name}", node),
        values=values_of(f"loss={name}", node),
        modifier=modifier,
        trained_by=node.get("_trained_by_", _EMBEDDING_TRAINING),
    )


def num_labels(dataset: EmbeddingDataset) -> int | None:
    """Number of classes of a data set with class or binary labels, None for other shapes."""
    if dataset.shape.label_kind == "binary":
        return 2
    if dataset.shape.label_kind != "class":
        return None
    return len(dataset.label_names) or 1 + max(dataset.splits["train"][dataset.shape.label])


def _projection_dim(dataset: EmbeddingDataset, width: int) -> int | None:
    """How wide the teacher's embeddings are, None where they are as wide as the model's or there are none."""
    if dataset.shape.label_kind != "embedding":
        return None
    teacher = len(dataset.splits["train"][0][dataset.shape.label])
    return teacher if teacher != width else None


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
