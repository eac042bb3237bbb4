"""Where published weights lie: in a folder, an installed package, the Hugging Face cache or on the Hub."""

import importlib.util
from pathlib import Path

from embexp.data.files import sha256_of
from embexp.errors import ModelError, listed
from embexp.models.model_files import WEIGHT_FILES, weights_in

LOCAL = ("path", "package", "cache")  # sources that are folders


def find_place(
    model_id: str | None, path: str | None, package: str | None, revision: str | None, sha256: str | None
) -> dict[str, str]:
    """The first of path, package, cache and Hub that has the model: id, source, location, revision, sha256.

    Args: as `PretrainedModel` has them.

    Raises:
        ModelError: a given path has no model, the package's weights are not the expected ones, or no id is given.
    """
    if path and (folder := Path(path).expanduser()).is_dir():
        if revision:
            raise ModelError(
                f"model.revision={revision} was given; a folder has no revisions ({path}). Expected an id of the Hub "
                "with it: type model.revision=null, or model=<org/name>."
            )
        return _local("path", path, folder)
    if path and (path.startswith((".", "/", "~")) or path.count("/") != 1):
        raise ModelError(f"There is no folder {path}. Expected a saved model, or an id such as org/name.")
    hub_id = path or model_id
    if not hub_id:
        raise ModelError("The model has neither a path nor an id. Type model.path=<folder or Hub id>.")
    if not path and not revision and package and (folder := _package_folder(package)):
        return _as_published(_local("package", hub_id, folder), sha256)
    if cached := _cached_folder(hub_id, revision):
        return _local("cache", hub_id, cached) | {"revision": cached.name}
    return {"id": hub_id, "source": "hub", "location": hub_id, "revision": revision or "main", "sha256": ""}


def _local(source: str, name: str, folder: Path) -> dict[str, str]:
    weights = weights_in(folder)
    if weights is None:
        raise ModelError(f"The folder {folder} holds no model. Expected one of {listed(WEIGHT_FILES)} in it.")
    return {"id": name, "source": source, "location": str(folder), "revision": "", "sha256": sha256_of(weights)}


def _as_published(place: dict[str, str], sha256: str | None) -> dict[str, str]:
    if sha256 and place["sha256"] != sha256:
        raise ModelError(
            f"{weights_in(Path(place['location']))} has the sha256 {place['sha256']}; expected {sha256}. The package "
            "is not the published one: install it again, or give a folder with model.path=<folder>."
        )
    return place


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
    return folder if weights_in(folder) else None
