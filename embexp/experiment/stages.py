"""The stages of a run, and what the tracker shows of them; those before the main one are children of the run."""

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from embexp.config.compose import describes
from embexp.core.environment import environment_tags
from embexp.core.run_context import TRAINING, timed
from embexp.core.run_folder import CONFIG, RESULT, read_json
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import Paused, listed
from embexp.evaluation.scores import verdict_split
from embexp.experiment.datasets import stand_ins
from embexp.experiment.fingerprint import NOT_RESULTS, evaluated_rows
from embexp.experiment.pausing import RungFiles, free_disk
from embexp.experiment.plan import RunPlan
from embexp.experiment.results import comparisons, verdict_metrics
from embexp.experiment.scoring import AllScores, Scoring, metrics_of
from embexp.models.adapters import merge_adapter
from embexp.steps.split import UNDIVIDED
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import is_closed_part, open_part, send_trainings
from embexp.training.checkpoints import load_weights
from embexp.training.stage import OnEvaluate, train_stage
from embexp.training.stages import StagePlan, StageResult, finished_stage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


@timed("describing")
def record_params(plan: RunPlan, journal: Journal) -> None:
    """Record what runs: parameters, tags, configuration, trainings that the data took."""
    parts = [part for stage in plan.stages for part in stage.parts]
    for part in parts:
        for report in part.dataset.history:
            logger.info("%s: %s", part.name, report)
    main, warnings = plan.stages[-1], [str(warning) for warning in plan.warnings]
    journal.result |= {
        "choices": dict(plan.choices),
        "seed": plan.seed,
        "base_model": _base_line(plan),
        "data": _data_lines(main),
        "warnings": warnings,
    }
    places = {"base_model": plan.model_place}
    for part in main.parts:
        places |= {f"{part.name}.{key}" if main.sets else key: place for key, place in part.loss.locate().items()}
    journal.log_params(_parameters(plan))
    journal.log_tags(
        environment_tags()
        | _data_tags(main)
        | {f"evaluated.{evaluator}": value for evaluator, value in evaluated_rows(plan).items()}
        | {f"{name}.{key}": value for name, place in places.items() for key, value in place.items() if value}
        | ({"data.warnings": "\n".join(warnings)} if warnings else {})
    )
    for part in main.parts:
        _log_rows(part.dataset, journal)
    weights = str(plan.model_place.get("sha256") or plan.model_place.get("revision") or "")
    journal.log_data(plan.model_place["id"], "base model", weights or "unknown", str(plan.model_place["location"]))
    journal.log_artifact(plan.folder / CONFIG)
    if (overrides := plan.folder / ".hydra" / "overrides.yaml").is_file():
        journal.log_artifact(overrides)
    send_trainings(journal, [report for part in parts for report in part.dataset.history])


def _data_tags(stage: StagePlan) -> dict[str, str]:
    """What rows a stage reads, and where they came from; of a mixture by set."""
    tags = {"data.train": ", ".join(f"{part.name} {part.dataset.fingerprints()['train']}" for part in stage.sets)}
    for part in stage.parts:
        under = f"data.{part.name}" if stage.sets else "data"
        tags |= {f"{under}.{split}": value for split, value in part.dataset.fingerprints().items()}
        tags |= {f"{under}.{key}": str(value) for key, value in part.dataset.provenance.items()}
    return tags


_KINDS = {
    "list": "array",
    "float32": "float",
    "float64": "double",
    "int64": "long",
    "int32": "integer",
    "bool": "boolean",
}


def _log_rows(dataset: EmbeddingDataset, journal: Journal) -> None:
    """Name the rows that a stage reads."""
    source = str(dataset.provenance.get("source", dataset.name))
    for split, digest in dataset.fingerprints().items():
        rows = dataset.splits[split]
        columns = {name: _KINDS.get(getattr(kind, "dtype", "list"), "string") for name, kind in rows.features.items()}
        journal.log_data(dataset.name, split, digest, source, rows.num_rows, columns)


def _base_line(plan: RunPlan) -> str:
    """The base model and where its weights come from; those from scratch are called as they were chosen."""
    place = plan.model_place
    name = plan.choices["model"] if place["source"] == "scratch" else place["id"]
    return f"{name} from {place['source']}: {place['location']}"


def _data_lines(stage: StagePlan) -> list[str]:
    """What a stage trains on, and how it came to that; of a mixture set by set, each with its loss and weight."""
    if not stage.sets:
        return _lines_of(stage.dataset)
    lines = []
    for part in stage.sets:
        first, *others = _lines_of(part.dataset)
        weight = f", weight {part.weight:g}" if part.weight != 1 else ""
        lines += [f"{first}, {part.loss.name}{weight}", *(f"{part.name}: {line}" for line in others)]
    return lines


def _lines_of(dataset: EmbeddingDataset) -> list[str]:
    rows = ", ".join(f"{split} {rows.num_rows:,}" for split, rows in dataset.splits.items())
    steps = [str(report) for report in dataset.history if report.reason != UNDIVIDED]  # which changed nothing
    return [f"{dataset.name} as {dataset.shape.name} ({rows} rows)", *steps]


def _parameters(plan: RunPlan) -> dict[str, Any]:
    """The resolved configuration as flat parameters; `loss`, `model` and the like are the chosen names.

    Without those that have no value, and those that describe an option or change no result: config.yaml has them.
    """
    flat = {key: value for key, value in _flattened(plan.config, "") if value not in (None, []) and _is_shown(key)}
    main, found = plan.stages[-1], stand_ins(plan.config)
    return flat | {
        **{key: plan.choices[key] for key in ("dataset", "model", "loss", "trainer")},
        # Runs of earlier versions had no silver and no negatives.
        **{key: plan.choices.get(key) or "none" for key in ("modifier", "adapt", "silver", "negatives")},
        **({"stand_ins": listed(f"{key}: {corpus}" for key, corpus in found.items())} if found else {}),
        "base_model": plan.model_place["id"],
        "dataset.shape": "+".join(dict.fromkeys(part.dataset.shape.name for part in main.parts)),
        "dataset.train_rows": sum(part.dataset.splits["train"].num_rows for part in main.parts),
    }


_SHOWN = ("experiment", "threads")  # although they change no result: runs are filtered by them


def _is_shown(key: str) -> bool:
    parts = key.split(".")
    return (parts[0] not in NOT_RESULTS or parts[0] in _SHOWN) and not any(map(describes, parts))


def _flattened(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Nested tables as `(key, value)` with dots in the keys; `_target_` becomes `class`."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            name = "class" if key == "_target_" else key
            yield from _flattened(inner, f"{path}.{name}" if path else str(name))
    elif not isinstance(value, Mapping):
        yield path, value


def adapt(
    plan: RunPlan, stage: StagePlan, model: "SentenceTransformer", journal: Journal, scoring: Scoring, base: AllScores
) -> None:
    """Train a stage before the main one as a child of the run, and compare its model with the untouched one.

    Results go to the run's result under `stages`, in the run's metrics under `stages/<name>/`, and in the
    child. The child of a stage that was finished before is left as it is.

    Where nothing is scored on test yet the stage is trained all the same; its child stays open until it is compared.
    """
    if is_closed_part(stage.folder):
        train(plan, stage, model, journal, scoring)
        found = read_json(stage.folder / RESULT)["stage"]
    elif not scoring.sees_test:
        with open_part(journal, stage.folder, stage.name, "stage") as child:
            _describe_stage(stage, child)
            trained = train(plan, stage, model, child, scoring)
            raise Paused(trained.num_steps, 1.0)
        return
    else:
        with open_part(journal, stage.folder, stage.name, "stage") as child:
            _describe_stage(stage, child)
            trained = train(plan, stage, model, child, scoring)
            scores = scoring.of_trained(model, trained.best_step)
            found = _record_stage(plan, stage, trained, base, scores, child)
    journal.result.setdefault("stages", []).append(found)
    journal.log_metrics({f"stages/{stage.name}/{key}": value for key, value in found["metrics"].items()})


def train_main(
    plan: RunPlan,
    model: "SentenceTransformer",
    journal: Journal,
    scoring: Scoring,
    on_evaluate: OnEvaluate | None,
    pause: float | None,
) -> StageResult:
    """The main stage, or a share of its training with the files of that rung.

    Raises:
        Paused: the share is done, now or in an earlier process.
    """
    stage = plan.stages[-1]
    if pause is None:
        return train(plan, stage, model, journal, scoring, on_evaluate)
    files = RungFiles(plan, scoring)

    def watch(step: int, value: float) -> None:
        files.keep_best(step, value)
        if on_evaluate:
            on_evaluate(step, value)

    try:
        done = train(plan, stage, model, journal, scoring, watch, pause)
    except Paused as paused:
        files.write(pause, paused, model, stage.checkpoints)
        free_disk(plan, paused.best_step)
        raise
    paused = Paused(done.num_steps, 1.0, done.best_step, done.seconds)
    files.write(pause, paused, model, None)
    free_disk(plan, done.best_step)
    raise paused


@timed(TRAINING)
def train(
    plan: RunPlan,
    stage: StagePlan,
    model: "SentenceTransformer",
    journal: Journal,
    scoring: Scoring,
    on_evaluate: OnEvaluate | None = None,
    pause: float | None = None,
) -> StageResult:
    """One stage, evaluated on dev as often as its trainer says; of a finished one the saved model.

    Raises:
        Paused: a share `pause` of its training is done, and it is not finished.
    """
    scoring.begin_stage()
    merges_adapter = plan.model.merges_adapter and stage is plan.stages[-1]
    if finished := finished_stage(stage.folder):
        logger.info("%s was finished before: %s steps.", stage.name, finished.num_steps)
        if merges_adapter:
            merge_adapter(model)
        load_weights(model, finished.model_path)
        return finished
    primary = next(evaluator for evaluator in plan.evaluators if evaluator.name == plan.primary_evaluator)
    is_scored, picks = "dev" in primary.splits, "test" in primary.splits  # dev that gives the verdict must not pick
    if not is_scored:
        logger.warning("%s has no dev split: the last state is kept, not the best one.", plan.primary_evaluator)
    elif not picks:
        logger.info("%s has no test split: the last state is kept, so that dev can judge it.", plan.primary_evaluator)
    logger.info(
        "Training %s on %s rows.", stage.name, f"{sum(part.dataset.splits['train'].num_rows for part in stage.parts):,}"
    )
    return train_stage(
        stage,
        model,
        scoring.in_step if is_scored else None,
        f"dev/{plan.primary_evaluator}/{plan.primary_metric}",
        journal,
        plan.seed,
        merges_adapter,
        on_evaluate,
        picks,
        pause,
    )


def _describe_stage(stage: StagePlan, child: Journal) -> None:
    """What the stage trains: parameters, and the rows that it reads."""
    modifier = stage.loss.modifier
    calls = {"loss": stage.loss.call, "modifier": modifier.public_call() if modifier else {}, "trainer": stage.trainer}
    child.log_params(
        dict(_flattened(calls, ""))
        | {
            "stage": stage.name,
            "loss": stage.loss.name,
            "dataset": stage.dataset.name,
            "dataset.shape": stage.dataset.shape.name,
            "dataset.train_rows": stage.dataset.splits["train"].num_rows,
        }
    )
    _log_rows(stage.dataset, child)


def _record_stage(
    plan: RunPlan, stage: StagePlan, trained: StageResult, base: AllScores, scores: AllScores, child: Journal
) -> Mapping[str, Any]:
    """Log how the stage's model compares with the untouched one. Returns the stage's part of the run's result."""
    rows = comparisons(plan, base, scores)
    splits = {evaluator.name: verdict_split(evaluator) for evaluator in plan.evaluators}
    metrics = metrics_of("dev", scores) | metrics_of("test", scores)
    metrics |= {key: value for row in rows for key, value in verdict_metrics(splits, row).items()}
    child.log_results(metrics)
    child.log_results({"cost/train_seconds": trained.seconds, "cost/rows_per_second": trained.rows_per_second})
    child.result["stage"] = {
        "name": stage.name,
        "loss": stage.loss.name,
        "data": _data_lines(stage),
        "training": trained.summary,
        "seconds": trained.seconds,
        "model_path": str(trained.model_path),
        "run": child.run_id,
        "comparisons": rows,
        "metrics": {key: value for key, value in metrics.items() if not key.startswith("base/")},
    }
    return child.result["stage"]
