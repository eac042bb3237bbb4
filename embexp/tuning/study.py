"""The study as its folder and Optuna's database keep it: how it is found again, and what each trial samples."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from embexp.config.compose import instantiate
from embexp.core.claims import Claim, drop, held, take
from embexp.core.environment import lack_of
from embexp.core.redaction import redacted
from embexp.core.run_folder import latest_folder, read_json, write_json
from embexp.errors import ConfigError
from embexp.experiment.fingerprint import CHANGE_NOTHING, digest
from embexp.tuning.space import Dimension, name_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

_STUDY = "study.json"
TRIALS = "trials"  # in a study's folder
SHORT_ID = 8
_ELSEWHERE = ("trials", "tune.storage", "tracking")  # keys that change neither the trials nor their results


def study_key(overrides: Sequence[str]) -> str:
    """A hash of what was typed, whatever its order, and of the directory: one study, however often typed."""
    typed = {key: value for key, _, value in (each.partition("=") for each in overrides) if not changes_no_trial(key)}
    return digest(typed, str(Path.cwd()))


def changes_no_trial(key: str) -> bool:
    """Whether a key changes none of the trials; `paths.data` may, and `experiment` does.

    >>> [key for key in ("trials", "paths.data", "paths.cache", "loss", "tracking.uri") if changes_no_trial(key)]
    ['trials', 'paths.cache', 'tracking.uri']
    """
    key = key.lstrip("+~")
    if key in ("experiment", "paths.data"):
        return False
    return key.partition(".")[0] in CHANGE_NOTHING or any(f"{key}.".startswith(f"{each}.") for each in _ELSEWHERE)


def _study_folder(overrides: Sequence[str], root: str, fresh: str) -> str:
    """The folder of the latest study of these overrides below `<root>/<date>/<time>`, or else a fresh one."""
    return str(latest_folder(Path(root), _STUDY, study_key([*overrides])) or Path(root) / fresh)


OmegaConf.register_new_resolver("embexp.study_folder", _study_folder, replace=True)


def read_study(folder: Path) -> dict[str, Any]:
    """key and overrides of a study, and what its trials are measured by."""
    return read_json(folder / _STUDY)


def begin_study(folder: Path, key: str, content: dict[str, Any]) -> None:
    """Write what a study is to its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _STUDY, {"key": key, **content})


def is_begun(folder: Path, key: str) -> bool:
    """Whether the folder holds this study.

    Raises:
        ConfigError: it holds another one.
    """
    if not (folder / _STUDY).is_file():
        return False
    record = read_study(folder)
    if record["key"] != key:
        raise ConfigError(
            f"{folder} holds another study ({' '.join(record['overrides'])}), or the same from another directory",
            expected="a folder without a study",
            fix="hydra.run.dir=<folder>",
        )
    return True


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
class OpenStudy:
    """A study that is open.

    Attributes:
        id: a tag of the study's runs.
        fixed: the overrides of every trial.
        trials: how many the study shall have.
        sampler: the call that makes one, without its seed.
        seed: of the sampling.
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
        return Path(trial.user_attrs.get(FOLDER, self.folder / TRIALS / str(trial.number)))


def open_study(folder: Path, key: str, storage: str | None, pruner: Mapping[str, Any]) -> "Study":
    """The study of that key, made where it is missing.

    Raises:
        ConfigError: the storage cannot be opened.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = storage or f"sqlite:///{folder.resolve() / DATABASE}"
    look = {"study_name": f"embexp-{key}", "direction": "maximize", "pruner": instantiate(pruner)}
    try:
        with held(folder, "study", waits=True):
            if storage is None:
                _make_database(folder.resolve() / DATABASE)
            return optuna.create_study(storage=url, load_if_exists=True, **look)
    except (SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError) as error:
        driver = lack_of("postgres") if isinstance(error, ImportError) and url.startswith("postgres") else None
        other = ("tune.storage=postgresql+psycopg://user@host/name", "tune.storage=null")
        raise ConfigError(
            f"cannot be opened: {str(error).splitlines()[0]}",
            key="tune.storage",
            given=redacted(url),
            expected="a SQLAlchemy URL of a database that answers; without one the study's folder keeps the trials",
            fix=(driver.fix, *other) if driver else other,
        ) from error


def open_search(
    settings: Mapping[str, Any], key: str, fixed: Sequence[str], space: Sequence[Dimension], folder: Path
) -> OpenStudy:
    """The study of a configuration, as every process opens it that works on it."""
    tuning = settings["tune"]
    return OpenStudy(
        id=key[:SHORT_ID],
        study=open_study(folder, key, tuning["storage"], tuning["pruner"]),
        folder=folder,
        space=space,
        fixed=fixed,
        trials=settings["trials"],
        sampler=tuning["sampler"],
        seed=tuning["seed"],
    )


def _make_database(path: Path) -> None:
    """An empty SQLite database with Optuna's tables, in one step: a killed process leaves none, or a complete one."""
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


def first_line_of_error(trial: "FrozenTrial") -> str:
    """Why a trial failed, on one line; empty where it did not."""
    return trial.user_attrs.get(ERROR, "").partition("\n")[0]


@contextmanager
def next_trial(search: OpenStudy) -> Iterator["Trial | None"]:
    """A trial that no other process works on: one that was interrupted, else a new one; None when there are enough.

    Its folder is held meanwhile. Processes on one study wait for each other while they take one.
    """
    with ExitStack() as hold:
        with held(search.folder, "study", waits=True):
            trial = _interrupted(search, hold) or _fresh(search, hold) or _interrupted(search, hold, waits=True)
        yield trial


def _interrupted(search: OpenStudy, hold: ExitStack, waits: bool = False) -> "Trial | None":
    """A trial that runs according to the database, but whose folder no process holds.

    Args:
        waits: for a sign of life of other machines' processes; else theirs are not taken.
    """
    from optuna.trial import Trial, TrialState

    for frozen in search.known():
        if frozen.state != TrialState.RUNNING:
            continue
        folder = search.run_folder(frozen)
        with suppress(ConfigError):  # another process is at it
            if waits:
                hold.enter_context(held(folder))
            elif isinstance(claim := take(folder), Claim):
                hold.callback(drop, claim)
            else:
                continue
            return Trial(search.study, frozen._trial_id)
    return None


def _fresh(search: OpenStudy, hold: ExitStack) -> "Trial | None":
    if len(search.known()) >= search.trials:
        return None
    trial = _begin_trial(search)
    hold.enter_context(held(search.run_folder(trial)))
    return trial


def _begin_trial(search: OpenStudy) -> "Trial":
    """One more trial, with its values."""
    search.study.sampler = _sampler_of(search, len(search.known()), "")  # some prepare a trial before it samples
    trial = search.study.ask()
    sample_values(search, trial)
    trial.set_user_attr(FOLDER, str(search.run_folder(trial)))
    return trial


def trial_of(search: OpenStudy, number: int) -> "Trial":
    """The trial of that number; it is begun where it is missing, and so are those before it."""
    from optuna.trial import Trial

    with held(search.folder, "study", waits=True):
        while len(search.known()) <= number:
            _begin_trial(search)
    return Trial(search.study, search.known()[number]._trial_id)  # Optuna has no other way to resume a trial


def sample_values(search: OpenStudy, trial: "Trial") -> None:
    """Sample a value for every key; what the trial has sampled before stays as it is.

    Each sample has a seed of its own, made of the study's seed, the trial's number and the key, so that nothing depends
    on how often the process was started. Keys that a sampler samples together have that of the empty key.
    """
    search.study.sampler = _sampler_of(search, trial.number, "")
    _ = trial.relative_params  # sampled at the first access
    for dimension in search.space:
        search.study.sampler = _sampler_of(search, trial.number, dimension.key)
        dimension.sample(trial)


def _sampler_of(search: OpenStudy, number: int, key: str) -> Any:
    """The sampler of this key of this trial; with an empty key of all that are sampled together."""
    return instantiate(search.sampler, seed=int(digest(search.seed, number, key)[:8], 16))


def sampled_overrides(search: OpenStudy, trial: "Trial | FrozenTrial", shown: Callable[[Any], str] = str) -> list[str]:
    """What a trial has sampled, as overrides, with the values as `shown` writes them."""
    return [f"{each.key}={shown(trial.params[name_of(each)])}" for each in search.space]
