"""`python -m embexp.config`: the reference page of the describing keys, docs/yaml-keys.md."""

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf

from embexp.config.checks import is_required
from embexp.config.session import conf_dir
from embexp.config.yaml_keys import KEYS_OF_GROUPS, CallKeys, LossOfShape, Needs, keys_of, own_keys
from embexp.core.arguments import LegalValues, type_words
from embexp.errors import as_typed

COMMAND = "python -m embexp.config > docs/yaml-keys.md"
_HEADING = f"""# Describing keys of the YAML files

A YAML of a group names a callable in `_target_` and gives its arguments. A key between underscores describes the call
and is not passed on. These are all there are, by the group whose files hold them. A run refuses any other in the first
second, also one in a folder of your own (`--config-dir`), with the file, the line and the nearest known key.

<!-- Made from embexp/config/yaml_keys.py and conf/: do not edit, type {COMMAND} -->
"""
_FOLDERS = {"step": ("step", "silver", "negatives"), "loss": ("loss", "adapt")}  # more than that of the group's name
_ALSO = {
    Needs: "What `_needs_` may hold",
    LegalValues: "What `_values_` may hold for an argument",
    LossOfShape: "What a row of `_by_shape_` holds",
}


def _as_markdown() -> str:
    """The content of docs/yaml-keys.md: a table for each group, and for each mapping that a key may hold."""
    parts = [_HEADING]
    for group, kind in KEYS_OF_GROUPS.items():
        folders = ", ".join(f"`{folder}`" for folder in _FOLDERS.get(group, (group,)))
        parts.append(_section(f"{folders}: the keys of {kind.what}", own_keys(kind), kind, _examples(group)))
    parts.append(_section("Any call: Hydra's own keys", keys_of(CallKeys), CallKeys, _examples("model")))
    for kind, heading in _ALSO.items():
        parts.append(_section(heading, {each.name: each for each in dataclasses.fields(kind)}, kind, {}))
    return "\n".join(parts)


def _meanings(kind: type) -> dict[str, str]:
    """What the docstring of a class says of its attributes, by name."""
    attributes = inspect.getdoc(kind).partition("Attributes:\n")[2]
    found = {}
    for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


def _section(heading: str, keys: Mapping[str, dataclasses.Field], kind: type, examples: Mapping[str, str]) -> str:
    head = ("key", "type", "meaning", *(("example",) if examples else ()))
    rows = [head, ["---"] * len(head)]
    for key, each in keys.items():
        words = type_words(each.type) + (" (required)" if is_required(each) else "")
        rows.append((f"`{key}`", words, _meanings(kind)[each.name], *((examples.get(key, ""),) if examples else ())))
    lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return f"## {heading}\n\n" + "\n".join(lines) + "\n"


def _examples(group: str) -> dict[str, str]:
    """The shortest value of each key in the group's files, with its file."""
    found: dict[str, list[str]] = {}
    for folder in _FOLDERS.get(group, (group,)):
        for path in sorted(conf_dir().glob(f"{folder}/**/*.yaml")):
            for key, value in _described_in(OmegaConf.to_container(OmegaConf.load(path))):
                name = path.relative_to(conf_dir()).as_posix()
                found.setdefault(key, []).append(f"`{key}: {as_typed(value)}` ({name})")
    return {key: min(examples, key=len) for key, examples in found.items()}


def _described_in(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if str(key).startswith("_"):
                yield key, value[:1] if key == "_by_shape_" else value
            else:
                yield from _described_in(value)


if __name__ == "__main__":
    print(_as_markdown(), end="")
