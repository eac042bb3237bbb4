"""Embeddings computed once: in memory by text, on disk by model and texts."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.file_contents import model_hash, sha256_of
from embexp.data.cache import save_array
from embexp.protocols import Encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


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
logger = logging.getLogger(__name__)


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
        distinct = [*dict.fromkeys(texts)]
        file = self.folder / f"{self._key(distinct, prompt)}.npy"
        if file.is_file():
            logger.info("Embeddings of %s texts were read from %s.", f"{len(distinct):,}", file)
            vectors = numpy.load(file)
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
