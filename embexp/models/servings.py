"""A trained model as a server may serve it: with another prompt, pooling, length, other special tokens, fewer bits."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy

from embexp.models.pretrained import POOLING_MODES
from embexp.models.reading import appended

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

# What may come of the special tokens at both ends of a text.
NO_END, NO_BEGIN, NO_SPECIAL, SECOND_END, WITH_BEGIN = "no end", "no begin", "none", "second end", "begin"
TOKENS = {
    NO_END: "without the token at the end of a text (EOS)",
    NO_BEGIN: "without the token at the beginning of a text",
    NO_SPECIAL: "without special tokens",
    SECOND_END: "with one more token at the end of a text (EOS)",
    WITH_BEGIN: "with a token at the beginning of a text (BOS) that the trained model does not have",
}


@dataclass(frozen=True)
class Serving:
    """How a model is served, where that differs from how it was trained.

    Attributes:
        prompt: before each text; None for the model's own default.
        pooling: one of `POOLING_MODES`.
        tokens: what comes of the special tokens: a key of TOKENS.
        without: a class of modules after the transformer that are left out.
        lower: texts in lower case.
        max_tokens: that are read of a text.
        from_end: a text that is too long loses its beginning.
    """

    prompt: str | None = None
    pooling: str | None = None
    tokens: str | None = None
    without: str | None = None
    lower: bool = False
    max_tokens: int | None = None
    from_end: bool = False


AS_TRAINED = Serving()


def own_prompt(model: "SentenceTransformer") -> str:
    """The prompt that the model puts before each text by itself; empty for none."""
    return model.prompts.get(model.default_prompt_name or "") or ""


def serve(model: "SentenceTransformer", serving: Serving, texts: Sequence[str]) -> numpy.ndarray:
    """The vectors of texts, served so, float32 `(len(texts), dim)`; each text is encoded alone, so without padding."""
    import torch

    prompt = own_prompt(model) if serving.prompt is None else serving.prompt
    before, modules, side = model.max_seq_length, _modules(model, serving), _truncation_side(model)
    found = []
    model.eval()
    try:
        if serving.max_tokens:
            model.max_seq_length = serving.max_tokens
        _set_truncation_side(model, "left" if serving.from_end else side)
        with torch.no_grad():
            for text in texts:
                features = model.preprocess([text.lower() if serving.lower else text], prompt=prompt or None)
                features = _edited(model, features, serving.tokens) if serving.tokens else features
                features = {name: _moved(value, model.device) for name, value in features.items()}
                for module in modules:
                    features = module(features)
                found.append(features["sentence_embedding"][0].float().cpu().numpy())
    finally:
        _set_truncation_side(model, side)
        if serving.max_tokens:
            model.max_seq_length = before
    return numpy.stack(found).astype("float32")


def _moved(value: Any, device: "torch.device") -> Any:
    return value.to(device) if hasattr(value, "to") else value


def _truncation_side(model: "SentenceTransformer") -> str:
    return getattr(model.tokenizer, "truncation_side", "right")


def _set_truncation_side(model: "SentenceTransformer", side: str) -> None:
    if hasattr(model.tokenizer, "truncation_side") and model.tokenizer.truncation_side != side:
        model.tokenizer.truncation_side = side


def _modules(model: "SentenceTransformer", serving: Serving) -> list["torch.nn.Module"]:
    from sentence_transformers.sentence_transformer.modules import Pooling

    modules = [module for module in model if type(module).__name__ != serving.without]
    if serving.pooling:
        place = next(number for number, module in enumerate(modules) if isinstance(module, Pooling))
        old = modules[place]
        modules[place] = Pooling(old.embedding_dimension, serving.pooling, old.include_prompt)
    return modules


def _edited(model: "SentenceTransformer", features: dict[str, Any], tokens: str) -> dict[str, Any]:
    """The features of one text with other special tokens at its ends."""
    import torch

    ids, special = features["input_ids"][0].tolist(), {*model.tokenizer.all_special_ids}
    drops_end = tokens in (NO_END, NO_SPECIAL) and len(ids) > 1 and ids[-1] in special
    drops_begin = tokens in (NO_BEGIN, NO_SPECIAL) and len(ids) > 1 and ids[0] in special
    first, last = int(drops_begin), len(ids) - int(drops_end)
    edited = {}
    for name, value in features.items():
        if not (isinstance(value, torch.Tensor) and value.dim() == 2 and value.shape[1] == len(ids)):
            edited[name] = value
            continue
        value = value[:, first:last]
        added = _added(model, tokens) if name == "input_ids" else value[0, 0].item()
        column = torch.full((1, 1), added if added is not None else 0, dtype=value.dtype)
        if tokens == SECOND_END:
            value = torch.cat([value, column], dim=1)
        elif tokens == WITH_BEGIN:
            value = torch.cat([column, value], dim=1)
        edited[name] = value
    return edited


def _added(model: "SentenceTransformer", tokens: str) -> int | None:
    tokenizer = model.tokenizer
    if tokens == SECOND_END:
        if (end := appended(tokenizer)) is not None:  # need not be the tokenizer's own end, as of Qwen3-Embedding
            return end
        return tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    return tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id


def num_tokens(model: "SentenceTransformer", text: str) -> int:
    """How many tokens a text has, however long; 0 where the model has no tokenizer that says so."""
    if not hasattr(model.tokenizer, "all_special_ids"):
        return 0
    return len(model.tokenizer(text, truncation=False)["input_ids"])


def other_servings(model: "SentenceTransformer", prompts: Sequence[str]) -> Iterator[tuple[str, Serving]]:
    """Single faults that a server may have, each with the cause that it is an example of.

    Args:
        prompts: that a server may put before each text; those of the model are among them by themselves.
    """
    from sentence_transformers.sentence_transformer.modules import Pooling

    own = own_prompt(model)
    for prompt in dict.fromkeys(["", *model.prompts.values(), *prompts, own + own]):
        if prompt != own:
            yield "prompt", Serving(prompt=prompt)
    pooling = next((module.pooling_mode for module in model if isinstance(module, Pooling)), None)
    behind = {type(module).__name__ for module in model if type(module).__name__ in ("Dense", "LayerNorm")}
    if isinstance(pooling, str):
        for mode in POOLING_MODES:
            if mode != pooling and {mode, pooling} != _SAME_DIRECTION:
                yield "pooling", Serving(pooling=mode)
    for name in sorted(behind):
        yield "modules", Serving(without=name)
    if hasattr(model.tokenizer, "all_special_ids") and hasattr(model[0], "auto_model"):
        for tokens in (each for each in TOKENS if _differs(model, each)):
            yield "EOS" if tokens in (NO_END, SECOND_END) else "special tokens", Serving(tokens=tokens)
    yield "lower case", Serving(lower=True)


_SAME_DIRECTION = {"mean", "mean_sqrt_len_tokens"}  # of other lengths


def _differs(model: "SentenceTransformer", tokens: str) -> bool:
    """Whether a text has other tokens so; one token that is added must be known, and not be there already."""
    features = model.preprocess(["a text"])
    ids = features["input_ids"][0].tolist()
    if tokens in (SECOND_END, WITH_BEGIN) and (added := _added(model, tokens)) is not None:
        return tokens == SECOND_END or ids[0] != added
    return tokens not in (SECOND_END, WITH_BEGIN) and _edited(model, features, tokens)["input_ids"][0].tolist() != ids


def combined(found: Sequence[tuple[str, Serving]]) -> Iterator[tuple[tuple[str, str], Serving]]:
    """Each two of these faults together, where their causes differ."""
    for place, (cause, first) in enumerate(found):
        for other, second in found[place + 1 :]:
            if cause != other:
                changed = {key: value for key, value in vars(second).items() if value != getattr(AS_TRAINED, key)}
                yield (cause, other), replace(first, **changed)


def rounded(model: "SentenceTransformer", bits: int) -> "SentenceTransformer":
    """A copy of the model with weights of fewer bits: 16 for bfloat16, all of it; 8 or 4 for whole numbers and scales.

    With 8 bits each output of a linear layer has a scale of its own, with 4 each 32 weights of it.
    """
    import torch

    made = copy.deepcopy(model)
    if bits == 16:
        return made.to(torch.bfloat16)
    most, group = 2 ** (bits - 1) - 1, 32
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
                weight = module.weight
                size = group if bits < 8 and weight.shape[1] % group == 0 else weight.shape[1]
                parts = weight.reshape(len(weight), -1, size)
                scale = parts.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / most
                weight.copy_(((parts / scale).round() * scale).reshape(weight.shape))
    return made
