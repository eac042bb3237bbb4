"""The folder of a race: the same command finds it again, with a larger budget, too."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from embexp.core.run_folder import latest_folder
from embexp.experiment.fingerprint import digest
from embexp.experiment.sweep_record import changes_no_job

RACE = "race.json"  # in a race's folder; its `key` says which race it is


def race_key(overrides: Sequence[str]) -> str:
    """A hash of what was typed, whatever its order, and of the directory: one race, however large its budget.

    >>> race_key(["loss=mnrl", "budget=30m"]) == race_key(["budget=2h", "sweep.workers=2", "loss=mnrl"])
    True
    """
    return digest(sorted(each for each in overrides if not _changes_no_candidate(each)), str(Path.cwd()))


def _changes_no_candidate(override: str) -> bool:
    return override.lstrip("+~").partition("=")[0].partition(".")[0] in ("budget", "tracking") or changes_no_job(
        override
    )


def _race_folder(overrides: Sequence[str], root: str, fresh: str) -> str:
    """The folder of the latest race of these overrides below `<root>/<date>/<time>`, or else a fresh one."""
    return str(latest_folder(Path(root), RACE, race_key([*overrides])) or Path(root) / fresh)


OmegaConf.register_new_resolver("embexp.race_folder", _race_folder, replace=True)
