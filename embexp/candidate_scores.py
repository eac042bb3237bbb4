"""The story of an evaluation without training: every model scored, placed, and shown."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from embexp.candidates import Candidate, EvaluationPlan
from embexp.config import instantiate
from embexp.environment import environment_tags
from embexp.errors import EmbexpError, ModelError, listed
from embexp.evaluation.ranking import Placed, place_models
from embexp.evaluation.scores import Evaluator, judged_split
from embexp.models.encoding import ModelEncoder
from embexp.reports.changed_examples import KIND_OF
from embexp.reports.model_table import NOTE, as_csv, as_markdown, model_tables
from embexp.reports.spread_table import spread_markdown
from embexp.reports.tables import wide_console
from embexp.run_record import write_json, write_text
from embexp.scoring import BOTH, AllScores, base_encoder, metrics_of, score_all, texts_of
from embexp.tracking.journal import Journal

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
WARM_UP_TEXTS = 16


def score_candidates(plan: EvaluationPlan) -> dict[str, Any]:
    """Score the models one after the other, then place them; returns what stands in result.json.

    One that cannot be scored does not end the others.

    Raises:
        ModelError: names those that could not be scored, once the others are told and stored.
    """
    _prepare_torch(plan.threads)
    with Journal(plan.folder, plan.tracker).open(f"evaluate {plan.dataset}", None) as journal:
        names = [candidate.name for candidate in plan.candidates]
        journal.log_params({"models": ", ".join(names), "evaluators": ", ".join(each.name for each in plan.evaluators)})
        scores: dict[str, AllScores] = {}
        costs: dict[str, dict[str, float]] = {}
        for number, candidate in enumerate(plan.candidates, 1):
            logger.info("%s (%s of %s)", candidate.name, number, len(names))
            try:
                scores[candidate.name], costs[candidate.name] = _score(plan, candidate, number, journal.run_id)
            except EmbexpError as error:
                logger.warning("%s could not be scored: %s", candidate.name, error)
        if scores:
            rows = _rows(plan, scores, costs)
            journal.result |= {"primary": f"{plan.primary_evaluator}/{plan.primary_metric}", "models": rows}
            _write(plan, rows, journal)
            _write_spread(plan, scores, journal)
        if failed := [name for name in names if name not in scores]:
            raise ModelError(
                f"{len(failed)} of {len(names)} models could not be scored, as was told above: {listed(failed)}."
            )
    return journal.result


def _prepare_torch(threads: int | None) -> None:
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if threads:
        torch.set_num_threads(threads)


def _score(plan: EvaluationPlan, candidate: Candidate, number: int, parent: str) -> tuple[AllScores, dict[str, float]]:
    """One model: its scores and costs, in a run of its own."""
    from transformers import set_seed

    tracker = instantiate(candidate.config["tracking"])
    folder = plan.folder / "models" / str(number)
    with Journal(folder, tracker).open(candidate.name, parent) as journal:
        set_seed(plan.seed)
        model = candidate.model.load(lambda: _all_texts(plan.evaluators), folder)
        scores = score_all(plan.evaluators, base_encoder(candidate.config, candidate.place, model), BOTH)
        costs = _costs(model, _all_texts(plan.evaluators)[: plan.speed_texts])
        journal.result |= {"choices": {"model": candidate.name, "dataset": plan.dataset}, "place": candidate.place}
        journal.log_params({"model": candidate.name, "dataset": plan.dataset, **_settings(candidate)})
        journal.log_tags(environment_tags() | {f"base_model.{key}": value for key, value in candidate.place.items()})
        for split in BOTH:
            journal.log_results(metrics_of(split, scores))
        journal.log_results({f"cost/{key}": value for key, value in costs.items()})
    return scores, costs


def _settings(candidate: Candidate) -> dict[str, Any]:
    settings = candidate.config["model"].items()
    return {f"model.{key}": value for key, value in settings if value is not None and not key.startswith("_")}


def _all_texts(evaluators: Sequence[Evaluator]) -> list[str]:
    """The distinct texts of all evaluators, in their order."""
    found: dict[str, None] = {}
    for split in BOTH:
        judging = [evaluator for evaluator in evaluators if split in evaluator.splits]
        for texts in texts_of(judging, split).values():
            found |= dict.fromkeys(texts)
    return [*found]


def _costs(model: "SentenceTransformer", texts: Sequence[str]) -> dict[str, float]:
    """Parameters, dimensions, and how many of these texts are encoded in a second."""
    found = {
        "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
        "dimensions": float(model.get_embedding_dimension() or 0),
    }
    if texts:
        encoder = ModelEncoder(model)
        encoder.encode(texts[:WARM_UP_TEXTS])
        start = time.perf_counter()
        encoder.encode(texts)
        found["encode_texts_per_second"] = len(texts) / (time.perf_counter() - start)
    return found


def _rows(
    plan: EvaluationPlan, scores: Mapping[str, AllScores], costs: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """A row for each model, ordered by the primary metric, with its place in every evaluator's primary metric."""
    placed = {evaluator.name: _placed(plan, evaluator, scores) for evaluator in plan.evaluators}
    order = [each.name for each in placed[plan.primary_evaluator]]
    by_name = {name: {each.name: each for each in ranking} for name, ranking in placed.items()}
    return [
        {
            "model": model,
            "scores": {
                f"{judged_split(evaluator)}/{evaluator.name}/{_metric(plan, evaluator)}": asdict(
                    by_name[evaluator.name][model]
                )
                for evaluator in plan.evaluators
            },
            **costs[model],
        }
        for model in order
    ]


def _metric(plan: EvaluationPlan, evaluator: Evaluator) -> str:
    return plan.primary_metric if evaluator.name == plan.primary_evaluator else evaluator.primary_metric


def _placed(plan: EvaluationPlan, evaluator: Evaluator, scores: Mapping[str, AllScores]) -> list[Placed]:
    split = judged_split(evaluator)
    of_models = {model: found[evaluator.name, split] for model, found in scores.items()}
    return place_models(of_models, _metric(plan, evaluator), evaluator.resamples)


def _write(plan: EvaluationPlan, rows: Sequence[Mapping[str, Any]], journal: Journal) -> None:
    """The table on the terminal and as files."""
    console = wide_console()
    for table in model_tables(rows):
        console.print(table)
    console.print(NOTE, highlight=False)
    for name, text in (("models.csv", as_csv(rows)), ("models.md", as_markdown(rows))):
        write_text(plan.folder / name, text)
        journal.log_artifact(plan.folder / name)
    write_json(plan.folder / "models.json", rows)
    print(f"in         {plan.folder}\ntracked    {plan.tracker.where()}")


def _write_spread(plan: EvaluationPlan, scores: Mapping[str, AllScores], journal: Journal) -> None:
    """How each model's similarities lie by gold score or label, of the evaluators that judge pairs."""
    tables = []
    for evaluator in plan.evaluators:
        of_models = {model: found[evaluator.name, judged_split(evaluator)] for model, found in scores.items()}
        first = next(iter(of_models.values()))
        measure = next((each for each in first.measures if each.name == _metric(plan, evaluator)), None)
        if measure and KIND_OF.get(measure.statistic) in ("rank", "binary"):
            title = f"{measure.predicted} similarity by gold, {judged_split(evaluator)}/{evaluator.name}"
            similarities = {model: each.predicted[measure.predicted] for model, each in of_models.items()}
            tables.append(spread_markdown(title, first.examples[measure.gold], similarities))
    if tables:
        write_text(plan.folder / "spread.md", "\n".join(tables))
        journal.log_artifact(plan.folder / "spread.md")
        print(f"spread     {plan.folder / 'spread.md'}: similarities by gold score or label")
