"""Execute a plan: the story of one run, from the untouched model to the verdict."""

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embexp.environment import PARENT_RUN, environment_tags
from embexp.evaluation.scores import Difference, Evaluator, Scores, write_examples
from embexp.models.encoding import ModelEncoder
from embexp.plan import RunPlan
from embexp.tracking.journal import Journal
from embexp.training.stage import StageResult, train_stage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
AllScores = dict[tuple[str, str], Scores]  # by evaluator and split


@dataclass(frozen=True)
class RunResult:
    """What a run found: the content of its result.json."""

    content: Mapping[str, Any]

    @property
    def primary_value(self) -> float:
        """The trained model's primary metric, on dev where there is one: what sweepers and tuners optimise."""
        return self.content["primary_value"]


def execute(plan: RunPlan) -> RunResult:
    """Run the plan: score the untouched model, train, score again, judge, and record all of it."""
    start = time.perf_counter()
    set_seed_and_threads(plan)
    with Journal(plan.folder, plan.tracker).open(plan.name, os.environ.get(PARENT_RUN)) as journal:
        describe(plan, journal)
        model = load_base_model(plan)
        base = score_all(plan, model, "scoring the untouched model")
        journal.log_metrics({f"train/{key}": value for key, value in metrics_of("dev", base).items()}, step=0)
        stage_results = [train(plan, number, model, journal) for number in range(len(plan.stages))]
        trained = score_all(plan, model, "scoring the trained model")
        record(plan, journal, base, trained, stage_results[-1])
        store(plan, journal, base, trained, stage_results[-1])
        journal.log_results({"cost/seconds": time.perf_counter() - start})
    show(journal.result)
    return RunResult(journal.result)


def set_seed_and_threads(plan: RunPlan) -> None:
    """Seed Python, NumPy and torch before anything is drawn, so that a job's place in a sweep changes nothing."""
    import datasets
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    transformers.set_seed(plan.seed)
    if plan.threads:
        torch.set_num_threads(plan.threads)


def describe(plan: RunPlan, journal: Journal) -> None:
    """Record what runs: parameters, tags, and the configuration as a file."""
    from omegaconf import OmegaConf

    for stage in plan.stages:
        for report in stage.dataset.history:
            logger.info("%s: %s", stage.name, report)
    main = plan.stages[-1]
    journal.result |= {
        "choices": dict(plan.choices),
        "seed": plan.seed,
        "base_model": "{id} from {source}: {location}".format(**plan.model_place),
        "data": data_lines(plan),
        "warnings": list(plan.warnings),
    }
    journal.log_params(parameters(plan))
    journal.log_tags(
        environment_tags()
        | {f"data.{split}": value for split, value in main.dataset.fingerprints().items()}
        | {f"data.{key}": str(value) for key, value in main.dataset.provenance.items()}
        | {f"base_model.{key}": value for key, value in plan.model_place.items() if value}
        | ({"data.warnings": "\n".join(plan.warnings)} if plan.warnings else {})
    )
    OmegaConf.save(OmegaConf.create(dict(plan.config)), plan.folder / "config.yaml")
    journal.log_artifact(plan.folder / "config.yaml")
    if (plan.folder / ".hydra" / "overrides.yaml").is_file():
        journal.log_artifact(plan.folder / ".hydra" / "overrides.yaml")


def data_lines(plan: RunPlan) -> list[str]:
    """What the main stage trains on, and how it came to that."""
    main = plan.stages[-1].dataset
    rows = ", ".join(f"{split} {rows.num_rows:,}" for split, rows in main.splits.items())
    return [f"{main.name} as {main.shape.name} ({rows} rows)", *(str(report) for report in main.history)]


def parameters(plan: RunPlan) -> dict[str, Any]:
    """The resolved configuration as flat parameters; `loss`, `model` and the like are the chosen names."""
    flat = dict(_flattened(plan.config, ""))
    main = plan.stages[-1]
    return flat | {
        "dataset": plan.choices["dataset"],
        "model": plan.choices["model"],
        "loss": plan.choices["loss"],
        "modifier": plan.choices["modifier"] or "none",
        "trainer": plan.choices["trainer"],
        "base_model": plan.model_place["id"],
        "dataset.shape": main.dataset.shape.name,
        "dataset.train_rows": main.dataset.splits["train"].num_rows,
    }


def _flattened(value: Any, path: str):
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            name = "class" if key == "_target_" else key
            yield from _flattened(inner, f"{path}.{name}" if path else str(name))
    elif not isinstance(value, Mapping):
        yield path, value


def load_base_model(plan: RunPlan) -> "SentenceTransformer":
    """The untouched model with the prompts of the main stage's data, where these name any.

    The main stage's texts make the tokenizer of a model from scratch.
    """
    place = plan.model_place
    logger.info("Base model %s from %s: %s", plan.choices["model"], place["source"], place["location"])
    main = plan.stages[-1].dataset
    model = plan.model.load(lambda: main.texts("train"), plan.folder)
    if main.prompts.named:
        model.prompts = {**model.prompts, **main.prompts.named}
        model.default_prompt_name = main.prompts.default
    return model


def score_all(
    plan: RunPlan, model: "SentenceTransformer", progress: str | None = None, splits: tuple[str, ...] = ("dev", "test")
) -> AllScores:
    """Every evaluator on every one of these splits that it has."""
    encoder = ModelEncoder(model, progress=progress)
    return {
        (evaluator.name, split): evaluator.score(encoder, split)
        for evaluator in plan.evaluators
        for split in evaluator.splits
        if split in splits
    }


def metrics_of(split: str, scores: AllScores) -> dict[str, float]:
    """`<split>/<evaluator>/<metric>` of all evaluators on that split."""
    return {
        f"{split}/{name}/{metric}": value
        for (name, of_split), result in scores.items()
        if of_split == split
        for metric, value in result.metrics.items()
    }


def train(plan: RunPlan, number: int, model: "SentenceTransformer", journal: Journal) -> StageResult:
    """One stage, with an evaluation on dev as often as its trainer asks."""
    stage = plan.stages[number]
    dev = [evaluator for evaluator in plan.evaluators if "dev" in evaluator.splits]
    can_choose = any(evaluator.name == plan.primary_evaluator for evaluator in dev)
    if not can_choose:
        logger.warning("%s has no dev split: the last state is kept, not the best one.", plan.primary_evaluator)
    logger.info("Training %s on %s rows.", stage.name, f"{stage.dataset.splits['train'].num_rows:,}")
    return train_stage(
        stage,
        model,
        (lambda current: metrics_of("dev", score_all(plan, current, splits=("dev",)))) if can_choose else None,
        f"dev/{plan.primary_evaluator}/{plan.primary_metric}",
        journal,
        plan.seed,
    )


def record(plan: RunPlan, journal: Journal, base: AllScores, trained: AllScores, stage: StageResult) -> None:
    """Log base, dev, test and delta metrics, and the verdict."""
    rows = [row for evaluator in plan.evaluators for row in comparisons(plan, evaluator, base, trained)]
    journal.log_results(metrics_of("dev", trained))
    journal.log_results(metrics_of("test", trained))
    journal.log_results({key: value for row in rows for key, value in judged_metrics(plan, row).items()})
    primary = next(row for row in rows if row["primary"] and row["split"] == judged_split(plan, row["evaluator"]))
    dev = trained.get((plan.primary_evaluator, "dev"))
    journal.result |= {
        "comparisons": rows,
        "primary": primary | {"key": f"{primary['split']}/{primary['evaluator']}/{primary['metric']}"},
        "primary_value": dev.metrics[plan.primary_metric] if dev else primary["trained"],
        "verdict": primary["verdict"],
        "training": f"{stage.num_steps} steps in {stage.seconds:.1f} s ({stage.rows_per_second:.1f} rows/s), "
        f"best at step {stage.best_step}",
        "model_path": str(stage.model_path),
        "tracked": plan.tracker.where(),
    }
    journal.log_results({"cost/train_seconds": stage.seconds, "cost/rows_per_second": stage.rows_per_second})
    journal.log_tags({"verdict": primary["verdict"]})


def judged_split(plan: RunPlan, evaluator_name: str) -> str:
    """The split on which the verdict falls: test, or dev where there is no test."""
    evaluator = next(evaluator for evaluator in plan.evaluators if evaluator.name == evaluator_name)
    return "test" if "test" in evaluator.splits else "dev"


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


def judged_metrics(plan: RunPlan, row: Mapping[str, Any]) -> dict[str, float]:
    """base/ and delta/ metrics of a row; where the verdict falls on test, those of dev carry `dev` in their name."""
    name = row["evaluator"]
    if row["split"] != judged_split(plan, name):
        name = f"{name}/{row['split']}"
    return {
        f"base/{name}/{row['metric']}": row["base"],
        f"delta/{name}/{row['metric']}": row["difference"],
        f"delta/{name}/{row['metric']}_low": row["low"],
        f"delta/{name}/{row['metric']}_high": row["high"],
    }


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
    journal.log_model(stage.model_path)


def show(result: Mapping[str, Any]) -> None:
    """The closing table on the terminal."""
    from embexp.reports.tables import print_closing, wide_console

    print_closing(result, wide_console())
