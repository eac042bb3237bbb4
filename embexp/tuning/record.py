"""What a study's folder says about the study itself, so that the same command finds it again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.errors import ConfigError
from embexp.identity import CHANGE_NOTHING, digest
from embexp.run_record import write_json

STUDY = "study.json"
ELSEWHERE = ("trials", "tune.storage", "tracking")  # keys that change neither the trials nor their results


def study_key(overrides: Sequence[str]) -> str:
    """A hash of what was typed, whatever its order, and of the directory: one study, however often typed."""
    typed = {}
    for override in overrides:
        key, _, value = override.partition("=")
        if not changes_nothing(key):
            typed[key] = value
    return digest(typed, str(Path.cwd()))


def changes_nothing(key: str) -> bool:
    """Whether a key changes none of the trials; `paths.data` may, and `experiment` does.

    >>> [key for key in ("trials", "paths.data", "paths.cache", "loss", "tracking.uri") if changes_nothing(key)]
    ['trials', 'paths.cache', 'tracking.uri']
    """
    key = key.lstrip("+~")
    if key in ("experiment", "paths.data"):
        return False
    return key.partition(".")[0] in CHANGE_NOTHING or any(f"{key}.".startswith(f"{each}.") for each in ELSEWHERE)


def study_folder(overrides: Sequence[str], root: str, fresh: str) -> str:
    """The folder of the latest study of these overrides below `<root>/<date>/<time>`, or else a fresh one."""
    key = study_key([*overrides])
    found = [path.parent for path in sorted(Path(root).glob(f"*/*/{STUDY}")) if read_study(path.parent)["key"] == key]
    return str(found[-1] if found else Path(root) / fresh)


OmegaConf.register_new_resolver("embexp.study_folder", study_folder, replace=True)


def read_study(folder: Path) -> dict[str, Any]:
    """key and overrides of a study, and what its trials are measured by."""
    return json.loads((folder / STUDY).read_text(encoding="utf-8"))


def begin_study(folder: Path, key: str, content: dict[str, Any]) -> None:
    """Write what a study is to its folder.

    Raises:
        ConfigError: the folder holds another study.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STUDY, {"key": key, **content})


def is_begun(folder: Path, key: str) -> bool:
    """Whether the folder holds this study.

    Raises:
        ConfigError: it holds another one.
    """
    if not (folder / STUDY).is_file():
        return False
    record = read_study(folder)
    if record["key"] != key:
        raise ConfigError(
            f"{folder} holds another study ({' '.join(record['overrides'])}), or the same from another directory. "
            "Expected a folder without one: name another by hydra.run.dir=<folder>."
        )
    return True
