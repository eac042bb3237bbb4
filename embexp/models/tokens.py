"""How many tokens a text has, by a model's files: only its tokenizer is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.core.file_contents import json_in
from embexp.models.pretrained import PretrainedModel
from embexp.models.stack import ModuleStack
from embexp.models.weights import LOCAL, folders_of, network_config, num_positions
from embexp.protocols import BaseModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class TokenLimit:
    """A model's tokenizer, and how many tokens of a text the model reads; the rest is cut off.

    Attributes:
        most: how many it could read, where the network has a limit.
    """

    tokenizer: "Tokenizer"
    max_tokens: int
    most: int | None = None

    @property
    def can_grow(self) -> bool:
        """Whether the model could read longer texts than it does."""
        return self.most is None or self.most > self.max_tokens

    def enough_for(self, texts: Sequence[str]) -> int:
        """A limit that cuts none of the texts, if the network has one."""
        longest = max(self.num_tokens(texts))
        return longest if self.most is None else min(longest, self.most)

    def num_cut(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than the model reads, special tokens counted."""
        return sum(count > self.max_tokens for count in self.num_tokens(texts))

    def num_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones counted."""
        return [len(encoding.ids) for encoding in self.tokenizer.encode_batch(list(texts))]


def token_limit(model: BaseModel, place: Mapping[str, str]) -> TokenLimit | None:
    """The token limit of a model that lies in a local folder.

    None where it is not known before loading: a model on the Hub, from scratch, or of token or word vectors (which
    read texts of any length), a tokenizer in another format, or no limit in the files.
    """
    model = model.base if isinstance(model, ModuleStack) else model
    if not isinstance(model, PretrainedModel) or place["source"] not in LOCAL:
        return None
    folders = folders_of(Path(place["location"]))
    tokenizer_file = next(filter(Path.is_file, (folder / "tokenizer.json" for folder in folders)), None)
    max_tokens = model.max_seq_length or _max_seq_length(folders)
    if tokenizer_file is None or max_tokens is None:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    positions = (num_positions(config) for folder in folders if (config := network_config(folder)))
    return TokenLimit(tokenizer, max_tokens, next(positions, None))


def _max_seq_length(folders: Sequence[Path]) -> int | None:
    """As sentence-transformers finds it: its own file first, else the smaller of the tokenizer's and the network's."""
    for folder in folders:
        if given := (json_in(folder / "sentence_bert_config.json") or {}).get("max_seq_length"):
            return given
    limits = [
        (json_in(folder / name) or {}).get(key)
        for folder in folders
        for name, key in (("tokenizer_config.json", "model_max_length"), ("config.json", "max_position_embeddings"))
    ]
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=None)
