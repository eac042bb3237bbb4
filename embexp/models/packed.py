"""The transformer's forward without padding, and when a model uses it. Imports torch: import it to load a model.

A batch is as wide as its longest row: of a batch of 32 MNLI pairs about two thirds of the positions are padding. Here
the rows are sorted by length and put into chunks of similar length. The chunks follow each other in one sequence, so
that every layer computes on hardly more than the real tokens, and only the attention goes chunk by chunk. The output
and its shape are those of the stock forward. (On a GPU, FlashAttention's functions for rows of any length do the same.)
"""

import inspect
import itertools
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.modeling_outputs import BaseModelOutput

from embexp.data.arrow import ranges_within

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)
_PACKED = "embexp_packed"  # the name of the attention among those of transformers
_CHUNK_TOKENS = 128  # a chunk takes rows until it is this large: small ones waste little, large ones need fewer calls
_Chunk = tuple[int, int, torch.Tensor | None]  # rows, width, mask (rows, 1, 1, width) or None where there is no padding


def _packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packed_chunks: list[_Chunk] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each row of each chunk; without chunks transformers' own sdpa.

    Args:
        query, key, value: `(1, heads, tokens, size)`, chunk after chunk.
    """
    if packed_chunks is None:
        arguments = {"scaling": scaling, "dropout": dropout, **kwargs}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **arguments)
    sizes = [rows * width for rows, width, _ in packed_chunks]
    parts = zip(*(states[0].split(sizes, dim=1) for states in (query, key, value)), strict=True)
    outputs = []
    for (rows, width, mask), states in zip(packed_chunks, parts, strict=True):
        by_row = (part.unflatten(1, (rows, width)).transpose(0, 1) for part in states)
        output = scaled_dot_product_attention(*by_row, attn_mask=mask, dropout_p=dropout, scale=scaling)
        outputs.append(output.transpose(1, 2).flatten(0, 1))  # (rows * width, heads, size)
    return torch.cat(outputs).unsqueeze(0), None


def _packed_mask(*args: Any, attention_mask: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor | None:
    """No mask for chunks, which bring their own; sdpa's for a padded batch."""
    return None if attention_mask is None else sdpa_mask(*args, attention_mask=attention_mask, **kwargs)


AttentionInterface.register(_PACKED, _packed_attention)
AttentionMaskInterface.register(_PACKED, _packed_mask)


class _PackedForward:
    """Replaces the `forward` of a transformer from transformers, and calls it on less padding.

    It is an object, not a closure, so that a copied model gets a copy of it.
    """

    def __init__(self, network: Any, longest_flat_row: int, first_position: int) -> None:
        self.network = network
        self.longest_flat_row = longest_flat_row
        self.first_position = first_position
        self.has_logged = False
        self.columns: list[Mapping[str, torch.Tensor]] = []  # of a batch, until the first one is asked for
        self.outputs: list[tuple[torch.Tensor, torch.Tensor]] = []  # afterwards: a column's tokens, its last layer

    def __call__(
        self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, **kwargs: Any
    ) -> Any:
        kwargs = {name: value for name, value in kwargs.items() if value is not None}  # a model's head passes on all
        if torch.is_grad_enabled() and any(input_ids is column["input_ids"] for column in self.columns):
            self._compute_columns(token_type_ids is not None, kwargs)
        for place, (tokens, hidden) in enumerate(self.outputs):
            if input_ids is tokens and torch.is_grad_enabled():
                del self.outputs[place]  # asked for again, it is computed again, with dropout of its own
                return BaseModelOutput(last_hidden_state=hidden)
        return self._forward(input_ids, attention_mask, token_type_ids, **kwargs)

    @contextmanager
    def together(self, columns: Sequence[Mapping[str, torch.Tensor]]) -> Iterator[None]:
        """Compute the columns of a batch in one call, once the first of them is asked for."""
        if len(columns) > 1 and all({"input_ids", "attention_mask"} <= {*column} for column in columns):
            self.columns = [*columns]
        try:
            with column_merging_disabled():  # sentence-transformers' own way, which leaves the first column out
                yield
        finally:
            self.columns, self.outputs = [], []

    def _compute_columns(self, has_types: bool, others: dict[str, Any]) -> None:
        """The last layer of all columns of the batch, where they can be packed."""
        columns, self.columns = self.columns, []
        names = ("input_ids", "attention_mask", *(["token_type_ids"] if has_types else []))
        longest = max(column["input_ids"].shape[1] for column in columns)
        stacked = {name: _stacked(columns, name, longest) for name in names}
        if self._can_pack(stacked["input_ids"], stacked["attention_mask"], others):
            parts = self._forward(**stacked, **others).last_hidden_state.split([len(c["input_ids"]) for c in columns])
            tokens = [column["input_ids"] for column in columns]
            self.outputs = [(each, part[:, : each.shape[1]]) for each, part in zip(tokens, parts, strict=True)]

    def _forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None, **kwargs: Any) -> Any:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        if not self._can_pack(input_ids, attention_mask, kwargs):
            if not self.has_logged:
                logger.info("The model gives more than its last layer, or pads left: it computes on padded batches.")
            self.has_logged = True
            return self._stock(input_ids=input_ids, attention_mask=attention_mask, **types, **kwargs)
        lengths, order = attention_mask.sum(dim=1).sort(stable=True)
        widths = lengths.tolist()
        ranges = ranges_within(_CHUNK_TOKENS, widths)
        if len(ranges) == 1 and widths[-1] == input_ids.shape[1]:
            return self._stock(input_ids=input_ids, attention_mask=attention_mask, **types, **kwargs)
        mask = attention_mask[order].bool()[:, None, None]
        chunks = []
        for start, end in ranges:
            width = widths[end - 1]
            is_full = widths[start] == width
            chunks.append((end - start, width, None if is_full else mask[start:end, ..., :width]))
        run = self._flat if widths[-1] <= self.longest_flat_row else self._by_chunk
        hidden = run(input_ids[order], {name: value[order] for name, value in types.items()}, chunks, kwargs)
        return BaseModelOutput(last_hidden_state=hidden[order.argsort()])

    def _stock(self, **arguments: Any) -> Any:
        return type(self.network).forward(self.network, **arguments)

    def _can_pack(self, input_ids: Any, attention_mask: Any, others: dict[str, Any]) -> bool:
        """Whether this is a batch padded on the right, and only the last layer is needed."""
        if input_ids is None or attention_mask is None or attention_mask.dim() != 2:
            return False
        config = self.network.config
        needs_more = config.output_hidden_states or config.output_attentions
        is_plain = not needs_more and not {*others} - {"return_dict"}
        return is_plain and bool(attention_mask[:, 0].all())  # padded on the right

    def _flat(
        self, tokens: torch.Tensor, types: dict[str, torch.Tensor], chunks: list[_Chunk], others: dict[str, Any]
    ) -> torch.Tensor:
        """All chunks in one sequence: one call; only the attention sees chunks."""
        rows, length = tokens.shape
        places = torch.arange(rows * length, device=tokens.device).view(rows, length)
        index = torch.cat([places[start:end, :width].flatten() for start, end, width in _row_ranges(chunks)])
        positions = torch.cat([torch.arange(width).repeat(number) for number, width, _ in chunks]) + self.first_position
        output = self._stock(
            input_ids=tokens.flatten()[index].unsqueeze(0),
            position_ids=positions.unsqueeze(0).to(tokens.device),
            packed_chunks=chunks,
            **{name: value.flatten()[index].unsqueeze(0) for name, value in types.items()},
            **others,
        )
        hidden = output.last_hidden_state[0]
        return hidden.new_zeros(rows * length, hidden.shape[-1]).index_copy(0, index, hidden).view(rows, length, -1)

    def _by_chunk(
        self, tokens: torch.Tensor, types: dict[str, torch.Tensor], chunks: list[_Chunk], others: dict[str, Any]
    ) -> torch.Tensor:
        """A call for each chunk, for models whose attention cannot be given chunks."""
        outputs = []
        for (start, end, width), (_, _, mask) in zip(_row_ranges(chunks), chunks, strict=True):
            part = tokens[start:end, :width]
            seen = torch.ones_like(part) if mask is None else mask[:, 0, 0].to(part.dtype)
            more = {name: value[start:end, :width] for name, value in types.items()}
            output = self._stock(input_ids=part, attention_mask=seen, **more, **others)
            outputs.append(pad(output.last_hidden_state, (0, 0, 0, tokens.shape[1] - width)))
        return torch.cat(outputs)


def _stacked(columns: Sequence[Mapping[str, torch.Tensor]], name: str, width: int) -> torch.Tensor:
    """The rows of all columns below each other, padded on the right."""
    return torch.cat([pad(column[name], (0, width - column[name].shape[1])) for column in columns])


def _row_ranges(chunks: list[_Chunk]) -> list[tuple[int, int, int]]:
    """First row, row after the last, and width of each chunk."""
    ends = list(itertools.accumulate(rows for rows, _, _ in chunks))
    return [(end - rows, end, width) for end, (rows, width, _) in zip(ends, chunks, strict=True)]


def _pack(network: "PreTrainedModel") -> Callable[[], None]:
    """Replace a network's forward by one without padding, which saved files do not show. Returns what undoes it."""
    attention = network.config._attn_implementation
    is_flat = network.is_backend_compatible() and "position_ids" in inspect.signature(network.forward).parameters
    network.forward = _PackedForward(network, _longest_flat_row(network) if is_flat else 0, _first_position(network))
    if is_flat:
        network.config._attn_implementation = _PACKED

    def undo() -> None:
        del network.forward
        network.config._attn_implementation = attention

    return undo


def _longest_flat_row(network: "PreTrainedModel") -> int:
    """Tokens of the longest row in which each token sees all: with a sliding window, those within it."""
    windows = [module.sliding_window for module in network.modules() if getattr(module, "sliding_window", None)]
    return min(windows, default=getattr(network.config, "max_position_embeddings", sys.maxsize))


def _first_position(network: "PreTrainedModel") -> int:
    """The number of a first token's position: in RoBERTa and its relatives they begin after the padding index."""
    for module in network.modules():
        if isinstance(getattr(module, "position_embeddings", None), torch.nn.Embedding):
            padding = getattr(module, "padding_idx", None)
            return padding + 1 if isinstance(padding, int) else 0
    return 0


_PROBE_LENGTHS = (2, 3, 3, 5, 9, 12, 17, 24, 33, 40)  # tokens of the rows on which both forwards are compared


def set_forward(model: "SentenceTransformer", forward: str | None) -> None:
    """Make a loaded model compute as `model.forward` says, in place; a model that cannot be packed is logged.

    Args:
        forward: packed: without padding; plain: as sentence-transformers does; None: packed on a CPU, plain on a GPU,
            and plain for a network whose code does not come from transformers.
    """
    if forward == "plain" or (forward is None and model.device.type != "cpu"):
        return
    reason = _why_not(model)
    if forward is None and not type(model.transformers_model).__module__.startswith("transformers."):
        reason = reason or "its code does not come from transformers"
    if reason := reason or _why_packing_differs(model.transformers_model):
        level = logging.INFO if forward is None else logging.WARNING
        logger.log(level, "model.forward=packed has no effect: %s. The model computes on padded batches.", reason)
        return
    _pack(model.transformers_model)
    logger.info("The model computes without padding; model.forward=plain computes on padded batches.")


def compute_columns_together(model: "SentenceTransformer", losses: Iterable[torch.nn.Module]) -> None:
    """Have all columns of a batch that one of the losses gets go through a packed network in one call.

    A loss embeds column after column: anchors, positives, negatives. In one call matrices are larger, rows of similar
    length more, and the gradient of the word embeddings is made once. A loss that embeds something else than the
    columns as they came (parts of a batch, other texts) has it computed as before.
    """
    forward, batch = getattr(model.transformers_model, "forward", None), ExitStack()
    if isinstance(forward, _PackedForward):
        for loss in losses:
            loss.register_forward_pre_hook(lambda _, given: batch.enter_context(forward.together(given[0])))
            loss.register_forward_hook(lambda *_: batch.close(), always_call=True)


def _why_not(model: "SentenceTransformer") -> str | None:
    """Why a model's forward cannot be packed, None where it can."""
    network = model.transformers_model
    if network is None:
        return "it has no transformer"
    if network.is_backend_compatible() and network.config._attn_implementation != "sdpa":
        return f"its attention is {network.config._attn_implementation}"
    if any(getattr(module, "is_causal", False) for module in network.modules()):
        return "it reads from left to right"
    return None


@torch.no_grad()
def _why_packing_differs(network: "PreTrainedModel") -> str | None:
    """Why a network cannot be packed, found by packing a copy of its forward and comparing both on a few rows.

    Some architectures see padding (convolutions, Fourier transforms, landmarks): less of it is another model.
    """
    features, was_training = _probe_batch(network), network.training
    network.eval()
    real = features["attention_mask"][..., None].bool()
    try:
        stock = network(**features, return_dict=True).last_hidden_state.where(real, 0)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # it needs pictures, a language, ...
        network.train(was_training)
        return f"it does not compute on tokens and their mask alone ({str(error).splitlines()[0]})"
    undo = _pack(network)
    packed = network(**features, return_dict=True).last_hidden_state.where(real, 0)
    undo()
    network.train(was_training)
    tolerance = math.sqrt(torch.finfo(stock.dtype).eps) * stock.abs().max()
    return None if (stock - packed).abs().max() <= tolerance else "what it computes depends on padding"


def _probe_batch(network: "PreTrainedModel") -> dict[str, torch.Tensor]:
    """Token ids of rows of many lengths, padded on the right, and their mask; leaves torch's own random state alone."""
    config = network.config
    positions = getattr(config, "max_position_embeddings", sys.maxsize) - _first_position(network)
    longest = min(_PROBE_LENGTHS[-1], positions)
    mask = (torch.arange(longest) < torch.tensor(_PROBE_LENGTHS)[:, None]).long()
    padding, size = getattr(config, "pad_token_id", None) or 0, getattr(config, "vocab_size", 2)
    tokens = torch.randint(size, mask.shape, generator=torch.Generator().manual_seed(0))
    tokens = tokens.where(tokens != padding, (padding + 1) % size).where(mask.bool(), padding)
    return {"input_ids": tokens.to(network.device), "attention_mask": mask.to(network.device)}
