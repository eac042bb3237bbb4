"""What a run found: the scores of both models, their differences with verdicts, and the files that show them."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy

from embexp.config.compose import option_of
from embexp.core.file_contents import json_in, link_copies
from embexp.core.run_context import Costs, timed
from embexp.evaluation.geometry import is_one_point, relative_change
from embexp.evaluation.scores import ID, Difference, Evaluator, compare, undefined_metrics, verdict_split
from embexp.evaluation.similarity import thresholds_of
from embexp.evaluation.stats.multiple_comparisons import correct_secondary, rank_models
from embexp.evaluation.stats.verdicts import examples_needed, margins_in
from embexp.experiment.artifacts import write_artifacts
from embexp.experiment.guard import guard_summary, guard_tasks, shown_metrics, summary_metrics
from embexp.experiment.plan import RunPlan
from embexp.experiment.scoring import GEOMETRY, AllScores, collapse_line, metrics_of
from embexp.experiment.settings_checks import usual_learning_rate
from embexp.exports.delivery import adapter_base
from embexp.exports.model_card import write_card
from embexp.models.adapters import idle_part
from embexp.reports.closing import closing_markdown
from embexp.reports.verdict_words import COLLAPSED, IDENTICAL
from embexp.tracking.journal import Journal
from embexp.training.stages import StageResult

logger = logging.getLogger(__name__)
EVALUATED_ON = "evaluated_on."  # tags by evaluator and split: the name of their data
PREDICTIONS = "predictions"  # a tag


@timed("comparing")
def record_results(
    plan: RunPlan, journal: Journal, base: AllScores, trained: AllScores, stage: StageResult, spent: Costs
) -> None:
    """Log base, dev, test and delta metrics, and the verdict."""
    rows = comparisons(plan, base, trained)
    splits = {evaluator.name: verdict_split(evaluator) for evaluator in plan.evaluators}
    journal.result["forms"] = _forms_of(plan, rows, splits)
    primary = next(row for row in rows if row["primary"] and row["split"] == splits[row["evaluator"]])
    journal.log_results(_score(primary))
    journal.log_results(metrics_of("dev", trained))
    journal.log_results(metrics_of("test", trained))
    journal.log_results({key: value for row in rows for key, value in verdict_metrics(splits, row).items()})
    journal.log_results(_base_geometry(base))
    if summary := guard_summary(plan, rows):
        journal.result["guard"] = summary
        journal.log_results(summary_metrics(summary))
    key = f"{primary['split']}/{primary['evaluator']}/{primary['metric']}"
    journal.log_results(_intervals_of(plan, primary, base, trained))
    dev = trained.get((plan.primary_evaluator, "dev"))
    journal.result |= {
        "comparisons": rows,
        "primary": primary | {"key": key},
        "primary_value": dev.metrics[plan.primary_metric] if dev else primary["trained"],
        "verdict": primary["verdict"],
        "training": stage.summary,
        "picked_on_dev": stage.was_chosen,
        "model_path": str(stage.model_path),
        "adapter_base": adapter_base(stage.model_path),
        "tracked": plan.tracker.where(),
        "page": plan.tracker.page(),
    }
    if thresholds := _thresholds_on(plan, trained):
        journal.result["thresholds"] = thresholds
    costs = {"cost/train_seconds": stage.seconds, "cost/rows_per_second": stage.rows_per_second}
    if before := journal.result.get("stages"):
        costs["cost/stages_seconds"] = sum(each["seconds"] for each in before)
    journal.log_results(costs | spent.metrics())
    journal.log_tags({"verdict": primary["verdict"], "primary": key} | _predictions_tag(primary, trained))
    journal.log_tags({f"{EVALUATED_ON}{row['evaluator']}/{row['split']}": row["data"] for row in rows})
    if line := collapse_line(primary["split"], base, trained):
        journal.result["warnings"] = [*journal.result["warnings"], line]
        journal.log_tags({"collapse": "suspected"})
    if line := _movement_line(plan, primary, base, trained, stage):
        logger.warning("%s", line)
        journal.result["warnings"] = [*journal.result["warnings"], line]
        journal.log_tags({"movement": IDENTICAL if primary["verdict"] == IDENTICAL else "hardly moved"})
    undefined = [*_undefined_lines({"untouched": base, "trained": trained})]
    journal.result["warnings"] = [*journal.result["warnings"], *undefined]
    journal.describe(closing_markdown(journal.result))


def _score(primary: Mapping[str, Any]) -> dict[str, float]:
    """The primary metric under the names that it has in every run, so that runs stand in one column of MLflow's table.

    `score_low` and `score_high` are the ends of the difference's interval.
    """
    names = {"": "trained", "_base": "base", "_delta": "difference", "_low": "low", "_high": "high"}
    return {f"score{name}": primary[key] for name, key in names.items()}


def comparisons(plan: RunPlan, base: AllScores, trained: AllScores) -> list[dict[str, Any]]:
    """A row for every evaluator, split and metric: base, trained, difference with interval, verdict.

    Dev beside test has no verdict: it picked the checkpoint, which flatters the trained model.
    The verdict is IDENTICAL where no embedding changed, and COLLAPSED where training put all texts on one point.
    The other verdicts but the primary one are corrected for their number, and so are their intervals; those of the
    guard for theirs.
    """
    found = [each for evaluator in plan.evaluators for each in _compared(plan, evaluator, base, trained)]
    guards = {each.name for each in guard_tasks(plan)}
    for of_guard in (False, True):  # each a table of its own, so that a guard changes no verdict on the own task
        family = [each for each in found if each[0]["p_holm"] is None and (each[0]["evaluator"] in guards) == of_guard]
        correct_secondary([row for row, _ in family], [difference.interval for _, difference in family])
    for row, _ in found:
        row["examples_needed"] = examples_needed(row["low"], row["high"], row["margin"], row["examples"])
    return [row for row, _ in found]


def _compared(
    plan: RunPlan, evaluator: Evaluator, base: AllScores, trained: AllScores
) -> Iterator[tuple[dict[str, Any], Difference]]:
    """The rows of an evaluator; `p_holm` is None in those that are to be corrected."""
    margins = margins_in(plan.config)
    for split in evaluator.splits:
        pair = base[evaluator.name, split], trained[evaluator.name, split]
        of_split = _finding(split, base, trained)
        for each in compare(*pair, evaluator.resamples, margins):
            is_primary = (evaluator.name, each.metric) == (plan.primary_evaluator, plan.primary_metric)
            is_guard = evaluator in guard_tasks(plan)
            counts = not is_guard or each.metric in shown_metrics(plan, evaluator)
            finding, has_verdict = of_split or each.finding, counts and split == verdict_split(evaluator)
            yield (
                {
                    "evaluator": evaluator.name,
                    "split": split,
                    "data": _data_of(evaluator, split),
                    "metric": each.metric,
                    "primary": is_primary,
                    "headline": each.metric in shown_metrics(plan, evaluator),
                    **({"guard": True} if is_guard else {}),
                    "base": each.base,
                    "trained": each.trained,
                    "difference": each.value,
                    "low": each.low,
                    "high": each.high,
                    "alone_low": each.low,
                    "alone_high": each.high,
                    "p": each.p,
                    "p_holm": each.p if finding or is_primary or not has_verdict else None,
                    "margin": each.margin,
                    "examples": len(pair[0].examples.get(ID, ())),
                    **(each.drawn.described() if each.drawn else {}),
                    "verdict": (counts and of_split) or (each.verdict if has_verdict else ""),
                },
                each,
            )


def _data_of(evaluator: Evaluator, split: str) -> str:
    """The name of the data that an evaluator's split is of; its own where it brings them."""
    dataset = getattr(evaluator, "dataset", None)
    return dataset.provenance.get(f"{split}.name", dataset.name) if dataset else evaluator.name


_SAME = 1e-5  # relative change of embeddings that rounding explains, as in batches of other sizes
_HARDLY = 1e-3  # a relative change that moves no ranking: cosines by less than about a ten-thousandth
_SHOWN = 5e-5  # a difference below it is shown as 0.0000


def _finding(split: str, base: AllScores, trained: AllScores) -> str:
    before, after = base.get((GEOMETRY, split)), trained.get((GEOMETRY, split))
    if before is None or after is None:
        return ""
    if relative_change(before.predicted["vectors"], after.predicted["vectors"]) <= _SAME:
        return IDENTICAL
    return COLLAPSED if is_one_point(after.metrics) and not is_one_point(before.metrics) else ""


def _movement_line(
    plan: RunPlan, primary: Mapping[str, Any], base: AllScores, trained: AllScores, stage: StageResult
) -> str:
    """That training changed nothing, or hardly anything, and why that may be; empty where it did."""
    before, after = (scores.get((GEOMETRY, primary["split"])) for scores in (base, trained))
    if before is None or after is None:
        return ""
    change = relative_change(before.predicted["vectors"], after.predicted["vectors"])
    shows_nothing = max(abs(primary["low"]), abs(primary["high"])) < _SHOWN  # False for nan
    if change > _HARDLY and not shows_nothing:
        return ""
    found = "hardly moved: training changed the embeddings by a share of"
    found = f"{found} {change:.0e}" if change > _SAME else "identical: training changed no embedding"
    cause, fix = _likely_cause(plan, stage)
    return f"{found} (likely cause: {cause})." + (f" Type {fix}." if fix else "")


def _likely_cause(plan: RunPlan, stage: StageResult) -> tuple[str, str]:
    """Why training may have changed nothing, and what to type."""
    trainer, usual = plan.config["trainer"], _usual_learning_rate(plan)
    rate = trainer.get("learning_rate", usual)
    if stage.num_steps == 0 or stage.rows_per_second == 0:
        return f"{stage.num_steps} steps on {stage.rows_per_second:.0f} rows a second", "trainer.num_train_epochs=1"
    if usual and rate <= usual / 5:
        return f"trainer.learning_rate={rate:g}, where {usual:g} suits such a model", f"trainer.learning_rate={usual:g}"
    if frozen := [key for key in ("update_embeddings",) if _is_off(plan.config["model"], key)]:
        return f"{frozen[0]}=false freezes the model's vectors", f"model.modules.words.{frozen[0]}=true"
    if plan.model.trains_adapter:
        if idle := idle_part(stage.model_path):
            every = "model.adapter.target_modules=all-linear"
            given = (plan.config["model"].get("adapter") or {}).get("target_modules")
            return f"{idle}. No gradient reaches them, or they are frozen", every if given != "all-linear" else ""
        fix = f"trainer.learning_rate={rate * 10:g}"
        return f"the adapter is trained alone, at trainer.learning_rate={rate:g}, or it is not applied", fix
    if stage.best_step < stage.num_steps:
        text = f"the best checkpoint on dev is that of step {stage.best_step} of {stage.num_steps}"
        return text, f"trainer.learning_rate={rate / 10:g}"
    return f"{stage.num_steps} steps at trainer.learning_rate={rate:g}", f"trainer.learning_rate={rate * 10:g}"


def _is_off(node: Any, key: str) -> bool:
    """Whether the key is false anywhere in a configuration."""
    return isinstance(node, Mapping) and (node.get(key) is False or any(_is_off(each, key) for each in node.values()))


def _usual_learning_rate(plan: RunPlan) -> float | None:
    """The learning rate that suits the model; that of static vectors where a folder holds such."""
    model, place = plan.config["model"], plan.model_place
    modules = json_in(Path(place["location"]) / "modules.json") or [{"type": ""}]
    if modules[0]["type"].endswith("StaticEmbedding"):
        return option_of("model", "static")["_learning_rate_"]
    return usual_learning_rate(model)


def _predictions_tag(primary: Mapping[str, Any], trained: AllScores) -> dict[str, str]:
    """A hash of the model's values for the examples of the verdict: runs that have it in common are one result."""
    predicted, digest = trained[primary["evaluator"], primary["split"]].predicted, hashlib.sha256()
    for name, values in sorted(predicted.items()):
        content = json.dumps([*values]).encode() if values.dtype == object else numpy.ascontiguousarray(values).data
        digest.update(name.encode())
        digest.update(content)
    return {PREDICTIONS: digest.hexdigest()[:16]} if predicted else {}


def _undefined_lines(models: Mapping[str, AllScores]) -> Iterator[str]:
    """The metrics that are no number, with the reason, a line for each evaluator and split."""
    for model, scores in models.items():
        for (name, split), found in scores.items():
            names, why = undefined_metrics(found)
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                yield f"{split}/{name}/{names[0]}{more} of the {model} model is undefined: {why}."


def verdict_metrics(splits: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, float]:
    """base/ and delta/ metrics of a row, with its interval alone.

    If the verdict is on test, the names of those on dev contain `dev`.

    Args:
        splits: the split of the verdict, by evaluator.
    """
    name = row["evaluator"]
    if row["split"] != splits[name]:
        name = f"{name}/{row['split']}"
    return {
        f"base/{name}/{row['metric']}": row["base"],
        f"delta/{name}/{row['metric']}": row["difference"],
        f"delta/{name}/{row['metric']}_low": row["alone_low"],
        f"delta/{name}/{row['metric']}_high": row["alone_high"],
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
        if plan.config["tracking"].get("checkpoint", "none") != "none":  # the tracker's copy is linked with this one
            link_copies(stage.checkpoint, stage.model_path)
        journal.log_checkpoint(stage.checkpoint)
    write_card(stage.model_path, journal.result, plan.config, plan.folder)
    reached = {key: value for key, value in journal.result["metrics"].items() if key.startswith(("dev/", "test/"))}
    journal.log_model(stage.model_path, stage.best_step, reached)
