"""What a sweep's folder says about the sweep itself, so that the same command finds it again."""

import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embexp.core.environment import versions
from embexp.core.run_folder import RECORD, latest_folder, read_json, readable, write_json
from embexp.errors import ConfigError
from embexp.experiment.fingerprint import CHANGE_NOTHING, digest

SWEEP = "sweep.json"
TAKEN = "taken.json"  # in a job's folder: where the finished run is that it need not repeat
TRIALS, RATES = "trials", "rates.json"  # of a search of learning rates: the folder of its runs, and what it found
RACED = "raced.json"  # in the folder of a sweep with sweep.race=true: which configurations were dropped, and why
SHORT_ID = 8
PARTS, PART_KEY = (
    "sweep.parts",
    "sweep.part",
)  # which parts a sweep asks about; what a job leaves out, or trains on alone
WHOLE, WITHOUT, ONLY = "all", "without", "only"  # a value of that key: `all`, `without web`, `only web`


def sweep_key(overrides: Sequence[str], config_name: str) -> str:
    """A hash of what was typed, less what changes no result, and of the versions: one sweep, however often typed."""
    typed = [override for override in overrides if not changes_no_job(override)]
    return digest(typed, config_name, versions(), str(Path.cwd()))


_THAT_DO = ("sweep", "experiment", "paths.data", "sweep.fair", "sweep.learning_rates", "sweep.trial_share", PART_KEY)


def changes_no_job(override: str) -> bool:
    """Whether an override changes no result; `sweep=<name>` does, as it says what to sweep over, and so do other data.

    >>> [changes_no_job(each) for each in ("sweep.workers=2", "sweep/engine=slurm", "sweep=losses", "paths.data=here")]
    [True, True, False, False]
    """
    key = override.lstrip("+~").partition("=")[0]
    return re.split(r"[./]", key)[0] in CHANGE_NOTHING and key not in _THAT_DO


def find_sweep(root: Path, key: str) -> Path | None:
    """The folder of the latest sweep with that key below `<root>/<date>/<time>`."""
    return latest_folder(root, SWEEP, key)


def read_sweep(folder: Path) -> dict[str, Any]:
    """id, key and overrides of a sweep, and whether it has come to its end."""
    return read_json(folder / SWEEP)


def begin_sweep(folder: Path, key: str, overrides: Sequence[str], begins_anew: bool = False) -> dict[str, Any]:
    """The record of the sweep in a folder: of the one that is there, else a new one.

    Args:
        begins_anew: everything was requested again.

    Raises:
        ConfigError: the folder holds another sweep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / SWEEP).is_file():
        record = {"id": uuid.uuid4().hex[:SHORT_ID], "key": key, "overrides": [*overrides]}
        record |= {"began_anew": begins_anew, "ended": False}
        write_json(folder / SWEEP, record)
    record = read_sweep(folder)
    if record["key"] != key:
        raise ConfigError(
            f"{folder} holds another sweep ({' '.join(record['overrides'])}), or the same of other package versions or "
            "from another directory",
            expected="a folder without one",
            fix="hydra.sweep.dir=<folder>",
        )
    return record


def end_sweep(folder: Path) -> None:
    """Note that every job of a sweep has had its turn."""
    write_json(folder / SWEEP, read_sweep(folder) | {"ended": True})


def job_folders(sweep_folder: Path) -> list[Path]:
    """The folder of each job of a sweep by its number; of one that was taken from elsewhere, that of the other run."""
    numbered = (sweep_folder / str(number) for number in job_numbers(sweep_folder))
    return [taken_from(path) or path for path in numbered]


def job_numbers(sweep_folder: Path) -> list[int]:
    """The numbers of the jobs that a sweep's folder holds."""
    return sorted(int(path.name) for path in sweep_folder.iterdir() if path.name.isdigit() and path.is_dir())


def searched_in(sweep_folder: Path) -> dict[int, dict[str, Any]]:
    """What the search of learning rates found, by the number of each job; empty without one."""
    files = [path for path in [sweep_folder / RATES] if path.is_file()]
    found = [content for _, content in readable(files, read_json)]
    return {
        number: cell | {"share": content["share"]}
        for content in found
        for cell in content["cells"]
        for number in cell["jobs"]
        if cell["chosen"] is not None
    }


def raced_in(sweep_folder: Path) -> dict[str, Any]:
    """What a race has spared a sweep: `dropped`, a sentence each, and `saved`, a sentence; empty without one."""
    files = [path for path in [sweep_folder / RACED] if path.is_file()]
    return next((content for _, content in readable(files, read_json)), {})


def typed_in(folder: Path) -> tuple[str, ...]:
    """The overrides of a job, as Hydra left them in its folder; none where it left none."""
    from omegaconf import OmegaConf

    path = folder / ".hydra" / "overrides.yaml"
    return tuple(map(str, OmegaConf.to_container(OmegaConf.load(path), resolve=False))) if path.is_file() else ()


def taken_from(folder: Path) -> Path | None:
    """The folder of the run that a job took, if it did and that run is still there."""
    files = [path for path in [folder / TAKEN] if path.is_file()]
    others = (Path(other) for _, other in readable(files, lambda path: read_json(path)["folder"]))
    return next((other for other in others if (other / RECORD).is_file()), None)
