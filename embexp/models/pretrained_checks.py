"""What can be told of a base model's arguments before it is loaded: their names, its files, the machine."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from embexp.errors import ConfigError, ModelError, did_you_mean, listed
from embexp.models.adapters import PEFT_IS_MISSING
from embexp.models.model_files import is_adapter, network_config, num_positions
from embexp.models.network import POOLING_MODES, too_many_layers

DTYPES = ("float32", "bfloat16", "float16")
ATTENTIONS = ("eager", "sdpa", "flash_attention_2")
FORWARDS = ("packed", "plain")


def check_names(
    pooling: str | Sequence[str] | None, dtype: str | None, attention: str | None, forward: str | None
) -> None:
    """Refuse values that are none of the known ones, all at once.

    Raises:
        ConfigError: for each of them, what was given, the known ones, and the nearest.
    """
    modes = [pooling] if isinstance(pooling, str) else pooling or []
    misfits = [
        f"model.{key}={value} is not known. Expected one of: {listed(known)}. {did_you_mean(value, known)}".strip()
        for key, values, known in (
            ("pooling", modes, POOLING_MODES),
            ("dtype", [dtype], DTYPES),
            ("attention", [attention], ATTENTIONS),
            ("forward", [forward], FORWARDS),
        )
        for value in values
        if value is not None and value not in known
    ]
    if misfits:
        raise ConfigError("\n".join(misfits))


def check_files(folder: Path, num_layers: int | None, max_seq_length: int | None) -> None:
    """Refuse what the files of a model show to be impossible.

    Raises:
        ModelError: more layers or tokens than the network has, or an adapter where peft is not installed.
    """
    config = network_config(folder)
    there, positions = config.get("num_hidden_layers"), num_positions(config)
    if num_layers is not None and there and not 1 <= num_layers <= there:
        raise too_many_layers(num_layers, there)
    if max_seq_length is not None and positions and not 1 <= max_seq_length <= positions:
        raise ModelError(
            f"model.max_seq_length={max_seq_length} does not fit: the model reads at most {positions} tokens. "
            f"Type model.max_seq_length=<1 to {positions}>."
        )
    if is_adapter(folder) and importlib.util.find_spec("peft") is None:
        raise ModelError(f"{folder} holds an adapter; {PEFT_IS_MISSING}, or give a model that was merged.")


def check_attention(attention: str | None) -> None:
    """Refuse FlashAttention where it cannot run; imports torch.

    Raises:
        ModelError: there is no GPU, or no package with its code.
    """
    if attention != "flash_attention_2":
        return
    import torch
    from transformers.utils import is_flash_attn_2_available

    if not torch.cuda.is_available():
        raise ModelError(
            "model.attention=flash_attention_2 needs an NVIDIA GPU; there is none. Type model.attention=sdpa."
        )
    if not is_flash_attn_2_available() and importlib.util.find_spec("kernels") is None:
        raise ModelError(
            "model.attention=flash_attention_2 needs the package kernels or flash-attn; neither is installed. "
            "Type pip install kernels, or model.attention=sdpa."
        )
