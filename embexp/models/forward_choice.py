"""Which forward a loaded model computes with: without padding, or as sentence-transformers does. Imports torch."""

import logging
import math
import sys
from typing import TYPE_CHECKING

import torch

from embexp.models.packed import first_position, pack

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)
PROBE_LENGTHS = (2, 3, 3, 5, 9, 12, 17, 24, 33, 40)  # tokens of the rows on which both forwards are compared


def arrange_forward(model: "SentenceTransformer", forward: str | None) -> None:
    """Have a loaded model compute as `model.forward` says, in place; where it cannot be packed, that is logged.

    Args:
        forward: packed: without padding; plain: as sentence-transformers does; None: packed on a CPU, plain on a GPU,
            and plain for a network whose code does not come from transformers.
    """
    if forward == "plain" or (forward is None and model.device.type != "cpu"):
        return
    if reason := why_not(model) or (forward is None and why_not_unasked(model)) or differs(model.transformers_model):
        level = logging.INFO if forward is None else logging.WARNING
        logger.log(level, "model.forward=packed has no effect: %s. The model computes on padded batches.", reason)
        return
    pack(model.transformers_model)
    logger.info("The model computes without padding; model.forward=plain computes on padded batches.")


def why_not(model: "SentenceTransformer") -> str | None:
    """Why a model's forward cannot be packed, None where it can."""
    network = model.transformers_model
    if network is None:
        return "it has no transformer"
    if network.is_backend_compatible() and network.config._attn_implementation != "sdpa":
        return f"its attention is {network.config._attn_implementation}"
    if any(getattr(module, "is_causal", False) for module in network.modules()):
        return "it reads from left to right"
    return None


def why_not_unasked(model: "SentenceTransformer") -> str | None:
    """Why a model that could be packed is not, unless `model.forward=packed` was typed."""
    known = type(model.transformers_model).__module__.startswith("transformers.")
    return None if known else "its code does not come from transformers"


@torch.no_grad()
def differs(network: "PreTrainedModel") -> str | None:
    """Why a network cannot be packed, found by packing a copy of its forward and comparing both on a few rows.

    Some architectures see padding (convolutions, Fourier transforms, landmarks): less of it is another model.
    """
    features, was_training = probe_batch(network), network.training
    network.eval()
    real = features["attention_mask"][..., None].bool()
    try:
        stock = network(**features, return_dict=True).last_hidden_state.where(real, 0)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # it wants pictures, a language, ...
        network.train(was_training)
        return f"it does not compute on tokens and their mask alone ({str(error).splitlines()[0]})"
    undo = pack(network)
    packed = network(**features, return_dict=True).last_hidden_state.where(real, 0)
    undo()
    network.train(was_training)
    tolerance = math.sqrt(torch.finfo(stock.dtype).eps) * stock.abs().max()
    return None if (stock - packed).abs().max() <= tolerance else "what it computes depends on padding"


def probe_batch(network: "PreTrainedModel") -> dict[str, torch.Tensor]:
    """Token ids of rows of many lengths, padded on the right, and their mask; draws nothing from torch's own seed."""
    config = network.config
    positions = getattr(config, "max_position_embeddings", sys.maxsize) - first_position(network)
    longest = min(PROBE_LENGTHS[-1], positions)
    mask = (torch.arange(longest) < torch.tensor(PROBE_LENGTHS)[:, None]).long()
    padding, size = getattr(config, "pad_token_id", None) or 0, getattr(config, "vocab_size", 2)
    tokens = torch.randint(size, mask.shape, generator=torch.Generator().manual_seed(0))
    tokens = tokens.where(tokens != padding, (padding + 1) % size).where(mask.bool(), padding)
    return {"input_ids": tokens.to(network.device), "attention_mask": mask.to(network.device)}
