"""What a loss YAML says: which shapes it accepts, how batches must be drawn, and how it is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embexp.config import instantiate, parameters_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import shape_named
from embexp.errors import ConfigError


@dataclass(frozen=True)
class LossSpec:
    """A loss as its YAML describes it; nothing is imported before `build`.

    Attributes:
        accepts: names of the shapes it trains on, best first (`_accepts_`).
        batch_sampler: how sentence-transformers draws its batches (`_batch_sampler_`): batch_sampler,
            no_duplicates (for in-batch negatives) or group_by_label.
        max_negatives: most negatives that a row may have, None for any number (`_max_negatives_`).
        call: the YAML itself: `_target_` and the loss's own arguments.
    """

    name: str
    accepts: tuple[str, ...]
    batch_sampler: str
    max_negatives: int | None
    call: Mapping[str, Any]

    def build(self, model: Any, dataset: EmbeddingDataset) -> Any:
        """The loss as a torch module for this model and data.

        A loss gets what its signature asks for and only a run knows: `model`, `embedding_dimension`, `num_labels`.
        """
        on_demand = {
            "model": model,
            "embedding_dimension": model.get_embedding_dimension(),
            "num_labels": num_labels(dataset),
        }
        wanted = parameters_of(self.call["_target_"]) or ()
        runtime = {key: value for key, value in on_demand.items() if key in wanted and self.call.get(key) is None}
        return instantiate({key: value for key, value in self.call.items() if key not in runtime}, **runtime)

    def arguments(self) -> dict[str, Any]:
        """The loss's own arguments as they stand in the configuration."""
        return {key: value for key, value in self.call.items() if not key.startswith("_")}

    def public_call(self) -> dict[str, Any]:
        """The call without what only describes it: `_target_` and the arguments."""
        return {"_target_": self.call["_target_"], **self.arguments()}


def spec_of(name: str, node: Mapping[str, Any]) -> LossSpec:
    """The specification in a loss YAML.

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
    )


def num_labels(dataset: EmbeddingDataset) -> int | None:
    """Number of classes of a data set with class or binary labels, None for other shapes."""
    if dataset.shape.label_kind == "binary":
        return 2
    if dataset.shape.label_kind != "class":
        return None
    return len(dataset.label_names) or 1 + max(dataset.splits["train"][dataset.shape.label])
