"""Texts to embeddings: batches by length, and the encoders of steps and evaluators."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.config.compose import model_named
from embexp.data.arrow import ranges_within
from embexp.errors import ConfigError, ModelError
from embexp.models.tokens import FEW_UNKNOWN, unknown_by_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def check_finite(vectors: numpy.ndarray, texts: Sequence[str]) -> numpy.ndarray:
    """The embeddings of the texts, as they are.

    Raises:
        ModelError: one holds nan or an infinite number; it names the first such text.
    """
    broken = numpy.flatnonzero(~numpy.isfinite(vectors).all(axis=1))
    if len(broken):
        first, where = texts[broken[0]], vectors[broken[0]]
        value = where[~numpy.isfinite(where)][0]
        raise ModelError(
            f"The embedding of {first[:_SHOWN_CHARS]!r} holds {value}, as do those of {len(broken) - 1:,} more of "
            f"{len(texts):,} texts",
            expected="finite numbers: a smaller trainer.learning_rate where the model was just trained, weights in "
            "float32, or other weights",
        )
    return vectors


_SHOWN_CHARS = 60  # of a text in a message
_BYTES_PER_TOKEN = 4  # of UTF-8, about: English has 4 to 5, Chinese 3
_CPU_BATCH_TOKENS = 4096
_GPU_BATCH_TOKENS = 32768


class ModelEncoder:
    """An Encoder over a sentence-transformers model; each distinct text is encoded once per call.

    Texts of similar length share a batch, and all batches have about as many tokens: many short texts, or a few long
    ones.

    Args:
        batch_tokens: about how many tokens a batch holds; None: 4,096 on a CPU, 32,768 on a GPU.
        progress: title of a progress bar; None shows none.

    Attributes:
        texts_encoded: distinct texts of all calls until now, which took so many `seconds`.
    """

    def __init__(
        self, model: "SentenceTransformer", batch_tokens: int | None = None, progress: str | None = None
    ) -> None:
        self.model = model
        self.batch_tokens = batch_tokens or (_CPU_BATCH_TOKENS if model.device.type == "cpu" else _GPU_BATCH_TOKENS)
        self.progress = progress
        self.texts_encoded, self.seconds = 0, 0.0

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> numpy.ndarray:
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`.

        Args:
            prompt: goes before every text; empty for none, None for the model's own default one.

        Raises:
            ModelError: an embedding holds nan or an infinite number.
        """
        from tqdm.auto import tqdm

        began = time.perf_counter()
        sizes = {text: len(text.encode()) for text in texts}
        distinct = sorted(sizes, key=sizes.__getitem__, reverse=True)
        place = {text: row for row, text in enumerate(distinct)}
        lengths = [self._num_tokens(sizes[text], prompt) for text in distinct]
        parts = []
        with tqdm(total=len(distinct), desc=self.progress, unit="text", leave=False, disable=not self.progress) as bar:
            for start, end in ranges_within(self.batch_tokens, lengths):
                options = {"batch_size": end - start, "show_progress_bar": False}
                parts.append(self.model.encode(distinct[start:end], prompt=prompt, **options))
                bar.update(end - start)
        vectors = check_finite(numpy.concatenate(parts).astype("float32", copy=False), distinct)
        self.texts_encoded += len(distinct)
        self.seconds += time.perf_counter() - began
        return vectors[[place[text] for text in texts]]

    def _num_tokens(self, num_bytes: int, prompt: str | None) -> int:
        """About how many tokens the model reads of a text of so many bytes, with its prompt."""
        estimate = (num_bytes + len((prompt or "").encode())) // _BYTES_PER_TOKEN + 2  # beginning and end
        return min(estimate, self.model.max_seq_length or estimate)


logger = logging.getLogger(__name__)


class FrozenEncoder:
    """An Encoder whose model is loaded when the first texts come.

    Args:
        model: an option of the group `model`, a folder or a Hub id.

    Raises:
        ConfigError: no model is called so, or its weights are random.
        ModelError: its weights are not there.
    """

    def __init__(self, model: str) -> None:
        self.name, self.model = model, model_named("encoder.model", model)
        self._encoder: ModelEncoder | None = None
        if self.model.locate()["source"] == "scratch":
            expected, fix = "a trained model: an option, a folder or a Hub id", "encoder.model=minilm"
            raise ConfigError("has random weights", key="encoder.model", given=model, expected=expected, fix=fix)

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> numpy.ndarray:
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`; prompts as `Encoder` has them."""
        if self._encoder is None:
            logger.info("loading %s", self.name)
            model = self.model.load(lambda: (), Path()).eval()
            self._encoder = ModelEncoder(model, progress=self.name)
            if (count := unknown_by_model(model)) and (found := count(texts)).share > FEW_UNKNOWN:
                logger.warning("%s does not know %s of the tokens that it encodes.", self.name, found)
        return self._encoder.encode(texts, prompt=prompt)
