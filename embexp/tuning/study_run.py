"""Running a study: found or begun, its trials run below one parent, its progress and table shown."""

import logging
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from embexp.config.compose import check_arguments, composed, instantiate, resolve
from embexp.core.arguments import COUNT, problems_with, refuse
from embexp.core.environment import lack_of, versions
from embexp.core.escaping import say
from embexp.core.run_context import RunContext
from embexp.core.run_folder import changes
from embexp.errors import ConfigError, TrainingError
from embexp.experiment.datasets import DataBuilder
from embexp.experiment.fingerprint import code, evaluated_rows, fingerprints, prompts, weights
from embexp.experiment.plan import RunPlan, plan_run
from embexp.sweep.progress import duration
from embexp.tracking.journal import Journal
from embexp.tuning.report import close_study, shown
from embexp.tuning.space import MULTIRUN, Dimension, check_values, first_values, read_space, run_overrides, with_space
from embexp.tuning.study import (
    STATES,
    OpenStudy,
    begin_study,
    changes_no_trial,
    first_line_of_error,
    is_begun,
    open_study,
    read_study,
    sampled_overrides,
    study_key,
)
from embexp.tuning.trials import measure_of, run_trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


logger = logging.getLogger(__name__)
_SHA256 = 64  # characters


class _StudyProgress:
    """Shows each trial that has ended, on the terminal and in the parent run.

    Args:
        metric: by which the trials are measured, as `dev/<evaluator>/<metric>`.
    """

    def __init__(self, search: OpenStudy, journal: Journal, metric: str) -> None:
        self.search = search
        self.journal = journal
        self.metric = metric
        self.start = time.perf_counter()
        self.num_shown = 0

    def show(self, trial: "FrozenTrial") -> None:
        """Print a line about a trial that has ended, and log its value."""
        self.num_shown += 1
        self.log(trial)
        drawn = " ".join(sampled_overrides(self.search, trial, shown))
        say(f"trial {trial.number} {drawn}: {_outcome(trial)} | {self.line()}")

    def log(self, trial: "FrozenTrial") -> None:
        """Log the value of a trial that is done, and the best so far."""
        if trial.state.name == "COMPLETE":
            best = max(value for number, value in self._done().items() if number <= trial.number)
            self.journal.log_metrics({f"trial/{self.metric}": trial.value, f"best/{self.metric}": best}, trial.number)

    def _done(self) -> dict[int, float]:
        return {trial.number: trial.value for trial in self.search.known() if trial.state.name == "COMPLETE"}

    def line(self) -> str:
        """How many trials have ended and how, the best so far, the time left."""
        states, done = [trial.state.name for trial in self.search.known()], self._done()
        ended = sum(state in ("COMPLETE", "PRUNED", "FAIL") for state in states)
        parts = [f"{ended} of {max(len(states), self.search.trials)} trials"]
        parts += [f"{states.count(state)} {STATES[state]}" for state in ("PRUNED", "FAIL") if state in states]
        if done:
            best = max(done, key=lambda number: (done[number], -number))
            parts.append(f"best {done[best]:.4f} (trial {best})")
        if ended < self.search.trials:
            each = (time.perf_counter() - self.start) / self.num_shown
            parts.append(f"about {duration((self.search.trials - ended) * each)} left")
        return ", ".join(parts)


def _outcome(trial: "FrozenTrial") -> str:
    if trial.state.name == "COMPLETE":
        return f"{trial.value:.4f}"
    if trial.state.name == "PRUNED":
        return f"{STATES['PRUNED']} at {trial.value:.4f}"
    return f"{STATES['FAIL']}, {first_line_of_error(trial)}"


def _run_study(
    config: DictConfig, typed: Sequence[str], fixed: Sequence[str], space: Sequence[Dimension], folder: Path
) -> dict[str, Any]:
    """Resume the study of a folder, or begin it; returns what it found.

    Raises:
        ConfigError: rows or model files are not those that it began with.
        TrainingError: all its trials failed.
    """
    _check_tuners(config)
    key = study_key(typed)
    builders: dict[str, DataBuilder] = {}
    first, context = composed([*fixed, *first_values(space)]), RunContext(builders=builders)
    plan = plan_run(*first, folder / "trials" / "0", context=context)
    if is_begun(folder, key):
        _check_same(read_study(folder), plan, config.tune.seed)
    else:
        content = {"overrides": [*typed], "measure": measure_of(plan), "versions": versions(), "code": code(plan)}
        begin_study(folder, key, content | {"began": _rows_and_weights(plan)})
    settings = resolve(config)
    tuning = settings["tune"]
    search = OpenStudy(
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
    journal.outbox.path = (
        folder / f"unsent-{uuid.uuid4().hex[:8]}.jsonl"
    )  # other processes run trials of the study, too
    with journal.open(settings["name"] or f"tune {search.id}", None, key):
        journal.log_tags({"embexp.study": search.id})
        journal.log_params(_parameters(tuning["space"], fixed, tuning))
        metric = read_study(search.folder)["measure"]["metric"]
        progress = _StudyProgress(search, journal, metric)
        for trial in search.known():  # those of earlier processes; what these have logged is not logged again
            progress.log(trial)
        run_trials(search, lambda: RunContext(journal.run_id, builders=builders), progress.show)
        found = close_study(search, journal, metric)
        if found["trials"] and all(row["state"] == "failed" for row in found["trials"]):
            raise TrainingError(f"All {len(found['trials'])} trials failed: see their messages above.")
        return found


def _rows_and_weights(plan: RunPlan) -> dict[str, str]:
    """Hashes of what the trials read; not of models that are on the Hub still, which a trial may fetch."""
    here = {name: found for name, found in weights(plan).items() if len(found) == _SHA256}
    return fingerprints(plan) | prompts(plan) | evaluated_rows(plan) | here


def _check_same(record: Mapping[str, Any], plan: RunPlan, seed: int) -> None:
    """Raise ConfigError if the trials to come would have other rows or models than those before; warn of other code."""
    if changed := changes(record.get("began", {}), _rows_and_weights(plan)):
        raise ConfigError(
            f"The study cannot go on, because what it began with has changed: {'; '.join(changed)}",
            expected="the same rows and model files: put them back, or begin another study",
            fix=f"tune.seed={seed + 1}",
        )
    for change in changes(record.get("code", {}), code(plan)):
        logger.warning("%s: the earlier trials were done by the earlier code.", change)


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
    return _run_study(config, typed, fixed, space, folder)
