"""LoRA: small matrices beside those of a transformer are trained, the transformer itself is not."""

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from embexp.errors import ConfigError, ModelError, listed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_BIASES = ("none", "all", "lora_only")
PEFT_IS_MISSING = "peft is not installed. Type pip install 'embexp[lora]'"


@dataclass(frozen=True)
class LoraAdapter:
    """Low-rank adaptation (Hu et al. 2022): W + (lora_alpha / r) * B A, where only A and B are trained.

    The arguments are those of `peft.LoraConfig`, but for `merge`.

    Args:
        r: rank of the added matrices.
        lora_alpha: the added part is multiplied by lora_alpha / r, or by lora_alpha / sqrt(r) with `use_rslora`.
        lora_dropout: share of the inputs of A that are left out in training, 0 to 1.
        target_modules: which matrices get one, by the ends of their names; `all-linear` for all of the network;
            None for those that peft names for the architecture (query and value, for most).
        exclude_modules: which do not, by the ends of their names.
        bias: none, all, or lora_only: which biases are trained, too.
        use_rslora: rank-stabilised scaling (Kalajdzievski 2023).
        use_dora: learn length and direction of the weights apart (Liu et al. 2024).
        merge: whether the added matrices go into the weights of the model that is kept, so that it needs no peft.

    Raises:
        ConfigError: peft is not installed, or a value is out of range.
    """

    r: int
    lora_alpha: int
    lora_dropout: float
    target_modules: str | Sequence[str] | None
    exclude_modules: Sequence[str] | None
    bias: str
    use_rslora: bool
    use_dora: bool
    merge: bool

    def __post_init__(self) -> None:
        if importlib.util.find_spec("peft") is None:
            raise ConfigError(f"model.adapter=lora was given; {PEFT_IS_MISSING}, or model.adapter=null.")
        problems = [
            f"model.adapter.{name}={value} was given. Expected {expected}: type model.adapter.{name}={instead}."
            for name, value, fits, expected, instead in (
                ("r", self.r, isinstance(self.r, int) and self.r > 0, "a whole number above 0", 64),
                ("lora_alpha", self.lora_alpha, self.lora_alpha > 0, "a number above 0", 128),
                ("lora_dropout", self.lora_dropout, 0 <= self.lora_dropout < 1, "a share from 0 to below 1", 0.1),
                ("bias", self.bias, self.bias in _BIASES, f"one of: {listed(_BIASES)}", "none"),
            )
            if not fits
        ]
        if problems:
            raise ConfigError("\n".join(problems))

    def attach(self, model: "SentenceTransformer") -> None:
        """Add the matrices to the model's transformer, in place; all its other weights are frozen.

        They are drawn so that the embeddings are still those of the untouched model (B is zero).

        Raises:
            ModelError: the model has no transformer, or none of the named matrices.
        """
        from peft import LoraConfig

        arguments = asdict(self) | {"exclude_modules": _there(model, self.exclude_modules)}
        del arguments["merge"]
        try:
            model.add_adapter(LoraConfig(task_type="FEATURE_EXTRACTION", **arguments))
        except ValueError as error:
            raise ModelError(
                f"model.adapter=lora does not fit the model: {str(error).splitlines()[0]} Expected names of matrices "
                "of its transformer: type 'model.adapter.target_modules=[query,value]', or all-linear for all of them."
            ) from error


def _there(model: "SentenceTransformer", endings: Sequence[str] | None) -> list[str] | None:
    """Those endings that a part of the model is called by: peft warns of others, whenever the adapter is loaded."""
    names = [f".{name}" for name, _ in model.named_modules()]
    return [ending for ending in endings or () if any(name.endswith(f".{ending}") for name in names)] or None


def refuse_adapter(adapter: Any) -> None:
    """Raise ConfigError for an adapter that was given to a model without a pretrained transformer."""
    if adapter is not None:
        raise ConfigError(
            "model.adapter was given; LoRA needs a pretrained transformer, and the model has none. Type model=minilm, "
            "or leave model.adapter out."
        )


def has_adapter(model: "SentenceTransformer") -> bool:
    """Whether an adapter is attached to the model's transformer."""
    return getattr(model.transformers_model, "_hf_peft_config_loaded", False)


def merge_adapter(model: "SentenceTransformer") -> None:
    """Add the adapter's matrices to the weights they stand beside, in place; nothing where there is no adapter.

    The embeddings stay the same but for rounding, the model is then a plain one, and all its weights can be trained.
    """
    if not has_adapter(model):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    network = model.transformers_model
    for name, layer in [*network.named_modules()]:
        if isinstance(layer, BaseTunerLayer):
            layer.merge(safe_merge=True)
            network.set_submodule(name, layer.get_base_layer())
    if any(config.inference_mode for config in network.peft_config.values()):
        network._weight_conversions = None  # renamings of the adapter's file: saving would undo them on all weights
    network.requires_grad_(True)
    network._hf_peft_config_loaded = False
    del network.peft_config
