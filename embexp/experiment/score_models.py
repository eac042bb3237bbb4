"""Evaluation without training: find and check every model, score all of them, rank them, show the table."""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.config.compose import instantiate, resolve
from embexp.core.arguments import COUNT_FROM_0, problems_with
from embexp.core.claims import held
from embexp.core.environment import environment_tags
from embexp.core.escaping import output_console, say
from embexp.core.run_context import import_data_libraries, import_training_libraries
from embexp.core.run_folder import write_json, write_text
from embexp.data.dataset import Prompts
from embexp.errors import ConfigError, EmbexpError, ModelError, Problems, listed
from embexp.evaluation.scores import Evaluator, verdict_split
from embexp.evaluation.stats.multiple_comparisons import rank_models
from embexp.experiment.artifacts import evaluation_files
from embexp.experiment.cache_size import bounded_cache
from embexp.experiment.datasets import builder_of, dataset_name, stand_in_warning, stand_ins
from embexp.experiment.evaluation_data import split_for_evaluation, with_evaluators
from embexp.experiment.evaluators import check_data_of_evaluators, check_evaluator, plan_evaluators
from embexp.experiment.plan import short_names
from embexp.experiment.presets import model_prompts, prompted_evaluators
from embexp.experiment.scoring import (
    BOTH,
    AllScores,
    all_texts,
    base_encoder,
    encoding_costs,
    metrics_of,
    score_all,
    score_served,
)
from embexp.experiment.unknown_tokens import UNKNOWN, evaluation_warnings, unknown_tokens
from embexp.models.prompts import with_prompts
from embexp.models.served import ServedModel
from embexp.models.tokens import UnknownTokens, unknown_by_model
from embexp.protocols import BaseModel, Tracker
from embexp.reports.changed_examples import KIND_OF
from embexp.reports.comparisons import NOTE, as_csv, as_markdown, model_tables, spread_markdown
from embexp.reports.tables import fitting, print_table
from embexp.tracking.journal import Journal

_Node = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A model that can be scored.

    Attributes:
        place: where its weights come from.
        config: the resolved configuration with this model.
        prompts: what it wants before texts.
    """

    name: str
    model: BaseModel
    place: Mapping[str, str]
    config: _Node
    prompts: Prompts | None


@dataclass(frozen=True)
class EvaluationPlan:
    """What is scored by whom, and where the results go.

    Attributes:
        primary_evaluator, primary_metric: who orders the models.
        dataset: what a person calls the data of evaluators that bring none.
    """

    candidates: tuple[Candidate, ...]
    evaluators: tuple[Evaluator, ...]
    primary_evaluator: str
    primary_metric: str
    dataset: str
    tracker: Tracker
    folder: Path
    seed: int
    threads: int | None
    speed_texts: int


def plan_evaluation(composed: Sequence[tuple[DictConfig, dict[str, Any]]], folder: Path) -> EvaluationPlan:
    """The plan; all mistakes, of all models and evaluators, are reported together."""
    resolved = [_of_test(resolve(config)) for config, _ in composed]
    check_data_of_evaluators(resolved[0])
    builder, problems = builder_of(resolved[0]), Problems()
    key = "dataset@test" if composed[0][0].test and resolved[0]["test"] is None else "dataset"
    name = dataset_name(resolved[0]["dataset"], {"dataset": composed[0][1].get(key)})
    first = with_evaluators(resolved[0], name, builder)
    first = split_for_evaluation(first, [each["model"] for each in resolved])
    if found := stand_ins(first):
        logger.warning("%s", stand_in_warning(found))
    problems.add(problems_with("speed_texts", first["speed_texts"], COUNT_FROM_0, such_as=256), ConfigError)
    for evaluator in first["evaluator"] or {}:
        problems.attempt(check_evaluator, evaluator, first, name, builder)
    candidates = [
        problems.attempt(_candidate, config | {"evaluator": first["evaluator"]}, choices)
        for config, (_, choices) in zip(resolved, composed, strict=True)
    ]
    problems.raise_if_any()
    names = [candidate.name for candidate in candidates]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        text, expected = f"names {', '.join(twice)} more than once", "each model once, under names of their own"
        raise ConfigError(text, key="model", expected=expected)
    import_data_libraries()
    evaluators, primary, warnings = plan_evaluators(first, name, [], builder, problems)
    for warning in warnings:
        logger.warning("%s", warning)
    tracker = problems.attempt(instantiate, first["tracking"])
    problems.raise_if_any()
    import_training_libraries()
    for candidate in candidates:
        problems.attempt(candidate.model.check)
    problems.raise_if_any()
    settings = {key: first[key] for key in ("seed", "threads", "speed_texts")}
    return EvaluationPlan(tuple(candidates), evaluators, *primary, name, tracker, folder, **settings)


def _of_test(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the data named by `test` in place of the dataset, unless a probe is fitted on that."""
    fits = any(node.get("fit_on") == "train" for node in (config["evaluator"] or {}).values() if node)
    return config | {"dataset": config["test"], "test": None} if config["test"] and not fits else config


def _candidate(config: _Node, choices: Mapping[str, Any]) -> Candidate:
    model = instantiate(config["model"])
    prompts = model_prompts(model, config["evaluator"])
    return Candidate(_model_name(config, choices, model), model, model.locate(), config, prompts)


def _model_name(config: _Node, choices: Mapping[str, Any], model: BaseModel) -> str:
    """The model's name for people; a run's saved model has the name of its run."""
    if isinstance(model, ServedModel):
        return model.short_name
    path = config["model"].get("path") if choices.get("model") == "pretrained" else None
    if path and Path(path).name == "model" and len(Path(path).parts) > 3:
        return "/".join(Path(path).parts[-5:-3])
    return short_names({"dataset": config["dataset"], "model": config["model"]}, choices)["model"]


logger = logging.getLogger(__name__)
MODELS = "models"  # in an evaluation's folder: a folder for each model, by its number
Scored = tuple[AllScores, dict[str, float]]  # of one model: its scores, and its costs by their names
# Scores all models of a plan, below the run of that id: their numbers, from 1, each with what was found, or why not.
Scorer = Callable[[EvaluationPlan, str], Iterator[tuple[int, Scored | EmbexpError]]]


def one_after_the_other(plan: EvaluationPlan, parent: str) -> Iterator[tuple[int, Scored | EmbexpError]]:
    """Score all models in this process."""
    for number, candidate in enumerate(plan.candidates, 1):
        logger.info("%s (%s of %s)", candidate.name, number, len(plan.candidates))
        try:
            yield number, score_model(plan, number, parent)
        except EmbexpError as error:
            yield number, error


def score_candidates(plan: EvaluationPlan, scorer: Scorer = one_after_the_other) -> dict[str, Any]:
    """Score the models, then rank them. Returns the content of result.json.

    One that cannot be scored does not end the others: it is named once these are shown and stored.
    """
    with Journal(plan.folder, plan.tracker).open(f"evaluate {plan.dataset}", None, uuid.uuid4().hex) as journal:
        names = [candidate.name for candidate in plan.candidates]
        journal.log_params({"models": ", ".join(names), "evaluators": ", ".join(each.name for each in plan.evaluators)})
        found: dict[str, Scored] = {}
        for number, scored in scorer(plan, journal.run_id):
            if isinstance(scored, EmbexpError):
                logger.warning("%s could not be scored: %s", names[number - 1], scored)
            else:
                found[names[number - 1]] = scored
        scores = {name: found[name][0] for name in names if name in found}
        costs = {name: found[name][1] for name in scores}
        if scores:
            rows = _rows(plan, scores, costs)
            journal.result |= {"primary": f"{plan.primary_evaluator}/{plan.primary_metric}", "models": rows}
            _write(plan, rows, journal)
            best_first = {row["model"]: scores[row["model"]] for row in rows}
            _write_predictions(plan, best_first, journal)
            _write_spread(plan, best_first, journal)
        if failed := [name for name in names if name not in scores]:
            raise ModelError(
                f"{len(failed)} of {len(names)} models could not be scored (the reasons are above): {listed(failed)}."
            )
    return journal.result


def score_model(plan: EvaluationPlan, number: int, parent: str) -> Scored:
    """One model, by its number from 1: its scores and costs, in a run of its own.

    Raises:
        EmbexpError: it cannot be loaded or computed with, or its scores are not numbers.
    """
    import torch
    from transformers import set_seed

    if plan.threads:  # here, since workers come here, too
        torch.set_num_threads(plan.threads)
    candidate = plan.candidates[number - 1]
    tracker = instantiate(candidate.config["tracking"])
    folder = plan.folder / MODELS / str(number)
    with Journal(folder, tracker).open(candidate.name, parent, uuid.uuid4().hex, may_wait=True) as journal:
        set_seed(plan.seed)
        if isinstance(candidate.model, ServedModel):
            scores, costs, unknown = *score_served(plan.evaluators, candidate.model), {}
        else:
            try:
                scores, costs, unknown = _score_loaded(plan, candidate, folder)
            except RuntimeError as error:  # of torch: a full GPU, weights that do not fit each other
                raise ModelError(f"{type(error).__name__}: {error}") from error
        settings = candidate.config["model"].items()
        given = {f"model.{key}": value for key, value in settings if value is not None and not key.startswith("_")}
        journal.result |= {"choices": {"model": candidate.name, "dataset": plan.dataset}, "place": candidate.place}
        journal.log_params({"model": candidate.name, "dataset": plan.dataset} | given)
        journal.log_tags(environment_tags() | {f"base_model.{key}": value for key, value in candidate.place.items()})
        for split in BOTH:
            journal.log_results(metrics_of(split, scores))
        journal.log_results({f"cost/{key}": value for key, value in costs.items()})
        journal.log_results({f"{UNKNOWN}/{place}": each.share for place, each in unknown.items()})
        costs |= {f"{UNKNOWN}/{place}": each.share for place, each in unknown.items()}
    return scores, costs


def _score_loaded(
    plan: EvaluationPlan, candidate: Candidate, folder: Path
) -> tuple[AllScores, dict[str, float], Mapping[str, UnknownTokens]]:
    evaluators = prompted_evaluators(plan.evaluators, candidate.prompts)
    texts = all_texts(evaluators)
    model = candidate.model.load(lambda: texts, folder)
    if prompts := candidate.prompts:  # for evaluators that encode by themselves
        model.prompts, model.default_prompt_name = with_prompts(model.prompts, prompts.named), prompts.default
    count = unknown_by_model(model)
    unknown = unknown_tokens(count, (), evaluators) if count else {}
    for warning in evaluation_warnings(unknown, candidate.name, texts):
        logger.warning("%s", warning)
    scores = score_all(evaluators, base_encoder(candidate.config, candidate.place, model), BOTH)
    return scores, encoding_costs(model, texts[: plan.speed_texts]), unknown


def _rows(
    plan: EvaluationPlan, scores: Mapping[str, AllScores], costs: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """A row for each model, ordered by the primary metric, with its place in every evaluator's primary metric."""
    placed: dict[str, dict[str, Any]] = {}
    order = []
    for evaluator in plan.evaluators:
        split, metric = verdict_split(evaluator), _metric(plan, evaluator)
        of_models = {model: found[evaluator.name, split] for model, found in scores.items()}
        ranking = rank_models(of_models, metric, evaluator.resamples)
        rows = _rows_judged(evaluator, split)
        placed[f"{split}/{evaluator.name}/{metric}"] = {each.name: asdict(each) | rows for each in ranking}
        if evaluator.name == plan.primary_evaluator:
            order = [each.name for each in ranking]
    return [
        {
            "model": model,
            "scores": {key: models[model] for key, models in placed.items()},
            "metrics": {key: value for key, value in _headlines(plan, scores[model]).items() if key not in placed},
            **costs[model],
        }
        for model in order
    ]


def _headlines(plan: EvaluationPlan, scores: AllScores) -> dict[str, float]:
    """The metrics that matter most, of each evaluator on the split of its verdict."""
    return {
        f"{verdict_split(each)}/{each.name}/{metric}": scores[each.name, verdict_split(each)].metrics[metric]
        for each in plan.evaluators
        for metric in each.headline_metrics
    }


def _rows_judged(evaluator: Evaluator, split: str) -> dict[str, int]:
    """How many rows are evaluated, of how many that were divided; empty where the data came as they are."""
    dataset = getattr(evaluator, "dataset", None)
    divided = [report.rows_out for report in dataset.history if report.step == "split"] if dataset else []
    return {"rows": dataset.splits[split].num_rows, "of_rows": divided[0]} if divided else {}


def _metric(plan: EvaluationPlan, evaluator: Evaluator) -> str:
    return plan.primary_metric if evaluator.name == plan.primary_evaluator else evaluator.primary_metric


def _write(plan: EvaluationPlan, rows: Sequence[Mapping[str, Any]], journal: Journal) -> None:
    """The table on the terminal and as files."""
    console = output_console()
    for variants in model_tables(rows):
        print_table(fitting(variants, console), console)
    console.print(NOTE, highlight=False, soft_wrap=True)
    for name, text in (("models.csv", as_csv(rows)), ("models.md", as_markdown(rows))):
        write_text(plan.folder / name, text)
        journal.log_artifact(plan.folder / name)
    write_json(plan.folder / "models.json", rows)
    say(f"in         {plan.folder}\ntracked    {plan.tracker.where()}")


def _write_predictions(plan: EvaluationPlan, scores: Mapping[str, AllScores], journal: Journal) -> None:
    """What every model predicts for each example, and how its scores lie by label, as files that a run names alike."""
    for evaluator in plan.evaluators:
        for split in evaluator.splits:
            of_models = {model: found[evaluator.name, split] for model, found in scores.items()}
            measures = next(iter(of_models.values())).measures
            for measure in [each for each in measures if each.name == _metric(plan, evaluator)]:
                name, subject = f"{evaluator.name}_{split}", f"{plan.dataset} ({split})"
                for path in evaluation_files(plan.folder, name, subject, measure, of_models, [*of_models]):
                    journal.log_artifact(path, path.parent.name)
    for label, folder in (("examples", "reports"), ("pictures", "plots")):
        if files := sorted((plan.folder / folder).glob("*")):
            say(f"{label:<11}{plan.folder / folder}: {', '.join(file.name for file in files)}")


def _write_spread(plan: EvaluationPlan, scores: Mapping[str, AllScores], journal: Journal) -> None:
    """How each model's similarities lie by gold score or label, for the evaluators of pairs."""
    tables = []
    for evaluator in plan.evaluators:
        of_models = {model: found[evaluator.name, verdict_split(evaluator)] for model, found in scores.items()}
        first = next(iter(of_models.values()))
        measure = next((each for each in first.measures if each.name == _metric(plan, evaluator)), None)
        if measure and KIND_OF.get(measure.statistic) in ("rank", "binary"):
            title = f"{measure.predicted} similarity by gold, {verdict_split(evaluator)}/{evaluator.name}"
            similarities = {model: each.predicted[measure.predicted] for model, each in of_models.items()}
            tables.append(spread_markdown(title, first.examples[measure.gold], similarities))
    if tables:
        write_text(plan.folder / "spread.md", "\n".join(tables))
        journal.log_artifact(plan.folder / "spread.md")
        say(f"spread     {plan.folder / 'spread.md'}: similarities by gold score or label")


def evaluate(
    composed: Sequence[tuple[DictConfig, dict[str, Any]]], folder: Path, scorer: Scorer = one_after_the_other
) -> dict[str, Any]:
    """Score every model, log a run for each below a parent, and write table and results; returns the results.

    Raises:
        EmbexpError: whatever does not fit, of all models together, before any is loaded; or models that could not be
            scored, once all others were.
    """
    plan = plan_evaluation(composed, folder)
    with bounded_cache(plan.candidates[0].config), held(folder):
        return score_candidates(plan, scorer)
