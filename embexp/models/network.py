"""Changes to a loaded model: fewer layers, another pooling; and saving it for plain sentence-transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.errors import ModelError
from embexp.models.adapters import merge_adapter

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def keep_first_layers(model: "SentenceTransformer", num_layers: int) -> None:
    """Drop all transformer layers after the first `num_layers`, in place.

    Raises:
        ModelError: the model has fewer layers, or none that can be cut.
    """
    from torch.nn import ModuleList

    network: Any = model[0].auto_model
    stacks = [
        (module, name)
        for module in network.modules()
        for name, child in module.named_children()
        if isinstance(child, ModuleList) and len(child) == network.config.num_hidden_layers
    ]
    if not stacks or not 1 <= num_layers <= network.config.num_hidden_layers:
        raise too_many_layers(num_layers, network.config.num_hidden_layers)
    parent, name = stacks[0]
    setattr(parent, name, getattr(parent, name)[:num_layers])
    network.config.num_hidden_layers = num_layers


def too_many_layers(asked: int, there: int) -> ModelError:
    """The refusal of a number of layers that the model does not have."""
    return ModelError(
        f"model.num_layers={asked} does not fit: the model has {there} layers. Type model.num_layers=<1 to {there}>."
    )


def pool_by(model: "SentenceTransformer", pooling: str | Sequence[str]) -> None:
    """Give the model another pooling, in place: one of `POOLING_MODES`, or several, put side by side.

    Raises:
        ModelError: the model pools no tokens, or modules behind its pooling expect another width.
    """
    from sentence_transformers.sentence_transformer.modules import Pooling

    place = next((number for number, module in enumerate(model) if isinstance(module, Pooling)), None)
    if place is None:
        raise ModelError(
            f"model.pooling={pooling} was given; the model pools no tokens ({_names(model)}). Type model.pooling=null."
        )
    old = model[place]
    pooled = Pooling(old.embedding_dimension, pooling, old.include_prompt)
    behind = [module for module in [*model][place + 1 :] if hasattr(module, "get_embedding_dimension")]
    if behind and pooled.get_embedding_dimension() != old.get_embedding_dimension():
        raise ModelError(
            f"model.pooling={pooling} gives {pooled.get_embedding_dimension()} numbers; {type(behind[0]).__name__} "
            f"behind it expects {old.get_embedding_dimension()}. Type a single mode, such as model.pooling=cls."
        )
    model[place] = pooled


def _names(model: "SentenceTransformer") -> str:
    return " + ".join(type(module).__name__ for module in model)


def save_model(model: "SentenceTransformer", path: Path, merges_adapter: bool = False) -> None:
    """Write the model as `SentenceTransformer(path)` reads it.

    Args:
        merges_adapter: merge an adapter into the model before, in place (`BaseModel.merges_adapter`); otherwise only
            the adapter is written, with the place of its base model.
    """
    if merges_adapter:
        merge_adapter(model)
    model.save_pretrained(str(path))
