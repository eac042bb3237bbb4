"""A teacher of pairs that is an encoder: the cosine of the two embeddings is the score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """

    encoder: Encoder
    query_prompt: str | None
    document_prompt: str | None

    def score(self, pairs: Sequence[tuple[str, str]]) -> "numpy.ndarray":
        """One cosine per pair, float32 `(len(pairs),)`."""
        import numpy

        sides, places = [], []
        for side, prompt in enumerate((self.query_prompt, self.document_prompt)):
            place = {text: row for row, text in enumerate(dict.fromkeys(pair[side] for pair in pairs))}
            sides.append(self.encoder.encode([*place], prompt=prompt))
            places.append(numpy.array([place[pair[side]] for pair in pairs]))
        return cosines(Pairs(*places), *sides).astype("float32")
