"""Running a study: found or begun, its trials run below one parent, its progress and table shown."""

import logging
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.config.compose import check_arguments, composed, instantiate, resolve
from embexp.core.arguments import COUNT, problems_with, refuse
from embexp.core.environment import lack_of, versions
from embexp.core.run_context import RunContext
from embexp.errors import ConfigError, TrainingError
from embexp.experiment.datasets import DataBuilder
from embexp.experiment.fingerprint import check_same, code, rows_and_weights
from embexp.experiment.pausing import measure_of
from embexp.experiment.plan import plan_run
from embexp.sweep.coordinator import check_engine
from embexp.tracking.journal import Journal
from embexp.tuning.report import close_study
from embexp.tuning.space import (
    MULTIRUN,
    Dimension,
    check_values,
    first_values,
    read_space,
    refuse_lists,
    run_overrides,
    with_space,
)
from embexp.tuning.study import (
    TRIALS,
    begin_study,
    changes_no_trial,
    is_begun,
    open_search,
    read_study,
    study_key,
)
from embexp.tuning.trials import run_trials
from embexp.tuning.workers import StudyProgress, TrialRunner, run_trials_in_workers

logger = logging.getLogger(__name__)


def _run_study(
    config: DictConfig, typed: Sequence[str], fixed: Sequence[str], space: Sequence[Dimension], folder: Path
) -> dict[str, Any]:
    """Resume the study of a folder, or begin it; returns what it found.

    Raises:
        ConfigError: rows or model files are not those that it began with.
        TrainingError: all its trials failed.
    """
    _check_tuners(config)
    check_engine(resolve(config)["sweep"])
    key = study_key(typed)
    builders: dict[str, DataBuilder] = {}
    first, context = composed([*fixed, *first_values(space)]), RunContext(builders=builders)
    plan = plan_run(*first, folder / TRIALS / "0", context=context)
    if is_begun(folder, key):
        check_same("The study", read_study(folder), plan, f"tune.seed={config.tune.seed + 1}")
    else:
        content = {"overrides": [*typed], "measure": measure_of(plan), "versions": versions(), "code": code(plan)}
        begin_study(folder, key, content | {"began": rows_and_weights(plan)})
    settings = resolve(config)
    search = open_search(settings, key, fixed, space, folder)
    journal = Journal(folder, instantiate(settings["tracking"]), again="the same command")
    # Other processes run trials of the study, too.
    journal.outbox.path = folder / f"unsent-{uuid.uuid4().hex[:8]}.jsonl"
    with journal.open(settings["name"] or f"tune {search.id}", None, key):
        journal.log_tags({"embexp.study": search.id})
        journal.log_params(_parameters(settings["tune"]["space"], fixed, settings["tune"]))
        metric = read_study(search.folder)["measure"]["metric"]
        progress = StudyProgress(search, journal, metric)
        for trial in search.known():  # those of earlier processes; what these have logged is not logged again
            progress.log(trial)
        if config.sweep.workers:
            run_trials_in_workers(TrialRunner(config, key, fixed, space, folder, journal.run_id, search), progress)
        else:
            run_trials(search, lambda: RunContext(journal.run_id, builders=builders), progress.show)
        found = close_study(search, journal, metric)
        if found["trials"] and all(row["state"] == "failed" for row in found["trials"]):
            raise TrainingError(f"All {len(found['trials'])} trials failed: see their messages above.")
        return found


def _check_tuners(config: DictConfig) -> None:
    """Raise ConfigError where sampler or pruner do not take an argument, or the study itself gives it."""
    for key, of_study in (("sampler", {"seed": None}), ("pruner", {})):
        call = OmegaConf.to_container(config.tune[key], resolve=True)
        check_arguments(call, of_study, f"tune.{key}")


def _parameters(searched: Sequence[str], fixed: Sequence[str], tuning: Mapping[str, Any]) -> dict[str, Any]:
    """What is searched, what is fixed, and how it is searched, for the parent run.

    >>> _parameters(["loss.scale=10,20"], ["loss=mnrl", "keep=none"], {"seed": 1, "sampler": {"_target_": "a.TPE"}})
    {'space.loss.scale': '10,20', 'loss': 'mnrl', 'tune.seed': 1, 'tune.sampler': 'TPE'}
    """
    space = {f"space.{key.lstrip('+')}": value for key, _, value in (each.partition("=") for each in searched)}
    plain = (each.partition("=") for each in fixed)
    same = {key.lstrip("+~"): value or "left out" for key, _, value in plain if not changes_no_trial(key)}
    how = {f"tune.{key}": tuning[key]["_target_"].rpartition(".")[2] for key in ("sampler", "pruner") if key in tuning}
    return space | same | {"tune.seed": tuning["seed"]} | how


def tune_command() -> None:
    """`python -m embexp.tune`: take from the command line what is searched, compose the rest, and run the study."""
    from embexp.cli.app import run_command

    run_command(_tune, "tune", rewrite=lambda arguments: with_space([*MULTIRUN & {*sys.argv}, *arguments]))


def _tune(config: DictConfig, _choices: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the trials that the study lacks, below one parent run, and show the best; returns what was found."""
    from hydra.core.hydra_config import HydraConfig

    if lack := lack_of("tune"):
        raise ConfigError(f"embexp.tune needs {lack.text}", fix=lack.fix)
    refuse(problems_with("trials", config.trials, COUNT, 20, "It is the number of all trials of the study."))
    if config.resume is not None:
        raise ConfigError("resumes a run, not a study", key="resume", expected="the study's own command, without it")
    typed = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    fixed = run_overrides(typed)
    space = read_space(config.tune.space, fixed)
    check_values(space, fixed)
    if not is_begun(folder, study_key(typed)):
        refuse_lists(space, fixed, config.trials)
    return _run_study(config, typed, fixed, space, folder)
