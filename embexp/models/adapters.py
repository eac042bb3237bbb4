"""LoRA: small matrices that are added to those of a transformer are trained, the transformer itself is not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.environment import lack_of
from embexp.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_LEGAL = {  # with a usual value
    "r": (LegalValues(least=1, most=10**5, whole=True), 64),
    "lora_alpha": (LegalValues(above=0), 128),
    "lora_dropout": (LegalValues(least=0, below=1), 0.1),
    "bias": (LegalValues(one_of=("none", "all", "lora_only")), "none"),
}


def _refuse_without_peft(imports: bool) -> None:
    if lack := lack_of("lora", imports):
        fix = (lack.fix, "model.adapter=null")
        raise ConfigError(f"needs {lack.text}", key="model.adapter", given="lora", fix=fix)


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
        _refuse_without_peft(imports=False)
        found = (problems_with(name, getattr(self, name), legal, usual) for name, (legal, usual) in _LEGAL.items())
        refuse((problem for problems in found for problem in problems), under="model.adapter")

    def attach(self, model: "SentenceTransformer") -> None:
        """Add the matrices to the model's transformer, in place; all its other weights are frozen.

        At first the embeddings are still those of the untouched model (B is zero).

        Raises:
            ModelError: the model has no transformer, or none of the named matrices.
            ConfigError: the installation of peft is broken.
        """
        _refuse_without_peft(imports=True)
        from peft import LoraConfig

        names = [f".{name}" for name, _ in model.named_modules()]
        there = [ending for ending in self.exclude_modules or () if any(name.endswith(f".{ending}") for name in names)]
        # Of endings that fit no name peft would warn whenever it loads the adapter.
        arguments = asdict(self) | {"exclude_modules": there or None}
        del arguments["merge"]
        try:
            model.add_adapter(LoraConfig(task_type="FEATURE_EXTRACTION", **arguments))
        except ValueError as error:
            text = f"does not fit the model: {str(error).splitlines()[0]}"
            expected = "names of matrices of its transformer, or all-linear for all of them"
            fix = ("'model.adapter.target_modules=[query,value]'", "model.adapter.target_modules=all-linear")
            raise ModelError(text, key="model.adapter", given="lora", expected=expected, fix=fix) from error


def refuse_adapter(adapter: Any) -> None:
    """Raise ConfigError for an adapter that was given to a model without a pretrained transformer."""
    if adapter is not None:
        text = "was given; LoRA needs a pretrained transformer, and the model has none"
        raise ConfigError(text, key="model.adapter", fix=("model=minilm", "model.adapter=null"))


def merge_adapter(model: "SentenceTransformer") -> bool:
    """Add the adapter's matrices to the weights of the transformer, in place. Returns whether there was an adapter.

    The embeddings stay the same but for rounding. The model is then a plain one, and all its weights can be trained.
    """
    if not getattr(model.transformers_model, "_hf_peft_config_loaded", False):
        return False
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
    return True


def save_model(model: "SentenceTransformer", path: Path, merges_adapter: bool = False) -> None:
    """Write the model as `SentenceTransformer(path)` reads it.

    Args:
        merges_adapter: merge an adapter into the model before, in place (`BaseModel.merges_adapter`); otherwise only
            the adapter is written, with the place of its base model.
    """
    if merges_adapter:
        merge_adapter(model)
    model.save_pretrained(str(path))
