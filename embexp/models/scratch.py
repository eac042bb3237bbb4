"""Models from scratch: a small BERT whose tokenizer is made from the training texts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@dataclass(frozen=True)
class ScratchModel:
    """A BERT with random weights (Devlin et al. 2019), mean pooling, and a WordPiece tokenizer of its own.

    Chinese text is split into characters, as BERT does, so it works for any language.

    Args:
        vocabulary_size: most word pieces that the tokenizer may have.
        max_seq_length: longest input in tokens.
    """

    num_layers: int
    hidden_size: int
    num_heads: int
    vocabulary_size: int
    max_seq_length: int

    def locate(self) -> dict[str, str]:
        """There is nothing to find: the weights are drawn with the run's seed."""
        return {"id": "scratch", "source": "scratch", "location": "random weights", "revision": "", "sha256": ""}

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """The untrained model; its parts are also saved in `folder`, from where losses may load them again."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
        from transformers import BertConfig, BertModel

        place = folder / "scratch"
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
        return SentenceTransformer(modules=[transformer, Pooling(self.hidden_size, "mean")])


def wordpiece_tokenizer(texts: Iterable[str], vocabulary_size: int, max_seq_length: int):
    """A BERT tokenizer with the word pieces of these texts; the same texts give the same tokenizer."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(
        sorted(set(texts)),
        vocab_size=vocabulary_size,
        min_frequency=1,
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
    )
    return BertTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=max_seq_length)
