"""LoRA: small matrices that are added to those of a transformer are trained, the transformer itself is not."""

import logging
import sys
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.environment import lack_of
from embexp.core.file_contents import ADAPTER_CONFIG
from embexp.errors import ConfigError, ModelError, Problem, listed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_LEGAL = {  # with a usual value
    "r": (LegalValues(least=1, most=10**5, whole=True), 64),
    "lora_alpha": (LegalValues(above=0), 128),
    "lora_dropout": (LegalValues(least=0, below=1), 0.1),
    "bias": (LegalValues(one_of=("none", "all", "lora_only")), "none"),
}


_BITS = "4, 8, or null"
logger = logging.getLogger(__name__)


def _refuse_without(extra: str, imports: bool) -> None:
    """Raise ConfigError where the packages of the adapter (the extras `lora` and `qlora`) cannot be used."""
    if lack := lack_of(extra, imports):
        others = ("model.adapter=lora", "model.adapter=null") if extra == "qlora" else ("model.adapter=null",)
        fix = (lack.fix, *others)
        raise ConfigError(f"needs {lack.text}", key="model.adapter", given=extra, fix=fix)


@dataclass(frozen=True)
class LoraAdapter:
    """Low-rank adaptation (Hu et al. 2022): W + (lora_alpha / r) * B A, where only A and B are trained.

    The arguments are those of `peft.LoraConfig`, but for `bits` and `merge`.

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
        bits: 4 or 8, in which the transformer's own matrices are kept (QLoRA, Dettmers et al. 2023); None: as they are.

    Raises:
        ConfigError: peft (or, for bits, bitsandbytes) is not installed, or a value is out of range.
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
    bits: int | None = None

    def __post_init__(self) -> None:
        _refuse_without(self.extra, imports=False)
        found = (problems_with(name, getattr(self, name), legal, usual) for name, (legal, usual) in _LEGAL.items())
        bits = (
            [] if self.bits in (None, 4, 8) else [Problem(key="bits", given=self.bits, expected=_BITS, fix=("bits=4",))]
        )
        refuse([*bits, *(problem for problems in found for problem in problems)], under="model.adapter")

    @property
    def extra(self) -> str:
        """The extra of pyproject.toml that it needs."""
        return "qlora" if self.bits else "lora"

    def check(self) -> None:
        """Refuse packages that are broken, or a kind of machine that they do not compute on; imports torch."""
        _refuse_without(self.extra, imports=True)
        if not self.bits:
            return
        import bitsandbytes
        import torch

        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        able = {"cuda", "cpu"} & {*getattr(bitsandbytes, "supported_torch_devices", ("cuda",))}
        if device not in able:
            text, expected = (
                f"computes on {listed(sorted(able))}; this machine has {device}",
                "another machine, or lora",
            )
            fix = ("model.adapter=lora",)
            raise ConfigError(text, key="model.adapter", given=self.extra, expected=expected, fix=fix)

    def loading(self, dtype: str | None) -> dict[str, Any]:
        """How the transformer is loaded: with its matrices in 4 or 8 bits; nothing where they stay as they are.

        Args:
            dtype: what is computed in; None: bfloat16 on a GPU, else float32.
        """
        if not self.bits:
            return {}
        import torch
        from transformers import BitsAndBytesConfig

        computing = dtype or ("bfloat16" if torch.cuda.is_available() else "float32")
        four = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": getattr(torch, computing),
        }
        return {"quantization_config": BitsAndBytesConfig(**(four if self.bits == 4 else {"load_in_8bit": True}))}

    def attach(self, model: "SentenceTransformer") -> None:
        """Add the matrices to the model's transformer, in place; all its other weights are frozen.

        At first the embeddings are still those of the untouched model (B is zero).

        Raises:
            ModelError: the model has no transformer, or none of the named matrices.
            ConfigError: the installation of peft is broken.
        """
        _refuse_without(self.extra, imports=True)
        from peft import LoraConfig

        names = [f".{name}" for name, _ in model.named_modules()]
        there = [ending for ending in self.exclude_modules or () if any(name.endswith(f".{ending}") for name in names)]
        # Of endings that fit no name peft would warn whenever it loads the adapter.
        arguments = asdict(self) | {"exclude_modules": there or None}
        del arguments["merge"], arguments["bits"]
        try:
            model.add_adapter(LoraConfig(task_type="FEATURE_EXTRACTION", **arguments))
        except ValueError as error:
            text = f"does not fit the model: {str(error).splitlines()[0]}"
            there = _matrices(model)
            expected = f"some of its transformer's matrices ({listed(there)}), or all-linear for all of them"
            some = [name for name in there if name.startswith(("q", "v"))] or there[:2]
            fix = (f"'model.adapter.target_modules=[{','.join(some)}]'", "model.adapter.target_modules=all-linear")
            raise ModelError(text, key="model.adapter", given="lora", expected=expected, fix=fix) from error
        if not _is_reached(model):
            text = "would train nothing, and leave the model identical: no embedding reads the matrices that it names"
            key, expected = "model.adapter.target_modules", "all-linear, or matrices that the embedding comes from"
            raise ModelError(text, key=key, given=self.target_modules, expected=expected, fix=f"{key}=all-linear")


def keep_frozen(model: "SentenceTransformer") -> None:
    """Have layers of few bits compute with gradients on a CPU, and keep their own weights when a checkpoint is loaded.

    On a CPU bitsandbytes puts their weights in another order once they have been evaluated, for kernels that pass no
    gradient on, and it does not load what it saves of them into a layer that is there. They never change.
    """
    if "bitsandbytes" not in sys.modules:
        return
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    def keep_own(layer: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name in [each for each in state if each.startswith(prefix)]:
            del state[name]
        state |= {f"{prefix}{name}": weight.data for name, weight in layer.named_parameters()}

    for layer in model.modules():
        if isinstance(layer, Linear4bit | Linear8bitLt):
            layer.support_avx512bf16_for_cpu = False
            layer.register_load_state_dict_pre_hook(keep_own)


def _is_reached(model: "SentenceTransformer") -> bool:
    """Whether an embedding has a gradient with respect to what is trained."""
    from sentence_transformers.util import batch_to_device

    was_training = model.training
    model.eval()  # without dropout, which draws random numbers
    reached = model(batch_to_device(model.preprocess(["a"]), model.device))["sentence_embedding"].requires_grad
    model.train(was_training)
    return reached


def _matrices(model: "SentenceTransformer") -> list[str]:
    """The last parts of the names of a transformer's linear layers, each once."""
    from torch.nn import Linear

    network = model.transformers_model
    modules = network.named_modules() if network is not None else ()
    return [*dict.fromkeys(name.rpartition(".")[2] for name, module in modules if isinstance(module, Linear))]


def refuse_adapter(adapter: Any) -> None:
    """Raise ConfigError for an adapter that was given to a model without a pretrained transformer."""
    if adapter is not None:
        text = "was given; LoRA needs a pretrained transformer, and the model has none"
        raise ConfigError(text, key="model.adapter", fix=("model=minilm", "model.adapter=null"))


def merge_adapter(model: "SentenceTransformer") -> bool:
    """Add the adapter's matrices to the weights of the transformer, in place. Returns whether there was an adapter.

    The model is then a plain one, and all its weights can be trained. Embeddings that change by more than a share of
    1e-4, as those of weights in bfloat16 do, are logged.

    Raises:
        ModelError: the merged model is another one.
    """
    if not getattr(model.transformers_model, "_hf_peft_config_loaded", False):
        return False
    from peft.tuners.tuners_utils import BaseTunerLayer

    network, before = model.transformers_model, _probed(model)
    few_bits = getattr(network, "is_quantized", False)
    if few_bits:
        _merge_unpacked(network)
    for name, layer in [*network.named_modules()]:
        if isinstance(layer, BaseTunerLayer):
            layer.merge(safe_merge=True)
            network.set_submodule(name, layer.get_base_layer())
    if any(config.inference_mode for config in network.peft_config.values()):
        network._weight_conversions = None  # renamings of the adapter's file: saving would undo them on all weights
    network.requires_grad_(True)
    network._hf_peft_config_loaded = False
    del network.peft_config
    _check_merged(before, _probed(model), "few bits" if few_bits else str(model.dtype).removeprefix("torch."))
    return True


def _merge_unpacked(network: Any) -> None:
    """Give layers of few bits whole weights, with what their adapter adds: in few bits the sum would be rounded."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.integrations import dequantize_module_weight
    from torch.nn import Linear, Parameter

    for name, layer in [*network.named_modules()]:
        wrapped = isinstance(layer, BaseTunerLayer)
        base = layer.get_base_layer() if wrapped else layer
        if name.endswith(".base_layer") or not isinstance(base, Linear4bit | Linear8bitLt):
            continue
        weight = dequantize_module_weight(base).detach().to(network.dtype)
        for adapter in layer.active_adapters if wrapped else ():
            weight = weight + layer.get_delta_weight(adapter).to(weight.dtype)
        whole = Linear(base.in_features, base.out_features, bias=False, device=weight.device, dtype=weight.dtype)
        whole.weight, whole.bias = Parameter(weight), base.bias
        network.set_submodule(name, whole)
    del network.config.quantization_config
    network.is_quantized, network.hf_quantizer = False, None
    network.is_loaded_in_4bit = network.is_loaded_in_8bit = False


_PROBES = ("a", "The market rose sharply today.", "股票大跌", "What raises interest rates, and why does it matter?")
_SAME, _ANOTHER = 1e-4, 0.1  # shares by which embeddings change


def _probed(model: "SentenceTransformer") -> Any:
    """Embeddings of a few texts, to compare; the model stays in training where it was."""
    was_training = model.training
    vectors = model.encode([*_PROBES], prompt="", convert_to_tensor=True, show_progress_bar=False).float().cpu()
    model.train(was_training)
    return vectors


def _check_merged(before: Any, after: Any, dtype: str) -> None:
    change = ((after - before).norm() / before.norm()).item()
    if not change <= _ANOTHER:  # nor nan
        text = f"Merging the adapter changes the embeddings by a share of {change:.2g}: the merged model is another one"
        raise ModelError(text, expected=f"at most {_SAME:g}", fix=("model.adapter.merge=false", "model.dtype=float32"))
    if change > _SAME:
        text = (
            "Merging the adapter changes the embeddings by a share of %.1e: weights in %s are rounded. Scores are those"
        )
        logger.warning(f"{text} of the merged model. model.dtype=float32 merges exactly.", change, dtype)


def save_model(model: "SentenceTransformer", path: Path, merges_adapter: bool = False) -> None:
    """Write the model as `SentenceTransformer(path)` reads it.

    Args:
        merges_adapter: merge an adapter into the model before, in place (`BaseModel.merges_adapter`); otherwise only
            the adapter is written, with the place of its base model.
    """
    if merges_adapter:
        merge_adapter(model)
    model.save_pretrained(str(path))


def _written_in(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file of an adapter in a model's folder, and its tensors by name; none where there is no such file."""
    from safetensors.torch import load_file

    places = [path.with_name("adapter_model.safetensors") for path in sorted(folder.rglob(ADAPTER_CONFIG))]
    file = next(filter(Path.is_file, places), folder)
    return file, {name: each for name, each in load_file(file).items() if ".lora_" in name} if file != folder else {}


def check_applied(model: "SentenceTransformer", folder: Path) -> None:
    """Refuse an adapter of which not all tensors got into the network: the model would be its untouched base.

    An adapter that adds nothing (B is zero) is logged.

    Args:
        folder: from which the model was loaded.

    Raises:
        ModelError: names a tensor that is not in the network.
    """
    file, written = _written_in(folder)
    there = sorted(tensor.float().norm().item() for name, tensor in model.state_dict().items() if ".lora_" in name)
    lacking = [name for name, tensor in _as_in(model, written) if not _taken(there, tensor.float().norm().item())]
    if lacking:  # transformers may rename them, so that their sizes are compared
        kind = type(model.transformers_model).__name__
        raise ModelError(
            f"identical: {len(lacking)} of the {len(written)} tensors of the adapter are not applied to {kind}, such "
            f"as {lacking[0]}: it would be the untouched base",
            file=file,
            expected="an adapter that was saved of the same class of network, on its own base",
        )
    if idle := idle_part(folder):
        logger.warning("identical: %s: %s.", file, idle)


def _as_in(model: "SentenceTransformer", written: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The tensors of an adapter's file, those first whose names the model's own end with."""
    own = tuple(name.replace(".default.", ".") for name in model.state_dict() if ".lora_" in name)
    short = {name: name.removeprefix("base_model.model.") for name in written}
    return sorted(written.items(), key=lambda each: not any(name.endswith(short[each[0]]) for name in own))


def _taken(norms: list[float], norm: float) -> bool:
    """Whether there is such a norm among these, in their order; it is taken out."""
    place = bisect_left(norms, norm * (1 - 1e-3))
    found = place < len(norms) and norms[place] <= norm * (1 + 1e-3)
    if found:
        del norms[place]
    return found


def idle_part(folder: Path) -> str:
    """Why the adapter in a saved model's folder does nothing; empty where it does something, or there is none."""
    ups = {name: tensor for name, tensor in _written_in(folder)[1].items() if ".lora_B." in name}
    if not ups or any(tensor.any() for tensor in ups.values()):
        return ""
    where = dict.fromkeys(name.partition(".lora_")[0].rpartition(".")[2] for name in ups)
    return f"none of the adapter's {len(ups)} matrices B ({listed(where)}) was updated: they are zero, and add nothing"
