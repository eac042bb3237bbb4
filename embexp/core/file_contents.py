"""Files and folders by what they hold: a saved model is known by every file that changes what it computes."""

import contextlib
import filecmp
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embexp.core.run_folder import RESUME_FILES


def sha256_of(*paths: Path) -> str:
    """sha256 of a file, or of the content of several one after another, as hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


_SETTLED = 2.0  # seconds: file systems count the time of a change more coarsely than that it could not repeat
_known: dict[tuple[int, ...], str] = {}  # sha256 of files of this process, by what `_state_of` says of them


def content_hash(path: Path) -> str:
    """The same of one file, computed once for as long as the file is not touched.

    Nobody can set the time of a file's last change (ctime), but two changes may share one tick of the clock: what was
    touched a moment ago is read again. On Windows, where ctime is another time, every file is.
    """
    state = _state_of(path)
    if state not in _known:
        found = sha256_of(path)
        if os.name != "posix" or time.time() - state[-1] / 1e9 < _SETTLED or _state_of(path) != state:
            return found
        _known[state] = found
    return _known[state]


def _state_of(path: Path) -> tuple[int, ...]:
    state = os.stat(path)
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def folder_hash(folder: Path) -> str:
    """A hash of all files below a folder, with their places in it; of a model's folder without what describes it."""
    return _digest_of(folder, _useful_files(folder) if is_model(folder) else _all_files(folder))


def model_hash(folder: Path) -> str:
    """A hash of every file of a saved model that can change an embedding: weights, tokenizer, settings, code, modules.

    An adapter counts with its base, wherever that lies. What nothing reads does not count: descriptions, hidden files,
    weights for other frameworks, an optimizer's state, folders that are no module. Of a model with code of its own,
    which may read anything, all but descriptions counts.
    """
    return _digest_of(folder, _model_files(folder))


def _digest_of(folder: Path, files: Mapping[str, Path], above: tuple[str, ...] = ()) -> str:
    parts: list[Any] = [(name, _content_if_readable(path)) for name, path in sorted(files.items())]
    above = (*above, os.path.realpath(folder))
    for name, path in sorted(files.items()):
        if path.name == ADAPTER_CONFIG:
            parts.append((name, _base_hash(_table_in(path), above)))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _content_if_readable(path: Path) -> str:
    try:
        return content_hash(path)
    except OSError:  # loading says so if the model needs it
        return "cannot be read"


def _base_hash(adapter: Mapping[str, Any], above: tuple[str, ...]) -> str:
    """The hash of the model that an adapter's configuration names; empty where it is not on this machine."""
    name = adapter.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        return ""
    folder = Path(name) if os.path.isdir(name) else cached_snapshot(name, adapter.get("revision"))
    if folder is None or os.path.realpath(folder) in above:
        return ""
    return _digest_of(folder, _model_files(folder), above)


def cached_snapshot(hub_id: str, revision: str | None) -> Path | None:
    """The folder of a model in the cache of Hugging Face; None where it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):  # the latter: no model could be called so
        return None


ADAPTER_CONFIG = "adapter_config.json"
_MODULES = "modules.json"
_MODEL_FILES = (_MODULES, "config.json", ADAPTER_CONFIG)  # at the top of a saved model
# What people put next to a model, by the beginning or the ending of its name. Other names count.
_DESCRIPTIONS = ("readme", "license", "licence", "notice", "changelog", "citation", "use_policy", ".")
_DESCRIBING = (".md", ".rst", ".html", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ipynb")
_TRAINING_FILES = (*RESUME_FILES, "trainer_state.json", "events.out.tfevents*")
_TRAINING_FOLDERS = ("checkpoint-*", "*.claim", "__pycache__")
# What loading with PyTorch passes over.
_OTHER_FRAMEWORKS = (".h5", ".msgpack", ".ot", ".onnx", ".gguf", ".tflite", ".mlmodel", ".xml")
_RECORDS = (".log", ".csv", ".tsv", ".jsonl", ".parquet", ".arrow", ".db", ".db-wal", ".db-shm", ".lock", ".making")
_OTHER_FOLDERS = ("onnx", "openvino", "coreml", "gguf")


_KNOWN_MODULE = re.compile(r"sentence_transformers\.")


def is_model(folder: Path) -> bool:
    """Whether a folder holds a saved model, by its files."""
    return any((folder / name).is_file() for name in _MODEL_FILES)


def _has_code(folder: Path) -> bool:
    """Whether a model's files name classes that are neither transformers' nor sentence-transformers' own."""
    modules = _modules_of(folder)
    places = [folder, *(folder / str(module.get("path", "")) for module in modules)]
    configs = [_table_in(place / name) for place in places for name in ("config.json", "tokenizer_config.json")]
    kinds = [str(module.get("type", "")) for module in modules]
    return any("auto_map" in config for config in configs) or not all(map(_KNOWN_MODULE.match, kinds))


def _modules_of(folder: Path) -> list[Mapping[str, Any]]:
    modules = json_in(folder / _MODULES)
    return [module for module in modules if isinstance(module, Mapping)] if isinstance(modules, list) else []


def json_in(path: Path) -> Any:
    """The content of a JSON file; None where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _model_files(folder: Path) -> dict[str, Path]:
    return _useful_files(folder) if _has_code(folder) else _read_files(folder)


def _table_in(path: Path) -> Mapping[str, Any]:
    found = json_in(path)
    return found if isinstance(found, Mapping) else {}


def _all_files(folder: Path) -> dict[str, Path]:
    return {_name_in(folder, path): path for path in _walk(folder, ())}


def _useful_files(folder: Path) -> dict[str, Path]:
    """All files of a model except descriptions, hidden files, and what only a resumed training reads."""
    return {_name_in(folder, path): path for path in _walk(folder, _TRAINING_FOLDERS) if not _describes(path)}


def _read_files(folder: Path) -> dict[str, Path]:
    """The files that transformers and sentence-transformers read of a model: its own, its modules', its shards."""
    found = [path for path in folder.iterdir() if path.is_file()]
    for module in _modules_of(folder):
        if isinstance(module.get("path"), str) and module["path"] and (folder / module["path"]).is_dir():
            found += _walk(folder / module["path"], (*_TRAINING_FOLDERS, *_OTHER_FOLDERS))
    found += [shard for path in found if path.name.endswith(".index.json") for shard in _shards_of(path)]
    return {_name_in(folder, path): path for path in found if not _describes(path) and not _is_passed_over(path)}


def _shards_of(index: Path) -> Iterator[Path]:
    weights = _table_in(index).get("weight_map")
    names = {str(name) for name in weights.values()} if isinstance(weights, Mapping) else set()
    yield from (path for name in sorted(names) if (path := index.parent / name).is_file())


def _name_in(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _describes(path: Path) -> bool:
    name = path.name.lower()
    training = any(path.match(pattern) for pattern in _TRAINING_FILES)
    return training or name.startswith(_DESCRIPTIONS) or name.endswith(_DESCRIBING)


def _is_passed_over(path: Path) -> bool:
    """Whether a file is of another framework, a record, or weights of which there is a newer form."""
    if path.name.endswith((*_OTHER_FRAMEWORKS, *_RECORDS)):
        return True
    older = {"pytorch_model": "model", "adapter_model": "adapter_model"}
    stem = next((stem for stem in older if path.name.startswith(stem)), None)
    if stem is None or not path.name.removesuffix(".index.json").endswith(".bin"):
        return False
    newer = (f"{older[stem]}.safetensors", f"{older[stem]}.safetensors.index.json")
    return any((path.parent / name).is_file() for name in newer)


def _walk(folder: Path, without: tuple[str, ...]) -> Iterator[Path]:
    """All files below a folder, in linked folders too, but for hidden folders and those of these names."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        hidden = [name for name in folders if name.startswith(".") or any(Path(name).match(each) for each in without)]
        folders[:] = sorted({*folders} - {*hidden})
        yield from (path for name in names if (path := Path(place, name)).is_file())


WORTH_LINKING = 2**20  # bytes


def link_copies(copy: Path, original: Path) -> int:
    """Make one file of each large file below `copy` that is byte for byte that of the same name below `original`.

    Either folder may be removed without the other. Where the file system has no links, or the folders are on two,
    the copy stays. Returns the bytes that were freed.
    """
    freed = 0
    for file in (file for file in sorted(copy.rglob("*")) if file.is_file()):
        whole, linked = original / file.relative_to(copy), file.with_name(f"{file.name}.linking")
        if not whole.is_file() or file.stat().st_size < WORTH_LINKING or file.samefile(whole):
            continue
        if not filecmp.cmp(file, whole, shallow=False):
            continue
        try:
            linked.unlink(missing_ok=True)  # of a process that was killed
            os.link(whole, linked)
            linked.replace(file)
        except OSError:
            continue
        freed += whole.stat().st_size
    return freed


def disk_use(*places: Path) -> int:
    """The bytes of all files below these folders, of linked files once; what goes meanwhile counts for nothing."""
    sizes = {}
    for place in places:
        for file in (place, *place.rglob("*")):
            with contextlib.suppress(OSError):
                state = file.lstat()
                if stat.S_ISREG(state.st_mode):
                    sizes[state.st_dev, state.st_ino] = state.st_size
    return sum(sizes.values())


def megabytes(size: int) -> str:
    """A size in bytes for people.

    >>> megabytes(90_864_192), megabytes(3_456_000_000), megabytes(52_000)
    ('91 MB', '3.5 GB', '0.1 MB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.1f} MB"


_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([KMGT]?)B", re.IGNORECASE)


def bytes_of(size: Any) -> int | None:
    """The bytes of a size with its unit; None where it is none, or none above 0.

    >>> bytes_of("20GB"), bytes_of("1.5 mb"), bytes_of("20"), bytes_of("0GB")
    (20000000000, 1500000, None, None)
    """
    found = _SIZE.fullmatch(str(size).strip())
    return (found and int(float(found[1]) * _BYTES[found[2].upper()])) or None
