"""The story of a study: found or begun, its trials run below one parent, its table told."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.building import DataBuilder
from embexp.config import composed, instantiate, resolve
from embexp.environment import PARENT_RUN, versions
from embexp.errors import TrainingError
from embexp.plan import plan_run
from embexp.tracking.journal import Journal
from embexp.tuning.closing import close_study
from embexp.tuning.dimensions import Dimension
from embexp.tuning.measure import measure_of
from embexp.tuning.progress import StudyProgress
from embexp.tuning.record import begin_study, changes_nothing, is_begun, read_study, study_key
from embexp.tuning.space import first_values
from embexp.tuning.study import Search, open_study
from embexp.tuning.trials import run_trials


def run_study(
    config: DictConfig, typed: Sequence[str], fixed: Sequence[str], space: Sequence[Dimension], folder: Path
) -> dict[str, Any]:
    """Go on with the study of a folder, or begin it; returns what it found.

    Raises:
        TrainingError: all its trials failed.
    """
    key, builders = study_key(typed), {}
    if not is_begun(folder, key):
        plan = plan_run(*composed([*fixed, *first_values(space)]), folder / "trials" / "0", builders)
        begin_study(folder, key, {"overrides": [*typed], "measure": measure_of(plan), "versions": versions()})
    settings = resolve(config)
    tuning = settings["tune"]
    search = Search(
        id=key[:8],
        study=open_study(folder, key, tuning["storage"], tuning["pruner"]),
        folder=folder,
        space=space,
        fixed=fixed,
        trials=settings["trials"],
        sampler=tuning["sampler"],
        seed=tuning["seed"],
    )
    journal = Journal(folder, instantiate(settings["tracking"]), again="the same command")
    with journal.open(settings["name"] or f"tune {search.id}", None, key):
        journal.log_tags({"embexp.study": search.id})
        journal.log_params(parameters(tuning["space"], fixed, tuning))
        return _run_below(search, journal, builders)


def _run_below(search: Search, journal: Journal, builders: dict[str, DataBuilder]) -> dict[str, Any]:
    """All that happens while the parent run is open."""
    metric = read_study(search.folder)["measure"]["metric"]
    progress = StudyProgress(search, journal, metric)
    progress.log_earlier()
    os.environ[PARENT_RUN] = journal.run_id
    try:
        run_trials(search, builders, progress.tell)
    finally:
        os.environ.pop(PARENT_RUN)
    found = close_study(search, journal, metric)
    if found["trials"] and all(row["state"] == "failed" for row in found["trials"]):
        raise TrainingError(f"All {len(found['trials'])} trials failed, as was told above.")
    return found


def parameters(searched: Sequence[str], fixed: Sequence[str], tuning: Mapping[str, Any]) -> dict[str, Any]:
    """What is searched, what is fixed, and how it is searched, for the parent run.

    >>> parameters(["loss.scale=10,20"], ["loss=mnrl", "keep=none"], {"seed": 1, "sampler": {"_target_": "a.TPE"}})
    {'space.loss.scale': '10,20', 'loss': 'mnrl', 'tune.seed': 1, 'tune.sampler': 'TPE'}
    """
    space = {f"space.{key.lstrip('+')}": value for key, _, value in (each.partition("=") for each in searched)}
    plain = (each.partition("=") for each in fixed)
    same = {key.lstrip("+~"): value or "left out" for key, _, value in plain if not changes_nothing(key)}
    how = {f"tune.{key}": tuning[key]["_target_"].rpartition(".")[2] for key in ("sampler", "pruner") if key in tuning}
    return space | same | {"tune.seed": tuning["seed"]} | how
