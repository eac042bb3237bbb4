"""Small networks of today's architectures with random weights and a tokenizer of bytes, saved as the Hub has them."""

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

TEXTS = ("the market rose", "the market fell sharply", "central banks raise rates", "a cat sleeps", "股票大跌")
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_end|>", "<bos>", "<eos>", "[MASK]")
_ENDS = MappingProxyType({  # what begins and ends a text, by architecture
    "qwen2": (None, "<|endoftext|>"),
    "qwen3": (None, "<|endoftext|>"),
    "mistral": ("<s>", "</s>"),
    "llama": ("<s>", "</s>"),
    "gemma3_text": ("<bos>", "<eos>"),
})  # fmt: skip
# Qwen3-Embedding ends a text with its padding token; its tokenizer's end of a sequence is another.
_OWN_TOKENS = MappingProxyType({"qwen3": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}})
_SIZES = MappingProxyType({
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
})  # fmt: skip
DECODERS = tuple(_ENDS)
ENCODERS = ("modernbert", "xlm-roberta", "bert")


def write_tokenizer(folder: Path, begin: str | None, end: str | None, **settings: Any) -> None:
    """A tokenizer whose tokens are bytes; `begin` and `end` are those that it puts around a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary = {token: number for number, token in enumerate(_SPECIAL)}
    vocabulary |= {
        letter: len(_SPECIAL) + place for place, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))
    }
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([*_SPECIAL])
    around = " ".join(filter(None, (begin, "$A", end)))
    tokens = [(token, vocabulary[token]) for token in (begin, end) if token]
    if tokens:
        tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=tokens)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | settings))


def network_in(
    folder: Path, architecture: str, *, causal_lm: bool = True, eos: bool = True, tokenizer: Any = None, **config: Any
) -> Path:
    """A network with its tokenizer, without a pooling of its own.

    Args:
        causal_lm: name a decoder's class as language models are on the Hub (Qwen3ForCausalLM).
        eos: whether the tokenizer appends the architecture's end of a text.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    begin, end = _ENDS.get(architecture, ("<s>", "</s>"))
    heads = {"num_key_value_heads": 1, "head_dim": 16} if architecture in _ENDS else {}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    settings = AutoConfig.for_model(architecture, vocab_size=300, **{**_SIZES, **heads, **special, **config})
    torch.manual_seed(1)
    network = AutoModel.from_config(settings)
    with torch.no_grad():
        for weight in network.parameters():  # far from a uniform attention, so that an order and a mask are seen
            if weight.dim() == 2:
                weight.mul_(3)
    network.save_pretrained(folder)
    if causal_lm and architecture in _ENDS:
        edit_json(
            folder / "config.json",
            architectures=[network.config.architectures[0].replace("Text", "").replace("Model", "ForCausalLM")],
        )
    named = (
        {"bos_token": begin, "eos_token": end}
        if architecture in _ENDS
        else {"cls_token": begin, "sep_token": end, "mask_token": "[MASK]"}
    )
    write_tokenizer(
        folder, begin, end if eos else None, **named | _OWN_TOKENS.get(architecture, {}) | (tokenizer or {})
    )
    return folder


def edit_json(file: Path, **values: Any) -> None:
    """Change values of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def embedder_in(folder: Path, architecture: str, pooling: str, prompts: Any = None, **arguments: Any) -> Path:
    """The same as a saved model of sentence-transformers, with pooling and normalisation."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    source = network_in(folder.with_name(f"{folder.name}_network"), architecture, **arguments)
    transformer = Transformer(str(source))
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling), Normalize()]
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(folder))
    return folder
