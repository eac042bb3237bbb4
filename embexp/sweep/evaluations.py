"""Evaluations without training: the command, and workers that score a model each, on any engine."""

import logging
import pickle
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.cli.app import run_command
from embexp.cli.overrides import each_model, expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import composed, instantiate
from embexp.errors import EmbexpError, ModelError
from embexp.experiment.score_models import (
    MODELS,
    EvaluationPlan,
    Scored,
    evaluate,
    one_after_the_other,
    plan_evaluation,
    score_model,
)
from embexp.protocols import Tracker
from embexp.sweep.coordinator import check_engine, run_in_workers
from embexp.sweep.jobs import Job, Outcome, record_death
from embexp.sweep.progress import Progress

logger = logging.getLogger("embexp.sweep")
_SCORES = "scores.pickle"  # in a model's folder, until the process that was typed has read it
Composed = Sequence[tuple[DictConfig, dict[str, Any]]]


@dataclass
class ModelScorer:
    """Scores models of an evaluation, in a process of its own as well: the job of a number is the model of that number.

    Args:
        models: the configuration and the choices of each.
        place: the folder of the evaluation.
        parent: the id of its run.
    """

    models: Composed
    place: Path
    parent: str
    id: str
    _plan: EvaluationPlan | None = None  # made by each process for itself
    root = "evaluations"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_plan": None}

    @property
    def config(self) -> DictConfig:
        return self.models[0][0]

    def folder(self, job: Job) -> Path:
        return self.place / MODELS / str(job.number)

    def run(self, job: Job) -> Outcome:
        try:
            self._plan = self._plan or plan_evaluation(self.models, self.place)
            scored = score_model(self._plan, job.number, self.parent)
        except EmbexpError as error:
            return Outcome(error=str(error))
        with open(self.folder(job) / _SCORES, "wb") as file:
            pickle.dump(scored, file)
        plan = self._plan
        split = "test" if (plan.primary_evaluator, "test") in scored[0] else "dev"
        return Outcome(scored[0][plan.primary_evaluator, split].metrics[plan.primary_metric])

    def scored(self, job: Job) -> Scored:
        """What a worker has found."""
        path = self.folder(job) / _SCORES
        with open(path, "rb") as file:
            found = pickle.load(file)
        path.unlink()
        return found

    def _tracker(self) -> Tracker:
        return instantiate(OmegaConf.to_container(self.config.tracking, resolve=True))

    def give_up(self, job: Job, error: str) -> None:
        record_death(self.folder(job), self._tracker(), error, [])

    def stores(self) -> dict[str, str]:
        return {"tracking.uri": self._tracker().store()}

    def again(self) -> None:
        """The same command would begin another evaluation; embeddings that are in the cache are not made again."""


def evaluate_models(models: Composed, folder: Path) -> dict[str, Any]:
    """Score every model, in workers where `sweep.workers` says so; see `evaluate`."""
    sweep = OmegaConf.to_container(models[0][0].sweep, resolve=True)
    check_engine(sweep, may_leave=False)
    workers = min(sweep["workers"], len(models))

    def in_workers(plan: EvaluationPlan, parent: str) -> Iterator[tuple[int, Scored | EmbexpError]]:
        scorer = ModelScorer(models, folder, parent, uuid.uuid4().hex[:8])
        jobs = [Job(number, ()) for number in range(1, len(models) + 1)]
        names = {job.number: candidate.name for job, candidate in zip(jobs, plan.candidates, strict=True)}
        outcomes = run_in_workers(scorer, jobs, workers, Progress(names, workers, logger.info))
        if plan.speed_texts and workers > 1:
            logger.warning("Up to %s models were scored side by side: texts per second are those of then.", workers)
        for job, outcome in zip(jobs, outcomes, strict=True):
            yield job.number, ModelError(outcome.error) if outcome.value is None else scorer.scored(job)

    return evaluate(models, folder, in_workers if workers else one_after_the_other)


def evaluate_command() -> None:
    """`python -m embexp.evaluate`: compose the configuration of every model, check all, score them, print the table."""
    models, typed = [], []

    def first_model(arguments: Sequence[str]) -> list[str]:
        """The command of the first model; those of the others are kept for the task."""
        found, others = each_model(arguments)
        models.extend(found)
        typed.extend(quote_texts(expand_paths(others)))
        return [*models[0], *others]

    def task(config: DictConfig, choices: dict[str, Any], folder: Path) -> None:
        evaluate_models([(config, choices), *(composed([*model, *typed], "evaluate") for model in models[1:])], folder)

    run_command(task, "evaluate", rewrite=first_model)
