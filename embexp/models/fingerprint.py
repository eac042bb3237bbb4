"""What a loaded model's embeddings depend on, as one key."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.data.files import sha256_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

WEIGHTS = {".safetensors", ".bin", ".pt", ".onnx", ".h5", ".ot", ".msgpack", ".ckpt", ".xml"}  # endings of such files


def fingerprint_of(model: "SentenceTransformer", folder: Path, *others: Any) -> str:
    """sha256, as hex digits, of the weights and of all else that can change an embedding by a bit.

    Args:
        folder: where the model was loaded from: its files besides the weights count (tokenizer, settings, code).
        others: what else counts, as JSON can write it.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(memoryview(_bytes_of(tensor)))
    code = sha256_of(*sorted(Path(__file__).parent.glob("*.py")))
    for part in (code, *_files_besides_weights(folder), *_settings(model), *others):
        digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _bytes_of(tensor: Any) -> Any:
    import torch

    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()


def _files_besides_weights(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if file.is_file() and file.suffix not in WEIGHTS:
            yield str(file.relative_to(folder)), sha256_of(file)


def _settings(model: "SentenceTransformer") -> Iterator[Any]:
    """The model's parts and settings, and where it computes: another number of threads adds in another order."""
    import torch

    yield str(model), model.prompts, model.default_prompt_name, model.max_seq_length
    yield type(getattr(model.transformers_model, "forward", None)).__name__  # packed or plain
    yield str(model.device), torch.cuda.get_device_name() if model.device.type == "cuda" else torch.get_num_threads()
