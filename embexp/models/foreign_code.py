"""Code that comes with a model's weights: found by its files, refused unless the user trusts it."""

from collections.abc import Iterator
from pathlib import Path

from embexp.errors import ModelError, listed
from embexp.models.model_files import folders_of, network_config, read_json

OWN_CLASSES = "sentence_transformers."


def check_foreign_code(name: str, folder: Path) -> None:
    """Refuse a model that cannot be loaded without running code that is not transformers' or sentence-transformers'.

    Raises:
        ModelError: names the code, and what to type to have it run.
    """
    if code := foreign_code(folder):
        raise ModelError(
            f"The model {name} cannot be loaded without running code of its own: {listed(code)}. Expected a model of "
            "classes that transformers and sentence-transformers know. Read that code first; if you trust it, type "
            "model.trust_remote_code=true."
        )


def foreign_code(folder: Path) -> list[str]:
    """The classes from elsewhere that loading a model folder would run, each with the file that names it."""
    return [*_of_modules(folder), *_of_network(folder)]


def _of_modules(folder: Path) -> Iterator[str]:
    """sentence-transformers takes a module's class from anywhere that modules.json names."""
    for module in read_json(folder / "modules.json") or ():
        if not module["type"].startswith(OWN_CLASSES):
            yield f"{module['type']} (modules.json)"


def _of_network(folder: Path) -> Iterator[str]:
    """transformers leaves the code alone where it knows the architecture itself."""
    codes = [(read_json(place / "config.json") or {}).get("auto_map") or {} for place in folders_of(folder)]
    if any(codes) and not _is_known_to_transformers(network_config(folder).get("model_type")):
        yield from (f"{target} (config.json: {use})" for code in codes for use, target in code.items())


def _is_known_to_transformers(model_type: str | None) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return model_type in CONFIG_MAPPING_NAMES
