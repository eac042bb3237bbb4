"""Models from scratch: a small BERT whose tokenizer is made from the training texts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from embexp.core.arguments import LegalValues, problems_with, problems_with_all, refuse
from embexp.errors import Problem
from embexp.models.adapters import LoraAdapter, refuse_adapter
from embexp.models.pretrained import FORWARDS
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SCRATCH = "scratch"  # the folder of its parts
FROM_SCRATCH = {
    "id": "scratch",
    "source": "scratch",
    "location": "random weights",
    "revision": "",
    "sha256": "",
    "files": "",
}


_SIZE = LegalValues(least=1, most=10**6, whole=True)
_WIDTH = LegalValues(least=4, most=10**6, whole=True)  # layer normalisation makes all vectors of 1 or 2 numbers alike
_LENGTH = LegalValues(least=3, most=10**5, whole=True)  # two tokens are the signs of begin and end


@dataclass(frozen=True)
class ScratchModel:
    """A BERT with random weights (Devlin et al. 2019), mean pooling, and a WordPiece tokenizer of its own.

    Chinese text is split into characters, as BERT does, so it works for any language.

    Args:
        vocabulary_size: most word pieces of the tokenizer (all characters of the texts are always in it).
        hidden_size: numbers in a token's vector and in an embedding; a multiple of num_heads.
        max_seq_length: longest input in tokens.
        forward: packed, plain or None, as for `PretrainedModel`.
        adapter: is refused: there are no trained weights to adapt.

    Raises:
        ConfigError: a size that cannot be built, or an adapter.
    """

    has_transformer: ClassVar[bool] = True
    trains_adapter: ClassVar[bool] = False
    merges_adapter: ClassVar[bool] = False

    num_layers: int
    hidden_size: int
    num_heads: int
    vocabulary_size: int
    max_seq_length: int
    forward: str | None = None
    adapter: LoraAdapter | None = None

    def __post_init__(self) -> None:
        refuse_adapter(self.adapter)
        sizes = {field.name: getattr(self, field.name) for field in fields(self) if field.type is int}
        legal = dict.fromkeys(sizes, _SIZE) | {"max_seq_length": _LENGTH, "hidden_size": _WIDTH}
        problems = [*problems_with_all(legal, sizes)]
        if not problems and self.hidden_size % self.num_heads:
            fix = f"hidden_size={-(-self.hidden_size // self.num_heads) * self.num_heads}"
            text = f"is no multiple of the {self.num_heads} heads"
            problems = [Problem(text, "hidden_size", self.hidden_size, fix=(fix, "num_heads=<number>"))]
        refuse([*problems, *problems_with("forward", self.forward, FORWARDS, "packed")], under="model")

    def locate(self) -> dict[str, str]:
        """There is nothing to find: the weights are random, by the run's seed."""
        return dict(FROM_SCRATCH)

    def check(self) -> None:
        """There is nothing to check."""

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """The untrained model; its parts are also saved in `folder`, from where losses may load them again."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
        from transformers import BertConfig, BertModel

        from embexp.models.packed import set_forward

        place = folder / SCRATCH
        tokenizer = wordpiece_tokenizer(training_texts(), self.vocabulary_size, self.max_seq_length)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            intermediate_size=4 * self.hidden_size,
            max_position_embeddings=self.max_seq_length,
        )
        BertModel(config).save_pretrained(place)
        tokenizer.save_pretrained(place)
        transformer = Transformer(str(place), max_seq_length=self.max_seq_length)
        model = SentenceTransformer(modules=[transformer, Pooling(self.hidden_size, "mean")])
        set_forward(model, self.forward)
        return model


def wordpiece_tokenizer(texts: Iterable[str], vocabulary_size: int, max_seq_length: int):
    """A lower-casing BERT tokenizer for these texts; the same texts give the same tokenizer.

    Its vocabulary holds every character and the most frequent words: rarer words fall apart into characters.
    The trainer of the tokenizers library breaks ties at random, so two runs of one seed would differ.
    """
    from tokenizers import normalizers, pre_tokenizers
    from transformers import BertTokenizerFast

    normalise, split = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    normalised = map(normalise.normalize_str, sorted(set(texts)))
    counts = Counter(word for text in normalised for word, _ in split.pre_tokenize_str(text))
    characters = sorted({character for word in counts for character in word})
    pieces = [*_SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters)]
    words = sorted((word for word in counts if len(word) > 1), key=lambda word: (-counts[word], word))
    kept = [*pieces, *words][: max(vocabulary_size, len(pieces))]
    vocabulary = {piece: number for number, piece in enumerate(kept)}
    return BertTokenizerFast(vocab=vocabulary, model_max_length=max_seq_length)
