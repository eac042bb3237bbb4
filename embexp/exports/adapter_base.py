"""A model that is saved as an adapter only: which base it cannot be loaded without."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from embexp.errors import ConfigError
from embexp.exports.trained import Export
from embexp.models.places import LOCAL
from embexp.protocols import BaseModel

ADAPTER_FILE = "adapter_config.json"


def adapter_base(folder: Path) -> str | None:
    """The base that a saved model's adapter names, a folder or an id on the Hub; None for a whole model."""
    for path in sorted(folder.rglob(ADAPTER_FILE)):
        return json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
    return None


def is_local(base: str | None) -> bool:
    """Whether a base is a folder of this machine, which nobody else has.

    >>> is_local("/home/me/runs/base"), is_local("sentence-transformers/all-MiniLM-L6-v2"), is_local(None)
    (True, False, False)
    """
    return bool(base) and (Path(base).is_absolute() or Path(base).is_dir())


def check_shared_base(exports: Sequence[Export], model: BaseModel, place: Mapping[str, str]) -> None:
    """Refuse, before training, an export for others of an adapter whose base is a folder.

    Raises:
        ConfigError: it is not merged, and the base model is from a folder; what else makes a copy of the base is seen
            when the export is made.
    """
    names = [export.name for export in exports if "shared_base" in export.needs]
    if names and model.trains_adapter and not model.merges_adapter and place["source"] in LOCAL:
        raise ConfigError(
            f"export={names[0]} was given for an adapter whose base is the folder {place['location']}, which nobody "
            "else has. Expected a whole model: type model.adapter.merge=true."
        )
