"""Texts to embeddings: batches by length, the encoders of steps and evaluators, and embeddings computed once."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.config.compose import model_named
from embexp.core.file_contents import model_hash, sha256_of
from embexp.core.run_context import import_training_libraries, progress_bar
from embexp.data.arrow import ranges_within
from embexp.data.cache import in_use, note_use, save_array
from embexp.errors import ConfigError, ModelError
from embexp.models.tokens import FEW_UNKNOWN, unknown_by_model
from embexp.protocols import Encoder

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
        began = time.perf_counter()
        sizes = {text: len(text.encode()) for text in texts}
        distinct = sorted(sizes, key=sizes.__getitem__, reverse=True)
        place = {text: row for row, text in enumerate(distinct)}
        lengths = [self._num_tokens(sizes[text], prompt) for text in distinct]
        parts = []
        with progress_bar(self.progress, len(distinct), "text") as bar:
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
            import_training_libraries()
            model = self.model.load(lambda: (), Path()).eval()
            self._encoder = ModelEncoder(model, progress=self.name)
            if (count := unknown_by_model(model)) and (found := count(texts)).share > FEW_UNKNOWN:
                logger.warning("%s does not know %s of the tokens that it encodes.", self.name, found)
        return self._encoder.encode(texts, prompt=prompt)


def model_fingerprint(model: "SentenceTransformer", folder: Path, *others: Any) -> str:
    """sha256, as hex digits, of the weights and of all else that can change a bit of an embedding.

    Args:
        folder: the model's; its files count, too (tokenizer, settings, code).
        others: what else counts, in values that JSON can write.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()))
    code = sha256_of(*sorted(Path(__file__).parent.glob("*.py")))
    for part in (code, model_hash(folder), *_settings(model), *others):
        digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _settings(model: "SentenceTransformer") -> Iterator[Any]:
    """The model's parts and settings, and its machine: another number of threads adds in another order."""
    import torch

    yield str(model), model.prompts, model.default_prompt_name, model.max_seq_length
    yield type(getattr(model.transformers_model, "forward", None)).__name__  # packed or plain
    yield str(model.device), torch.cuda.get_device_name() if model.device.type == "cuda" else torch.get_num_threads()


class MemoryCachedEncoder:
    """An Encoder that encodes each distinct text once after each prompt, however often it is given."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._places: dict[str | None, dict[str, int]] = {}
        self._vectors: dict[str | None, numpy.ndarray] = {}

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> numpy.ndarray:
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`."""
        places = self._places.setdefault(prompt, {})
        if unknown := [text for text in dict.fromkeys(texts) if text not in places]:
            found = self.encoder.encode(unknown, prompt)
            places.update((text, len(places)) for text in unknown)
            known = self._vectors.get(prompt)
            self._vectors[prompt] = found if known is None else numpy.concatenate([known, found])
        return self._vectors[prompt][[places[text] for text in texts]]


_LARGEST = 512 * 2**20  # bytes; larger embeddings are not kept


class DiskCachedEncoder:
    """An Encoder that keeps embeddings in a folder, and reads them there when the same texts come again.

    Args:
        model: key of the model and of all else that its embeddings depend on.
    """

    def __init__(self, encoder: Encoder, folder: Path, model: str) -> None:
        self.encoder = encoder
        self.folder = folder
        self.model = model

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> numpy.ndarray:
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`."""
        with in_use(self.folder.parent):
            return self._encode([*dict.fromkeys(texts)], texts, prompt)

    def _encode(self, distinct: Sequence[str], texts: Sequence[str], prompt: str | None) -> numpy.ndarray:
        file = self.folder / f"{self._key(distinct, prompt)}.npy"
        if file.is_file():
            logger.info("Embeddings of %s texts were read from %s.", f"{len(distinct):,}", file)
            vectors = numpy.load(file)
            note_use(file)
        else:
            vectors = self.encoder.encode(distinct, prompt)
            if vectors.nbytes <= _LARGEST:
                save_array(file, vectors)
        place = {text: row for row, text in enumerate(distinct)}
        return vectors[[place[text] for text in texts]]

    def _key(self, texts: Sequence[str], prompt: str | None) -> str:
        digest = hashlib.sha256(json.dumps([self.model, prompt]).encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode()).digest())
        return digest.hexdigest()
