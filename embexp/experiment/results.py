"""What a run found: the scores of both models, their differences with verdicts, and the files that show them."""

from collections.abc import Mapping
from typing import Any

from embexp.core.run_context import Costs, timed
from embexp.evaluation.binary import thresholds_of
from embexp.evaluation.scores import Evaluator, compare, verdict_split
from embexp.evaluation.stats.multiple_comparisons import rank_models
from embexp.experiment.artifacts import write_artifacts
from embexp.experiment.plan import RunPlan
from embexp.experiment.scoring import GEOMETRY, AllScores, collapse_line, metrics_of
from embexp.exports.delivery import adapter_base
from embexp.exports.model_card import write_card
from embexp.reports.tables import closing_markdown
from embexp.tracking.journal import Journal
from embexp.training.stages import StageResult


@timed("judging")
def record_results(
    plan: RunPlan, journal: Journal, base: AllScores, trained: AllScores, stage: StageResult, spent: Costs
) -> None:
    """Log base, dev, test and delta metrics, and the verdict."""
    rows = [row for evaluator in plan.evaluators for row in comparisons(plan, evaluator, base, trained)]
    splits = {evaluator.name: verdict_split(evaluator) for evaluator in plan.evaluators}
    journal.result["forms"] = _forms_of(plan, rows, splits)
    journal.log_results(metrics_of("dev", trained))
    journal.log_results(metrics_of("test", trained))
    journal.log_results({key: value for row in rows for key, value in verdict_metrics(splits, row).items()})
    journal.log_results(_base_geometry(base))
    primary = next(row for row in rows if row["primary"] and row["split"] == splits[row["evaluator"]])
    key = f"{primary['split']}/{primary['evaluator']}/{primary['metric']}"
    journal.log_results(_intervals_of(plan, primary, base, trained))
    dev = trained.get((plan.primary_evaluator, "dev"))
    journal.result |= {
        "comparisons": rows,
        "primary": primary | {"key": key},
        "primary_value": dev.metrics[plan.primary_metric] if dev else primary["trained"],
        "verdict": primary["verdict"],
        "training": stage.summary,
        "model_path": str(stage.model_path),
        "adapter_base": adapter_base(stage.model_path),
        "tracked": plan.tracker.where(),
    }
    if thresholds := _thresholds_on(plan, trained):
        journal.result["thresholds"] = thresholds
    costs = {"cost/train_seconds": stage.seconds, "cost/rows_per_second": stage.rows_per_second}
    if before := journal.result.get("stages"):
        costs["cost/stages_seconds"] = sum(each["seconds"] for each in before)
    journal.log_results(costs | spent.metrics())
    journal.log_tags({"verdict": primary["verdict"], "primary": key})
    if line := collapse_line(primary["split"], base, trained):
        journal.result["warnings"] = [*journal.result["warnings"], line]
        journal.log_tags({"collapse": "suspected"})
    journal.describe(closing_markdown(journal.result))


def comparisons(plan: RunPlan, evaluator: Evaluator, base: AllScores, trained: AllScores) -> list[dict[str, Any]]:
    """A row for every split and metric: base, trained, difference with interval, verdict."""
    return [
        {
            "evaluator": evaluator.name,
            "split": split,
            "metric": difference.metric,
            "primary": (evaluator.name, difference.metric) == (plan.primary_evaluator, plan.primary_metric),
            "headline": difference.metric in evaluator.headline_metrics,
            "base": difference.base,
            "trained": difference.trained,
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "p": difference.p,
            "verdict": difference.verdict,
        }
        for split in evaluator.splits
        for difference in compare(base[evaluator.name, split], trained[evaluator.name, split], evaluator.resamples)
    ]


def verdict_metrics(splits: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, float]:
    """base/ and delta/ metrics of a row; if the verdict is on test, the names of those on dev contain `dev`.

    Args:
        splits: the split of the verdict, by evaluator.
    """
    name = row["evaluator"]
    if row["split"] != splits[name]:
        name = f"{name}/{row['split']}"
    return {
        f"base/{name}/{row['metric']}": row["base"],
        f"delta/{name}/{row['metric']}": row["difference"],
        f"delta/{name}/{row['metric']}_low": row["low"],
        f"delta/{name}/{row['metric']}_high": row["high"],
    }


def _intervals_of(plan: RunPlan, primary: Mapping[str, Any], base: AllScores, trained: AllScores) -> dict[str, float]:
    """Ends of the 95 % intervals of both models' primary metric, to compare with runs on other examples."""
    name, split, metric = (primary[key] for key in ("evaluator", "split", "metric"))
    resamples = next(each.resamples for each in plan.evaluators if each.name == name)
    placed = rank_models({"base": base[name, split], split: trained[name, split]}, metric, resamples)
    return {
        f"{each.name}/{name}/{metric}_{end}": value
        for each in placed
        for end, value in (("low", each.low), ("high", each.high))
    }


def _thresholds_on(plan: RunPlan, trained: AllScores) -> dict[str, float]:
    """The similarity from which a pair counts as positive for the trained model, chosen on dev, else on test."""
    first = {each.name: "dev" if "dev" in each.splits else "test" for each in plan.evaluators}
    return {
        f"{split}/{name}/{key}": value
        for name, split in first.items()
        for key, value in thresholds_of(trained[name, split]).items()
    }


def _forms_of(plan: RunPlan, rows: list[dict[str, Any]], splits: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each evaluated form of the embeddings: evaluators' primary metrics on the split of the verdict."""
    known = {(row["evaluator"], row["split"], row["metric"]): row for row in rows}
    return [
        known[evaluator.name, splits[evaluator.name], f"{evaluator.primary_metric}{form.suffix}"]
        | {"metric": evaluator.primary_metric, "dimensions": form.dimensions, "precision": form.precision}
        for evaluator in plan.evaluators
        if len(forms := getattr(evaluator, "forms", ())) > 1
        for form in forms
    ]


def _base_geometry(base: AllScores) -> dict[str, float]:
    """`base/geometry/<metric>` of the untouched model on the split of the verdict, and on dev if that is test."""
    splits = [split for name, split in base if name == GEOMETRY]
    return {
        f"base/{GEOMETRY}{'/dev' if split == 'dev' and len(splits) > 1 else ''}/{metric}": value
        for split in splits
        for metric, value in base[GEOMETRY, split].metrics.items()
    }


@timed("examples and pictures")
def store(plan: RunPlan, journal: Journal, base: AllScores, trained: AllScores, stage: StageResult) -> None:
    """Files of the run: per-example scores, pictures, the best checkpoint, the model."""
    write_artifacts(plan, journal, base, trained, stage.best_step)
    if stage.checkpoint:
        journal.log_checkpoint(stage.checkpoint)
    write_card(stage.model_path, journal.result, plan.config, plan.folder)
    reached = {key: value for key, value in journal.result["metrics"].items() if key.startswith(("dev/", "test/"))}
    journal.log_model(stage.model_path, stage.best_step, reached)
