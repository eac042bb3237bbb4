"""A teacher of pairs that is an encoder: the cosine of the two embeddings is the score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.errors import ConfigError
from embexp.protocols import Encoder
from embexp.steps.negatives.embedding import cosines
from embexp.steps.negatives.pool import Pairs

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class CosineScorer:
    """A PairScorer by the cosine of the embeddings of query and text, in [-1, 1].

    Args:
        query_prompt, document_prompt: go before the texts of either side; empty for none, None for the model's own
            default one.

    Raises:
        ConfigError: a prompt that is no text.
    """

    encoder: Encoder
    query_prompt: str | None
    document_prompt: str | None

    def __post_init__(self) -> None:
        prompts = {"query_prompt": self.query_prompt, "document_prompt": self.document_prompt}
        if wrong := {name: prompt for name, prompt in prompts.items() if not isinstance(prompt, str | None)}:
            raise ConfigError(
                "\n".join(
                    f"scorer.{name}={prompt} was given. Expected a text, or null for the model's own: type "
                    f"...scorer.{name}='query: ' or the like."
                    for name, prompt in wrong.items()
                )
            )

    def score(self, pairs: Sequence[tuple[str, str]]) -> "numpy.ndarray":
        """One cosine per pair, float32 `(len(pairs),)`."""
        import numpy

        sides, places = [], []
        for side, prompt in enumerate((self.query_prompt, self.document_prompt)):
            place = {text: row for row, text in enumerate(dict.fromkeys(pair[side] for pair in pairs))}
            sides.append(self.encoder.encode([*place], prompt=prompt))
            places.append(numpy.array([place[pair[side]] for pair in pairs]))
        return cosines(Pairs(*places), *sides).astype("float32")
