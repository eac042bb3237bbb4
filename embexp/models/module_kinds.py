"""The modules that a stack may have: what each reads and gives, and which are refused for what reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What passes from one module to the next:
#   layers       the token vectors of all layers of a transformer
#   words        word vectors, with zeros for the padding
#   word_tokens  vectors made from these, with anything for the padding
#   tokens       token vectors of which the texts' lengths are not known
#   sentence     one vector for each text: what a model must give in the end
PER_TOKEN = {"layers": "tokens", "words": "word_tokens", "word_tokens": "word_tokens", "tokens": "tokens"}
SENTENCE = {"sentence": "sentence"}


@dataclass(frozen=True)
class Kind:
    """What a module makes of what it reads.

    Attributes:
        flow: what it gives, for each thing that it can read.
        width: the argument that says how wide its input is, filled in when left out.
        trains: whether it has weights.
        why: why it reads nothing else.
    """

    flow: Mapping[str, str]
    width: str | None = None
    trains: bool = False
    why: str = "it reads one vector for each text"


OF_TOKENS = "it reads the vectors of tokens"
KINDS = {
    "Pooling": Kind(dict.fromkeys(PER_TOKEN, "sentence"), "embedding_dimension", why=OF_TOKENS),
    "WeightedLayerPooling": Kind(
        {"layers": "tokens"}, "embedding_dimension", True, "it reads all layers of the transformer before it"
    ),
    "CNN": Kind(
        {"words": "word_tokens"},
        "in_embedding_dimension",
        True,
        "it reads the padding of a batch, so that a text's embedding would depend on the texts beside it, unless the "
        "padding is zero, as that of word_vectors and of an LSTM is",
    ),
    "LSTM": Kind(
        {"words": "words", "word_tokens": "words"},
        "embedding_dimension",
        True,
        "it needs the lengths of the texts, which sentence-transformers tells for word vectors only",
    ),
    "Dense": Kind(SENTENCE, "in_features", True),
    "LayerNorm": Kind(SENTENCE, "dimension", True),
    "Dropout": Kind(SENTENCE),
    "Normalize": Kind(SENTENCE),
}
INPUTS = {"word_vectors": "words", "bag_of_words": "sentence", "static_vectors": "sentence"}
REFUSED = {
    "WordWeights": "it trains its weights, but a saved model loads those that it began with",
    "Transformer": "say where the transformer comes from under base, as conf/model/minilm_dense.yaml does",
    "WordEmbeddings": "type embexp.models.words.word_vectors, whose padding stays zero",
    "BoW": "type embexp.models.words.bag_of_words, which takes its words from the training texts",
    "StaticEmbedding": "type embexp.models.words.static_vectors, or model=static",
}
LIBRARY, OWN = "sentence_transformers.sentence_transformer.modules.", "embexp.models.words."


def class_of(call: Mapping[str, Any]) -> str:
    """The last part of what a module's YAML calls."""
    return str(call.get("_target_")).rpartition(".")[2]
