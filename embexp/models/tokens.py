"""How many tokens a text has, and how many of them a model does not know: only its tokenizer is loaded."""

import importlib.util
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from embexp.config.compose import BY_PATH, SERVED
from embexp.config.session import option_files
from embexp.config.yaml_keys import SCRIPTS
from embexp.core.file_contents import cached_snapshot, json_in
from embexp.models.e5_small import is_installed
from embexp.models.pretrained import PretrainedModel
from embexp.models.stack import ModuleStack, StaticModel
from embexp.models.weights import LOCAL, folders_of, network_config, num_positions, within_positions
from embexp.models.words import words_of
from embexp.protocols import BaseModel

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
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

    def num_different(self, texts: Sequence[str]) -> int:
        """How many of the texts are still different once they are cut."""
        room = max(0, self.max_tokens - self.num_special)
        read = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return len({tuple(encoding.ids[:room]) for encoding in read})

    @property
    def num_special(self) -> int:
        """How many of the tokens are signs, such as those of begin and end."""
        return self.tokenizer.num_special_tokens_to_add(False)

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
    tokenizer = _tokenizer_in(folders)
    max_tokens = model.max_seq_length or _max_seq_length(folders)
    if not (tokenizer and max_tokens):
        return None
    config = next(filter(None, map(network_config, folders)), {})
    return TokenLimit(tokenizer, within_positions(max_tokens, config), num_positions(config))


def _tokenizer_in(folders: Sequence[Path]) -> "Tokenizer | None":
    """The tokenizer of the first of the folders that has one in the form of the tokenizers library."""
    file = next(filter(Path.is_file, (folder / "tokenizer.json" for folder in folders)), None)
    if file is None:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


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


@dataclass(frozen=True)
class UnknownTokens:
    """How much of some texts a tokenizer does not know.

    Attributes:
        unknown, total: tokens (words, where the model has a vector for each word), without special ones.
        unread: texts of which no token is known, of `texts` that are not blank.
        example: one of these; empty without any.
    """

    unknown: int
    total: int
    unread: int
    texts: int
    example: str = ""

    @property
    def share(self) -> float:
        """The share of the tokens that are unknown; 0 of none."""
        return self.unknown / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} %"


CountUnknown = Callable[[Sequence[str]], UnknownTokens]
FEW_UNKNOWN = 0.05  # share of unknown tokens from which on it is worth a warning
_SAMPLED = 2_000  # most texts whose tokens are counted


def unknown_by_files(model: BaseModel, place: Mapping[str, str]) -> CountUnknown | None:
    """What counts unknown tokens with the tokenizer of a model that lies in a local folder.

    None where only loading shows it: a model on the Hub, or one whose vocabulary is made of the training texts.
    """
    if isinstance(model, ModuleStack):
        model = model.base
    elif isinstance(model, StaticModel):
        model = model.source
    if not isinstance(model, PretrainedModel) or place["source"] not in LOCAL:
        return None
    folders = folders_of(Path(place["location"]))
    if tokenizer := _tokenizer_in(folders):
        return lambda texts: _counted(texts, lambda some: _pieces(tokenizer, some))
    words = next(filter(None, (json_in(folder / "whitespacetokenizer_config.json") for folder in folders)), None)
    return (lambda texts: _counted(texts, lambda some: _words({*words["vocab"]}, some))) if words else None


def unknown_by_model(model: "SentenceTransformer") -> CountUnknown | None:
    """What counts unknown tokens with the tokenizer of a loaded model; None where it has none that is known here."""
    tokenizer = getattr(model[0], "tokenizer", None)
    if hasattr(tokenizer, "encode_batch"):
        return lambda texts: _counted(texts, lambda some: _pieces(tokenizer, some))
    if hasattr(tokenizer, "word2idx"):
        return lambda texts: _counted(texts, lambda some: _words({*tokenizer.word2idx}, some))
    if hasattr(tokenizer, "unk_token_id") and callable(tokenizer):
        return lambda texts: _counted(texts, lambda some: _transformer_pieces(tokenizer, some))
    return None


def _counted(texts: Sequence[str], count: Callable[[Sequence[str]], Iterable[tuple[int, int]]]) -> UnknownTokens:
    """The counts of at most `_SAMPLED` texts, always the same ones.

    Args:
        count: gives the unknown and all tokens of each text.
    """
    some = [text for text in dict.fromkeys(texts) if text.strip()]
    if len(some) > _SAMPLED:
        some = [some[place] for place in sorted(random.Random(0).sample(range(len(some)), _SAMPLED))]
    counts = [*count(some)]
    unread = [text for text, (unknown, total) in zip(some, counts, strict=True) if unknown == total]
    unknown, total = (sum(each) for each in zip(*counts, strict=True)) if counts else (0, 0)
    return UnknownTokens(unknown, total, len(unread), len(some), unread[0] if unread else "")


def _pieces(tokenizer: "Tokenizer", texts: Sequence[str]) -> Iterable[tuple[int, int]]:
    """Unknown and all pieces of each text; a tokenizer without an unknown token leaves words out, which are counted.

    Tokenizers of bytes never give their unknown token, and leave nothing out.
    """
    names = (getattr(tokenizer.model, "unk_token", None), "[UNK]", "<unk>")
    unknown = next((number for name in names if name and (number := tokenizer.token_to_id(name)) is not None), None)
    for text, encoding in zip(texts, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True):
        if unknown is not None:
            yield encoding.ids.count(unknown), len(encoding.ids)
        else:
            left_out = sum(not tokenizer.encode(word, add_special_tokens=False).ids for word in text.split())
            yield left_out, left_out + len(encoding.ids)


def _transformer_pieces(tokenizer: Any, texts: Sequence[str]) -> Iterable[tuple[int, int]]:
    lists = tokenizer([*texts], add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    for ids in lists:
        yield (0 if tokenizer.unk_token_id is None else ids.count(tokenizer.unk_token_id)), len(ids)


def _words(vocabulary: set[str], texts: Sequence[str]) -> Iterable[tuple[int, int]]:
    """Words without a vector, and all words, of each text."""
    known = {word.lower() for word in vocabulary}
    for text in texts:
        words = words_of(text)
        yield sum(word not in known for word in words), len(words)


_MINOR = 0.05  # share of the letters below which a script does not count


def scripts_of(texts: Iterable[str]) -> list[str]:
    """The writing systems of the texts, the most frequent first; rare ones are left out.

    >>> scripts_of(["股票大跌", "the stock market"]), scripts_of(["Привет, мир"]), scripts_of(["12"])
    (['latin', 'han'], ['cyrillic'], [])
    """
    counts = Counter(_script(character) for text in texts for character in text if character.isalpha())
    return [script for script, count in counts.most_common() if count >= _MINOR * counts.total()]


def _script(letter: str) -> str:
    if letter < "\u0250":
        return "latin"
    found = (name for name, ranges in SCRIPTS.items() if any(first <= letter <= last for first, last in ranges))
    return next(found, "other")


def scripts_read_by(model: str) -> set[str]:
    """The scripts that an option of the group `model` reads, by its YAML; empty where it does not say, or is none.

    >>> scripts_read_by("bge_small_zh") == {"han", "latin"}, scripts_read_by("org/model")
    (True, set())
    """
    files = option_files("model")
    return {*(_option(model, files).get("_scripts_") or ())} if model in files else set()


def models_for(scripts: Sequence[str], needs_transformer: bool = False, trained: bool = False) -> dict[str, bool]:
    """The options of the group `model` that read all of the scripts, and whether each needs the Hub; those last.

    Language models that were not yet trained to embed texts stand behind embedding models. Of those from the Hub the
    ones for few scripts come first, then the small ones, each id once.

    Only their YAML files are read: composing each would take seconds.

    Args:
        needs_transformer: only models with one.
        trained: without those whose weights are random.
    """
    files, found, ids = option_files("model"), {}, {}
    for name in sorted({*files} - {BY_PATH, SERVED}):
        node = _option(name, files)
        known, weights = {*(node.get("_scripts_") or ())}, node.get("base") or node.get("source") or node
        is_scratch = not weights.get("id")
        has_transformer = bool(node.get("base")) or str(node.get("_target_")).endswith(
            (".PretrainedModel", ".ScratchModel")
        )
        if not scripts or not ("any" in known or {*scripts} <= known) or (trained and is_scratch):
            continue
        if has_transformer or not needs_transformer:
            is_far, is_raw = not is_scratch and not _is_here(weights), bool(node.get("_language_model_"))
            size = len(known), node.get("_width_") or 0
            found[name] = (is_far, is_scratch, is_scratch and has_transformer, is_raw, *(size if is_far else ()))
            ids[name] = weights.get("id") or name
    order = sorted(found, key=found.__getitem__)
    first = {ids[name]: name for name in reversed(order)}
    return {name: found[name][0] for name in order if not found[name][0] or first[ids[name]] == name}


def _option(name: str, files: Mapping[str, Path]) -> dict[str, Any]:
    """A model's YAML with those that its defaults name; what these refer to stays as it is written."""
    own = OmegaConf.to_container(OmegaConf.load(files[name]))
    node: dict[str, Any] = {}
    for default in own.pop("defaults", ()):
        other, _, place = str(default).partition("@")
        if other in files:
            node |= {place: _option(other, files)} if place else _option(other, files)
    return node | own


def _is_here(weights: Mapping[str, Any]) -> bool:
    """Whether published weights are in an installed package, in packages to rebuild them from, or the Hub's cache."""
    package = weights.get("package")
    in_package = is_installed() if weights.get("rebuild") else bool(package and importlib.util.find_spec(package))
    return in_package or cached_snapshot(weights["id"], None) is not None
