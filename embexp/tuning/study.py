"""The study as Optuna keeps it in a database, and what its trials share."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config import instantiate
from embexp.errors import ConfigError
from embexp.tuning.dimensions import Dimension

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

DATABASE = "study.db"
# Attributes of a trial: where its run is, that of which trial it is, why it failed, at which steps it was measured.
FOLDER, TWIN, ERROR, STEPS = "folder", "twin", "error", "steps"
STATES = {  # Optuna's, and what a person calls them
    "COMPLETE": "done",
    "PRUNED": "stopped early",
    "FAIL": "failed",
    "RUNNING": "not finished",
    "WAITING": "not begun",
}


@dataclass(frozen=True)
class Search:
    """A study that is open.

    Attributes:
        id: what tells it from other studies: a tag of its runs.
        fixed: the overrides of every trial.
        trials: how many the study shall have.
        sampler: the call that makes one, without its seed.
        seed: of the draws.
    """

    id: str
    study: "Study"
    folder: Path
    space: Sequence[Dimension]
    fixed: Sequence[str]
    trials: int
    sampler: Mapping[str, Any]
    seed: int

    def known(self) -> "list[FrozenTrial]":
        """All trials of the study as they are now, other processes' too, in the order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    def run_folder(self, trial: "Trial | FrozenTrial") -> Path:
        """Where the run of a trial is, or will be."""
        return Path(trial.user_attrs.get(FOLDER, self.folder / "trials" / str(trial.number)))


def open_study(folder: Path, key: str, storage: str | None, pruner: Mapping[str, Any]) -> "Study":
    """The study of that key, made where it is missing.

    Raises:
        ConfigError: the storage cannot be opened.
    """
    import optuna
    from filelock import FileLock
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = storage or f"sqlite:///{folder.resolve() / DATABASE}"
    look = {"study_name": f"embexp-{key}", "direction": "maximize", "pruner": instantiate(pruner)}
    try:
        with FileLock(folder / "study.lock"):
            if storage is None:
                make_database(folder.resolve() / DATABASE)
            return optuna.create_study(storage=url, load_if_exists=True, **look)
    except (SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError) as error:
        raise ConfigError(
            f"tune.storage={without_password(url)} cannot be opened: {str(error).splitlines()[0]}. Expected a database "
            "that answers, as a SQLAlchemy URL: type tune.storage=postgresql+psycopg://user@host/name, or leave it out "
            "to keep the trials in the study's folder."
        ) from error


def make_database(path: Path) -> None:
    """An empty SQLite database with Optuna's tables, in one step: whoever is killed leaves none, or a whole one."""
    from optuna.storages import RDBStorage

    if path.exists():
        return
    making = path.with_name(f"{path.name}.making")
    for left in path.parent.glob(f"{making.name}*"):
        left.unlink()
    storage = RDBStorage(f"sqlite:///{making}")
    storage.remove_session()
    storage.engine.dispose()
    os.replace(making, path)


def without_password(url: str) -> str:
    """A database's address as it may be shown.

    >>> without_password("postgresql+psycopg://me:secret@host/name")
    'postgresql+psycopg://me:***@host/name'
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def first_line_of_error(trial: "FrozenTrial") -> str:
    """Why a trial failed, on one line; empty where it did not."""
    return trial.user_attrs.get(ERROR, "").partition("\n")[0]
