"""Base models with published weights: from a path, an installed package, the Hugging Face cache or the Hub."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.data.files import sha256_of
from embexp.errors import ModelError
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")


@dataclass(frozen=True)
class PretrainedModel:
    """A model that somebody trained before; the first of path, package, cache and Hub that has it is taken.

    Args:
        id: id on the Hugging Face Hub.
        path: a local folder, or an id: given by `model=<path or id>`.
        package: an installed Python package whose folder `model` holds the weights.
        revision: commit or tag on the Hub.
        sha256: of the weights file in the package; another file is refused.
        max_seq_length: longest input in tokens, longer texts are cut; None keeps the model's own.
        num_layers: keep only the first layers; None keeps all.
        trust_remote_code: run code that comes with the weights. Never on by itself.
    """

    id: str | None = None
    path: str | None = None
    package: str | None = None
    revision: str | None = None
    sha256: str | None = None
    max_seq_length: int | None = None
    num_layers: int | None = None
    trust_remote_code: bool = False

    def locate(self) -> dict[str, str]:
        """Where the weights come from: id, source (path, package, cache or hub), location, revision, sha256.

        Raises:
            ModelError: a given path has no model, the package's weights are not the expected ones, or no id is given.
        """
        if self.path and (folder := Path(self.path).expanduser()).is_dir():
            return self._local("path", self.path, folder)
        if self.path and (self.path.startswith((".", "/", "~")) or self.path.count("/") != 1):
            raise ModelError(f"There is no folder {self.path}. Expected a saved model, or an id such as org/name.")
        hub_id = self.path or self.id
        if not hub_id:
            raise ModelError("The model has neither a path nor an id. Type model.path=<folder or Hub id>.")
        if not self.path and self.package and (folder := _package_folder(self.package)):
            return self._local("package", hub_id, folder)
        cached = _cached_folder(hub_id, self.revision)
        if cached:
            return self._local("cache", hub_id, cached) | {"revision": cached.name}
        return {"id": hub_id, "source": "hub", "location": hub_id, "revision": self.revision or "main", "sha256": ""}

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """The model as sentence-transformers loads it, cut to `num_layers`.

        Raises:
            ModelError: the Hub does not answer, or what lies there is no model.
        """
        from sentence_transformers import SentenceTransformer

        place = self.locate()
        try:
            model = SentenceTransformer(
                place["location"],
                revision=self.revision if place["source"] == "hub" else None,
                trust_remote_code=self.trust_remote_code,
            )
        except (OSError, ValueError) as error:
            raise ModelError(
                f"Model {place['location']} ({place['source']}) cannot be loaded: {str(error).splitlines()[0]} "
                "Expected weights on disk, in the Hugging Face cache, or a connection to the Hub: "
                "give a folder with model.path=<folder>, or choose model=minilm, which needs no network."
            ) from error
        if self.max_seq_length:
            model.max_seq_length = self.max_seq_length
        if self.num_layers is not None:
            keep_first_layers(model, self.num_layers)
        return model

    def _local(self, source: str, name: str, folder: Path) -> dict[str, str]:
        weights = _weights_in(folder)
        if weights is None:
            raise ModelError(f"The folder {folder} holds no model. Expected one of {', '.join(WEIGHT_FILES)} in it.")
        found = sha256_of(weights)
        if source == "package" and self.sha256 and found != self.sha256:
            raise ModelError(
                f"{weights} has the sha256 {found}; expected {self.sha256}. The package is not the published one: "
                f"install it again, or give a folder with model.path=<folder>."
            )
        return {
            "id": name,
            "source": source,
            "location": str(folder),
            "revision": self.revision or "",
            "sha256": found,
        }


def keep_first_layers(model: "SentenceTransformer", num_layers: int) -> None:
    """Drop all transformer layers after the first `num_layers`, in place.

    Raises:
        ModelError: the model has fewer layers, or none that can be cut.
    """
    from torch.nn import ModuleList

    network: Any = model[0].auto_model
    stacks = [
        (module, name)
        for module in network.modules()
        for name, child in module.named_children()
        if isinstance(child, ModuleList) and len(child) == network.config.num_hidden_layers
    ]
    if not stacks or not 1 <= num_layers <= network.config.num_hidden_layers:
        raise ModelError(
            f"model.num_layers={num_layers} does not fit: the model has {network.config.num_hidden_layers} layers."
        )
    parent, name = stacks[0]
    setattr(parent, name, getattr(parent, name)[:num_layers])
    network.config.num_hidden_layers = num_layers


def _package_folder(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # the parent of a dotted name is missing
        return None
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def _cached_folder(hub_id: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ModelError(f"{hub_id} is neither a folder nor an id on the Hub: {error}") from error
    return folder if _weights_in(folder) else None


def _weights_in(folder: Path) -> Path | None:
    """The weights file of a saved model: at its top, or in the folder of one of its modules."""
    places = [folder / name for name in WEIGHT_FILES] + sorted(folder.glob("*/model.safetensors"))
    return next((place for place in places if place.is_file()), None)
