"""How a loaded model reads a text: what its tokenizer puts after it, where it cuts and pads it, what attention sees.

All of it is saved with the model, so that `SentenceTransformer(path)` reads texts the same way.
"""

from typing import TYPE_CHECKING, Any

from embexp.core.arguments import LegalValues, problems_with
from embexp.errors import ModelError, listed
from embexp.models.weights import within_positions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NO_EOS = "trained_without_eos"  # in tokenizer_config.json, of a model that was trained so on purpose
# Gemma 3 is built for its mask by this flag of its configuration; the other decoders of transformers read `is_causal`.
FLAG = "use_bidirectional_attention"
READ_FLAG = ("gemma3", "gemma3_text")


def appended(tokenizer: Any) -> int | None:
    """The token that a tokenizer appends to every text; None where texts end with a piece of their own."""
    ends = {tuple(tokenizer(text)["input_ids"][-1:]) for text in ("a", "b c", "7")}
    return next(iter(ends))[0] if len(ends) == 1 and ends != {()} else None


# Qwen3-Embedding ends a text with its padding token; its tokenizer's end of a sequence is that of a chat, <|im_end|>.
_TRAINED_END = {"qwen3": "<|endoftext|>"}


def end_token(tokenizer: Any, model_type: str | None) -> str | None:
    """What embedders of an architecture are trained to read at the end of a text; else the tokenizer's own end."""
    trained = _TRAINED_END.get(model_type or "")
    return trained if trained and trained in tokenizer.get_vocab() else tokenizer.eos_token or tokenizer.sep_token


def mask_settings(mask: str | None) -> dict[str, Any]:
    """What to load a network's configuration with, so that its layers are built for a mask; see `set_mask`."""
    return {} if mask is None else {FLAG: mask == "bidirectional"}  # left out by those that do not know it


def set_mask(model: "SentenceTransformer", mask: str) -> None:
    """Have a loaded decoder's attention see the tokens before alone, or all, in place; it is saved so.

    Raises:
        ModelError: the network's class does not heed it.
    """
    network = model.transformers_model
    if network is None:
        raise ModelError("was given; the model has no transformer", key="model.mask", given=mask, fix="model.mask=null")
    if network.config.model_type not in READ_FLAG:
        network.config.is_causal = mask == "causal"
    if _reads_ahead(model) == (mask == "causal"):
        text = "has no effect on this network"
        raise ModelError(text, key="model.mask", given=mask, fix="model.mask=null")


def set_limit(model: "SentenceTransformer", max_seq_length: int | None) -> None:
    """Have a loaded model cut texts after so many tokens, in place; None keeps its own, up to the positions it has.

    Raises:
        ModelError: the limit leaves a transformer no token of a text besides those of begin and end.
    """
    network = model.transformers_model
    if max_seq_length is None:
        if network is not None and (saved := model.max_seq_length):
            model.max_seq_length = within_positions(saved, network.config.to_dict())
        return
    count = getattr(model.tokenizer, "num_special_tokens_to_add", None)
    if count and network is not None:
        legal, note = LegalValues(least=1 + count(False), whole=True), "All texts would be the same"
        if problems := [*problems_with("model.max_seq_length", max_seq_length, legal, 128, note)]:
            raise ModelError(*problems)
    model.max_seq_length = max_seq_length


def set_reading(
    model: "SentenceTransformer", eos: bool | str | None, padding_side: str | None, on_purpose: bool
) -> None:
    """Have a loaded model's tokenizer append a token, pad on a side and give a mask, in place; all is saved with it.

    A tokenizer without a token for the padding, as many decoders have it, pads with its end-of-sequence token, which
    the mask hides.

    Args:
        on_purpose: that texts end without a token is meant, and is noted in the tokenizer's files.

    Raises:
        ModelError: there is no such token.
    """
    tokenizer = getattr(model[0], "tokenizer", None)
    if not hasattr(tokenizer, "backend_tokenizer"):
        return
    if padding_side:
        tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = padding_side
        names = [*tokenizer.model_input_names]
        tokenizer.model_input_names = names if "attention_mask" in names else [*names, "attention_mask"]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    if eos and appended(tokenizer) is None:
        config = getattr(model.transformers_model, "config", None)
        _append(tokenizer, eos, getattr(config, "model_type", None))
    elif on_purpose and not eos and appended(tokenizer) is None:
        tokenizer.init_kwargs[NO_EOS] = True
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token


def _append(tokenizer: Any, eos: bool | str, model_type: str | None) -> None:
    from tokenizers.processors import TemplateProcessing

    token = eos if isinstance(eos, str) else end_token(tokenizer, model_type)
    number = token and tokenizer.get_vocab().get(token)
    if number is None:
        specials = listed(tokenizer.all_special_tokens)
        text = "was given; the tokenizer has no end-of-sequence token" if eos is True else "is not in the vocabulary"
        raise ModelError(text, key="model.eos", given=eos, expected=f"one of: {specials}", fix="model.eos=null")
    text, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    before = tokenizer.convert_ids_to_tokens(whole[: len(whole) - len(text)])  # after the text there is none
    single = " ".join([*before, "$A", token])
    tokens = {token: number} | {each: tokenizer.convert_tokens_to_ids(each) for each in before}
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single, pair=f"{single} {single.replace('$A', '$B:1')}", special_tokens=[*tokens.items()]
    )


def _reads_ahead(model: "SentenceTransformer") -> bool:
    """Whether the first token's vector depends on those after it: the mask of a loaded network as it computes."""
    import torch

    network = model.transformers_model
    was_training, _ = network.training, network.eval()
    size = network.config.get_text_config().vocab_size
    tokens = torch.stack([torch.arange(1, 9), torch.arange(9, 1, -1)]).to(network.device) % size
    tokens[:, 0] = 1
    with torch.no_grad():
        hidden = network(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    network.train(was_training)
    first, second = hidden[:, 0].float()
    return bool((first - second).norm() > 1e-4 * first.norm())
