"""What a model card tells of a run, taken from its result and configuration, without this machine's folders."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embexp.config.session import shell_command

_Facts = dict[str, Any]
# Not part of what the model is: where results went, what was exported, and Hydra's own settings.
_OF_THE_MACHINE = ("tracking", "paths", "export", "hydra", "threads", "keep", "resume")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_QUOTES = set("'\"")  # what is quoted may be a text of the data
_FOLDERS = re.compile(r"(?<![\w:/.])(?:file:/*|~)?/(?:[^/\s]+/)*([^/\s]+)")


def _without_folders(text: str) -> str:
    """A text in which absolute paths are cut to their last part.

    >>> _without_folders("convert /home/me/rows.csv (of org/name, https://a.b/c)")
    'convert rows.csv (of org/name, https://a.b/c)'
    """
    return _FOLDERS.sub(r"\1", text)


def hub_dataset(node: Mapping[str, Any]) -> str | None:
    """The id on the Hub of a dataset YAML, None for data from elsewhere."""
    reader = node["reader"]
    return reader.get("hub") or reader.get("id")


def base_model_id(result: Mapping[str, Any]) -> str | None:
    """The base model's id on the Hub, None for a local folder or a model from scratch."""
    tags = result["tags"]
    from_hub = tags.get("base_model.source") in ("package", "cache", "hub")
    return tags["base_model.id"] if from_hub and _HUB_ID.fullmatch(tags["base_model.id"]) else None


def base_facts(result: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[str, str]:
    """The base model's name with what was done to it, and the same with revision and sha256 where they are known.

    Args:
        model: the YAML of the run's model.
    """
    tags = result["tags"]
    if tags.get("base_model.source") == "scratch":
        name = result["choices"]["model"]
        return f"{name}, from scratch", f"{name}, from scratch: random weights"
    name = base_model_id(result) or Path(tags["base_model.id"]).name
    known = {"revision": tags.get("base_model.revision"), "sha256": tags.get("base_model.sha256")}
    facts = [f"{key} `{value}`" for key, value in known.items() if value]
    changes = [*_base_changes(model)]
    return ", ".join([name, *changes]), ", ".join([name, *facts, *changes])


def _base_changes(model: Mapping[str, Any]) -> Iterator[str]:
    """What a model's YAML changes of its base, in words.

    >>> list(_base_changes({"num_layers": 1, "pooling": ["cls", "mean"], "adapter": {"r": 8, "merge": True}}))
    ['first 1 layer', 'pooling cls+mean', 'trained by an adapter of rank 8 (merged)']
    """
    base = {**(model.get("base") or model.get("source") or {}), **model}
    if (layers := base.get("num_layers")) is not None:
        yield f"first {layers} layer{'s' if layers != 1 else ''}"
    if pooling := base.get("pooling"):
        yield f"pooling {pooling if isinstance(pooling, str) else '+'.join(pooling)}"
    if base.get("dtype"):
        yield f"weights as {base['dtype']}"
    if base.get("max_seq_length"):
        yield f"texts cut after {base['max_seq_length']} tokens"
    if modules := model.get("modules"):
        yield f"with modules {', '.join(modules)}"
    if adapter := base.get("adapter"):
        yield f"trained by an adapter of rank {adapter['r']}{' (merged)' if adapter['merge'] else ''}"


def data_facts(result: Mapping[str, Any], data_license: str | None) -> Iterator[tuple[str, str]]:
    """Name, shape and rows of the training data, where it is from, its license, and what was done to it."""
    tags = result["tags"]
    shape, *steps = result["data"]
    yield "data", shape
    for key in ("source", "subset", "revision"):
        if tags.get(f"data.{key}"):
            yield key, _without_folders(tags[f"data.{key}"])
    yield "license", data_license or tags.get("data.license") or "not stated; ask where the data are from"
    yield "fingerprint of the train split", tags["data.train"]
    for step in steps:
        yield "step", _without_folders(step)
    for warning in result.get("warnings", ()):
        found = warning.splitlines()[0].partition(". ")[0].removesuffix(".")
        if not set(found) & _QUOTES:
            yield "note", _without_folders(found)


def stage_facts(result: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Name, call of the loss, data and training of each stage before the main one."""
    for stage in result.get("stages", ()):
        loss = config["adapt"][stage["name"]].get("loss") or config["loss"]
        yield {
            "name": stage["name"],
            "call": call_of(loss),
            "data": _without_folders(stage["data"][0]),
            "training": stage["training"],
        }


def call_of(node: Mapping[str, Any] | None) -> str:
    """A YAML's call as Python: the callable's name and its arguments.

    >>> call_of({"_target_": "a.b.Loss", "_accepts_": ["triplet"], "scale": 20.0})
    'Loss(scale=20.0)'
    >>> call_of({"_target_": "a.b.Loss", "guide": "/home/me/a guide", "places": ["~/x", {"_target_": "c.D", "e": 1}]})
    "Loss(guide='a guide', places=['x', D(e=1)])"
    """
    if not node:
        return ""
    arguments = ", ".join(f"{key}={_as_python(value)}" for key, value in node.items() if not key.startswith("_"))
    return f"{node['_target_'].rpartition('.')[2]}({arguments})"


def _as_python(value: Any) -> str:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return call_of(value)
        return f"{{{', '.join(f'{key!r}: {_as_python(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_as_python(each) for each in value)}]"
    return repr(public(value))


def public(value: Any) -> Any:
    """A value as others may read it: of an absolute path the last part only.

    >>> public("/home/me/my models/one"), public("https://a.b/c"), public(2)
    ('one', 'https://a.b/c', 2)
    """
    if not isinstance(value, str):
        return value
    return Path(value).name if value.startswith(("/", "~")) else _without_folders(value)


def command_of(run_folder: Path | None) -> str:
    """The command that made the run, without what belongs to the machine it ran on."""
    from omegaconf import OmegaConf

    path = run_folder / ".hydra" / "overrides.yaml" if run_folder else None
    typed = OmegaConf.to_container(OmegaConf.load(path), resolve=False) if path and path.is_file() else []
    kept = [text for text in typed if text.lstrip("+~").partition("=")[0].partition(".")[0] not in _OF_THE_MACHINE]
    return shell_command("", (_public_override(text) for text in kept), rename=public)


def _public_override(override: str) -> str:
    import shlex

    key, _, value = override.partition("=")
    plain = value.strip("'\"")
    return shlex.quote(f"{key}={public(plain) if plain.startswith(('/', '~')) else public(value)}")


def versions_of(result: Mapping[str, Any]) -> str:
    """embexp's version and commit, and those of the libraries it ran with."""
    tags = result["tags"]
    own = f"embexp {tags['version.embexp']} ({tags['commit']})"
    libraries = sorted(key for key in tags if key.startswith("version.") and key != "version.embexp")
    return ", ".join([own, *(f"{key.removeprefix('version.')} {tags[key]}" for key in libraries)])
