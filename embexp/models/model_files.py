"""What the files of a saved model tell, before anything is loaded."""

import json
from pathlib import Path
from typing import Any

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "adapter_model.safetensors")
ADAPTER_CONFIG = "adapter_config.json"
# How the names of layers begin that fill in masked tokens: of BERT, RoBERTa and MPNet, DeBERTa, DistilBERT, ELECTRA,
# ModernBERT.
FILLING = ("cls.predictions", "lm_head", "lm_predictions", "vocab_", "generator_", "decoder.")
# Networks whose first positions are taken: of 514 position embeddings RoBERTa reads 512 tokens.
TAKEN_POSITIONS = dict.fromkeys(("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl"), 2)


def weights_in(folder: Path) -> Path | None:
    """The weights file of a saved model: at its top, or in the folder of one of its modules; None without one."""
    places = [folder / name for name in WEIGHT_FILES] + sorted(folder.glob("*/model.safetensors"))
    return next((place for place in places if place.is_file()), None)


def folders_of(folder: Path) -> list[Path]:
    """The model's folder, and that of its first module."""
    modules = read_json(folder / "modules.json") or [{"path": ""}]
    return list(dict.fromkeys([folder, folder / modules[0]["path"]]))


def network_config(folder: Path) -> dict[str, Any]:
    """The network's own configuration (`config.json` with a `model_type`); empty where there is none."""
    configs = (read_json(place / "config.json") or {} for place in folders_of(folder))
    return next((config for config in configs if "model_type" in config), {})


def num_positions(config: dict[str, Any]) -> int | None:
    """The most tokens that a network has positions for, special ones counted; None where its files do not say."""
    positions = config.get("max_position_embeddings")
    return positions - TAKEN_POSITIONS.get(config.get("model_type"), 0) if positions else None


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter whose base model lies elsewhere."""
    return any((place / ADAPTER_CONFIG).is_file() for place in folders_of(folder))


def fills_in_tokens(folder: Path) -> bool | None:
    """Whether the network has a trained layer that fills in masked tokens; None where its files do not say."""
    names = [name for place in folders_of(folder) for name in _tensor_names(place)]
    return any(name.startswith(FILLING) for name in names) if names else None


def _tensor_names(folder: Path) -> list[str]:
    """The names in the weights of one folder; none where they are of another form than safetensors."""
    if index := read_json(folder / "model.safetensors.index.json"):
        return list(index["weight_map"])
    path = folder / "model.safetensors"
    if not path.is_file():
        return []
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")  # of the header, which is JSON
        header = file.read(size) if size < path.stat().st_size else b"{}"
    return list(json.loads(header))


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
