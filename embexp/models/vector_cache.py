"""Embeddings of a model that does not change, kept on disk: a sweep over losses encodes with each base model once."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.data.kept_arrays import keep_array
from embexp.protocols import Encoder

if TYPE_CHECKING:
    import numpy

LARGEST = 512 * 2**20  # bytes; larger embeddings are not kept
logger = logging.getLogger(__name__)


class CachingEncoder:
    """An Encoder that takes the embeddings of texts that it was asked for before from a folder.

    Args:
        model: key of the model and of all else that its embeddings depend on.
    """

    def __init__(self, encoder: Encoder, folder: Path, model: str) -> None:
        self.encoder = encoder
        self.folder = folder
        self.model = model

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> "numpy.ndarray":
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`."""
        import numpy

        distinct = [*dict.fromkeys(texts)]
        file = self.folder / f"{self._key(distinct, prompt)}.npy"
        if file.is_file():
            logger.info("Embeddings of %s texts were taken from %s.", f"{len(distinct):,}", file)
            vectors = numpy.load(file)
        else:
            vectors = self.encoder.encode(distinct, prompt)
            if vectors.nbytes <= LARGEST:
                keep_array(file, vectors)
        place = {text: row for row, text in enumerate(distinct)}
        return vectors[[place[text] for text in texts]]

    def _key(self, texts: Sequence[str], prompt: str | None) -> str:
        digest = hashlib.sha256(json.dumps([self.model, prompt]).encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode()).digest())
        return digest.hexdigest()
