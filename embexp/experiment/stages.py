"""The stages of a run: those before the main one are children of the run, evaluated when they end."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from embexp.core.run_context import TRAINING, timed
from embexp.core.run_folder import RESULT, read_json
from embexp.evaluation.scores import verdict_split
from embexp.experiment.params import data_lines, flattened, log_rows
from embexp.experiment.plan import RunPlan
from embexp.experiment.results import comparisons, verdict_metrics
from embexp.experiment.scoring import AllScores, Scoring, metrics_of
from embexp.models.adapters import merge_adapter
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import is_closed_part, open_part
from embexp.training.checkpoints import load_weights
from embexp.training.stage import OnEvaluate, train_stage
from embexp.training.stages import StagePlan, StageResult, finished_stage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


def adapt(
    plan: RunPlan, stage: StagePlan, model: "SentenceTransformer", journal: Journal, scoring: Scoring, base: AllScores
) -> None:
    """Train a stage before the main one as a child of the run, and compare its model with the untouched one.

    Results go to the run's result under `stages`, in the run's metrics under `stages/<name>/`, and in the
    child. The child of a stage that was finished before is left as it is.
    """
    if is_closed_part(stage.folder):
        train(plan, stage, model, journal, scoring)
        found = read_json(stage.folder / RESULT)["stage"]
    else:
        with open_part(journal, stage.folder, stage.name, "stage") as child:
            _describe_stage(stage, child)
            trained = train(plan, stage, model, child, scoring)
            scores = scoring.of_trained(model, trained.best_step)
            found = _record_stage(plan, stage, trained, base, scores, child)
    journal.result.setdefault("stages", []).append(found)
    journal.log_metrics({f"stages/{stage.name}/{key}": value for key, value in found["metrics"].items()})


@timed(TRAINING)
def train(
    plan: RunPlan,
    stage: StagePlan,
    model: "SentenceTransformer",
    journal: Journal,
    scoring: Scoring,
    on_evaluate: OnEvaluate | None = None,
) -> StageResult:
    """One stage, evaluated on dev as often as its trainer says; of a finished one the saved model."""
    merges_adapter = plan.model.merges_adapter and stage is plan.stages[-1]
    if finished := finished_stage(stage.folder):
        logger.info("%s was finished before: %s steps.", stage.name, finished.num_steps)
        if merges_adapter:
            merge_adapter(model)
        load_weights(model, finished.model_path)
        return finished
    dev = [evaluator for evaluator in plan.evaluators if "dev" in evaluator.splits]
    can_choose = any(evaluator.name == plan.primary_evaluator for evaluator in dev)
    if not can_choose:
        logger.warning("%s has no dev split: the last state is kept, not the best one.", plan.primary_evaluator)
    logger.info("Training %s on %s rows.", stage.name, f"{stage.dataset.splits['train'].num_rows:,}")
    return train_stage(
        stage,
        model,
        scoring.in_step if can_choose else None,
        f"dev/{plan.primary_evaluator}/{plan.primary_metric}",
        journal,
        plan.seed,
        merges_adapter,
        on_evaluate,
    )


def _describe_stage(stage: StagePlan, child: Journal) -> None:
    """What the stage trains: parameters, and the rows that it reads."""
    modifier = stage.loss.modifier
    calls = {"loss": stage.loss.call, "modifier": modifier.public_call() if modifier else {}, "trainer": stage.trainer}
    child.log_params(
        dict(flattened(calls, ""))
        | {
            "stage": stage.name,
            "loss": stage.loss.name,
            "dataset": stage.dataset.name,
            "dataset.shape": stage.dataset.shape.name,
            "dataset.train_rows": stage.dataset.splits["train"].num_rows,
        }
    )
    log_rows(stage.dataset, child)


def _record_stage(
    plan: RunPlan, stage: StagePlan, trained: StageResult, base: AllScores, scores: AllScores, child: Journal
) -> Mapping[str, Any]:
    """Log how the stage's model compares with the untouched one. Returns the stage's part of the run's result."""
    rows = [row for evaluator in plan.evaluators for row in comparisons(plan, evaluator, base, scores)]
    splits = {evaluator.name: verdict_split(evaluator) for evaluator in plan.evaluators}
    metrics = metrics_of("dev", scores) | metrics_of("test", scores)
    metrics |= {key: value for row in rows for key, value in verdict_metrics(splits, row).items()}
    child.log_results(metrics)
    child.log_results({"cost/train_seconds": trained.seconds, "cost/rows_per_second": trained.rows_per_second})
    child.result["stage"] = {
        "name": stage.name,
        "loss": stage.loss.name,
        "data": data_lines(stage.dataset),
        "training": trained.summary,
        "seconds": trained.seconds,
        "model_path": str(trained.model_path),
        "run": child.run_id,
        "comparisons": rows,
        "metrics": {key: value for key, value in metrics.items() if not key.startswith("base/")},
    }
    return child.result["stage"]
