"""Turning texts into vectors for evaluation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    from sentence_transformers import SentenceTransformer

CHUNK = 512  # texts between two moves of the progress bar


class ModelEncoder:
    """An Encoder over a sentence-transformers model; each distinct text is encoded once per call.

    Args:
        progress: what a progress bar should say; None shows none.
    """

    def __init__(self, model: "SentenceTransformer", batch_size: int = 64, progress: str | None = None) -> None:
        self.model = model
        self.batch_size = batch_size
        self.progress = progress

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> "numpy.ndarray":
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`.

        Args:
            prompt: goes before every text; empty for none, None for the model's own default one.
        """
        import numpy
        from tqdm.auto import tqdm

        distinct = sorted(dict.fromkeys(texts), key=len, reverse=True)
        place = {text: row for row, text in enumerate(distinct)}
        parts = []
        with tqdm(total=len(distinct), desc=self.progress, unit="text", leave=False, disable=not self.progress) as bar:
            for start in range(0, len(distinct), CHUNK):
                chunk = distinct[start : start + CHUNK]
                options = {"batch_size": self.batch_size, "show_progress_bar": False}
                parts.append(self.model.encode(chunk, prompt=prompt, **options))
                bar.update(len(chunk))
        vectors = numpy.concatenate(parts).astype("float32", copy=False)
        return vectors[[place[text] for text in texts]]
