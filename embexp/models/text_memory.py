"""Embeddings that are remembered text by text, so that all who judge a model share them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embexp.protocols import Encoder

if TYPE_CHECKING:
    import numpy


class TextMemory:
    """An Encoder that encodes each distinct text once after each prompt, however often and by whom it is asked for."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._places: dict[str | None, dict[str, int]] = {}
        self._vectors: dict[str | None, numpy.ndarray] = {}

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> "numpy.ndarray":
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`."""
        import numpy

        places = self._places.setdefault(prompt, {})
        if unknown := [text for text in dict.fromkeys(texts) if text not in places]:
            found = self.encoder.encode(unknown, prompt)
            places.update((text, len(places)) for text in unknown)
            known = self._vectors.get(prompt)
            self._vectors[prompt] = found if known is None else numpy.concatenate([known, found])
        return self._vectors[prompt][[places[text] for text in texts]]
