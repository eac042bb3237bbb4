"""Models put together from modules."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from embexp.models.adapters import LoraAdapter, refuse_adapter
from embexp.models.pretrained import PretrainedModel
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class StaticModel:
    """One vector per token, averaged: no attention, so it encodes many times faster.

    Tokenizer and first token vectors are those of a transformer's input embeddings.

    Args:
        source: the transformer whose tokenizer and input embeddings are taken.
        adapter: is refused: there is no transformer that it could stand beside.

    Raises:
        ConfigError: an adapter.
    """

    has_transformer: ClassVar[bool] = False
    trains_adapter: ClassVar[bool] = False
    merges_adapter: ClassVar[bool] = False

    source: PretrainedModel
    adapter: LoraAdapter | None = None

    def __post_init__(self) -> None:
        refuse_adapter(self.adapter)

    def locate(self) -> dict[str, str]:
        """Where the source's weights come from."""
        return self.source.locate()

    def check(self) -> None:
        """Refuse what the source refuses."""
        self.source.check()

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """A SentenceTransformer with one StaticEmbedding module."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        transformer = self.source.load(training_texts, folder)
        vectors = transformer[0].auto_model.get_input_embeddings().weight.detach().clone()
        return SentenceTransformer(modules=[StaticEmbedding(transformer.tokenizer, embedding_weights=vectors)])
