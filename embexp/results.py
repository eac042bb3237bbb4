"""What a run found: the scores of both models, their differences with verdicts, and the files that show them."""

from collections.abc import Mapping
from typing import Any

from embexp.evaluation.scores import Difference, Evaluator, judged_split, write_examples
from embexp.exports.adapter_base import adapter_base
from embexp.exports.model_card import write_card
from embexp.plan import RunPlan
from embexp.scoring import AllScores, metrics_of
from embexp.stopwatch import WATCH
from embexp.tracking.journal import Journal
from embexp.training.stages import StageResult


@WATCH.part("judging")
def record_results(plan: RunPlan, journal: Journal, base: AllScores, trained: AllScores, stage: StageResult) -> None:
    """Log base, dev, test and delta metrics, and the verdict."""
    rows = [row for evaluator in plan.evaluators for row in comparisons(plan, evaluator, base, trained)]
    judged = {evaluator.name: judged_split(evaluator) for evaluator in plan.evaluators}
    journal.log_results(metrics_of("dev", trained))
    journal.log_results(metrics_of("test", trained))
    journal.log_results({key: value for row in rows for key, value in judged_metrics(judged, row).items()})
    primary = next(row for row in rows if row["primary"] and row["split"] == judged[row["evaluator"]])
    dev = trained.get((plan.primary_evaluator, "dev"))
    journal.result |= {
        "comparisons": rows,
        "primary": primary | {"key": f"{primary['split']}/{primary['evaluator']}/{primary['metric']}"},
        "primary_value": dev.metrics[plan.primary_metric] if dev else primary["trained"],
        "verdict": primary["verdict"],
        "training": f"{stage.num_steps} steps in {stage.seconds:.1f} s ({stage.rows_per_second:.1f} rows/s), "
        f"best at step {stage.best_step}",
        "model_path": str(stage.model_path),
        "adapter_base": adapter_base(stage.model_path),
        "tracked": plan.tracker.where(),
    }
    journal.log_results({"cost/train_seconds": stage.seconds, "cost/rows_per_second": stage.rows_per_second})
    journal.log_tags({"verdict": primary["verdict"]})


def comparisons(plan: RunPlan, evaluator: Evaluator, base: AllScores, trained: AllScores) -> list[dict[str, Any]]:
    """A row for every split and metric: base, trained, difference with interval, verdict."""
    return [
        {
            "evaluator": evaluator.name,
            "split": split,
            "metric": difference.metric,
            "primary": (evaluator.name, difference.metric) == (plan.primary_evaluator, plan.primary_metric),
            "headline": difference.metric in evaluator.headline_metrics,
            **_difference_columns(difference),
        }
        for split in evaluator.splits
        for difference in evaluator.compare(base[evaluator.name, split], trained[evaluator.name, split])
    ]


def _difference_columns(difference: Difference) -> dict[str, Any]:
    return {
        "base": difference.base,
        "trained": difference.trained,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "verdict": difference.verdict,
    }


def judged_metrics(judged: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, float]:
    """base/ and delta/ metrics of a row; where the verdict falls on test, those of dev carry `dev` in their name.

    Args:
        judged: by evaluator the split on which the verdict falls.
    """
    name = row["evaluator"]
    if row["split"] != judged[name]:
        name = f"{name}/{row['split']}"
    return {
        f"base/{name}/{row['metric']}": row["base"],
        f"delta/{name}/{row['metric']}": row["difference"],
        f"delta/{name}/{row['metric']}_low": row["low"],
        f"delta/{name}/{row['metric']}_high": row["high"],
    }


@WATCH.part("examples and pictures")
def store(plan: RunPlan, journal: Journal, base: AllScores, trained: AllScores, stage: StageResult) -> None:
    """Files of the run: per-example scores, pictures, the best checkpoint, the model."""
    from embexp.reports.plots import plot_score_distribution

    for evaluator in plan.evaluators:
        for split in evaluator.splits:
            before, after = base[evaluator.name, split], trained[evaluator.name, split]
            examples = plan.folder / "examples" / f"{evaluator.name}_{split}.parquet"
            write_examples(examples, before, after)
            journal.log_artifact(examples, "examples")
            function = next(iter(before.predicted))
            picture = plan.folder / "plots" / f"{evaluator.name}_{split}_scores.png"
            metric = evaluator.primary_metric
            plot_score_distribution(
                picture,
                f"{plan.name} on {evaluator.name} ({split})",
                before.gold,
                before.predicted[function],
                after.predicted[function],
                (f"untouched: {metric} {before.metrics[metric]:.4f}", f"trained: {metric} {after.metrics[metric]:.4f}"),
                function,
            )
            journal.log_artifact(picture, "plots")
    if stage.checkpoint:
        journal.log_checkpoint(stage.checkpoint)
    write_card(stage.model_path, journal.result, plan.config, plan.folder)
    journal.log_model(stage.model_path)
