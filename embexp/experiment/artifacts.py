"""The files of a run that show what training did: per-example scores, reports, changed examples, pictures."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from embexp.core.escaping import report_csv
from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import Evaluator, Scores, verdict_split, write_examples
from embexp.evaluation.stats.resampling import GROUP
from embexp.evaluation.threshold_metrics import accuracies, best_threshold
from embexp.experiment.guard import guard_tasks, own_evaluators
from embexp.experiment.plan import RunPlan
from embexp.experiment.scoring import GEOMETRY, AllScores
from embexp.reports.changed_examples import KIND_OF, rows_of, with_errors, write_changed
from embexp.reports.pictures.canvas import MODELS
from embexp.tracking.journal import Journal

_MOST_CHANGED = 20  # examples in each table of changed ones
_IN_MATRIX = 8  # sentences in the similarity matrix
_IN_PICTURE = 8  # models; of more there are several pictures


def write_artifacts(plan: RunPlan, journal: Journal, base: AllScores, trained: AllScores, best_step: int) -> None:
    """Write and log per-example scores, reports and pictures of the evaluations, the embeddings and the training."""
    for evaluator in plan.evaluators:
        for split in evaluator.splits:
            before, after = base[evaluator.name, split], trained[evaluator.name, split]
            if before.measures:
                metric = plan.primary_metric if evaluator.name == plan.primary_evaluator else evaluator.primary_metric
                measure = next((each for each in before.measures if each.name == metric), before.measures[0])
                subject = f"{plan.name} on {evaluator.name} ({split})"
                models, name = {"base": before, "trained": after}, f"{evaluator.name}_{split}"
                if evaluator in guard_tasks(plan):  # their values for gate and compare; no pictures
                    write_examples(path := plan.folder / "examples" / f"{name}.parquet", models)
                    journal.log_artifact(path, path.parent.name)
                    continue
                files = [*evaluation_files(plan.folder, name, subject, measure, models, MODELS)]
                for path in (*files, *_changed(plan.folder, name, subject, measure, before, after)):
                    journal.log_artifact(path, path.parent.name)
            if before.results:
                _write_library_results(plan, journal, evaluator, before, after)
    _write_embeddings(plan, journal, base, trained)
    _write_training(plan, journal, base, best_step)


def _write_library_results(plan: RunPlan, journal: Journal, evaluator: Any, before: Scores, after: Scores) -> None:
    """Results of mteb in its own format: of the untouched model by its name, of the trained one by the run's."""
    place = plan.model_place
    base = place["id"] if place["id"].count("/") == 1 else f"embexp/{Path(place['id']).name}"
    names = (
        (base, place["revision"] or "untouched", before),
        (f"embexp/{_SLUG.sub('-', plan.name)}", plan.folder.name, after),
    )
    for model, revision, scores in names:
        evaluator.write_results(plan.folder / "mteb", model, revision, scores)
    journal.log_artifact(plan.folder / "mteb", "mteb")


_SLUG = re.compile(r"[^\w.-]+")


def evaluation_files(
    folder: Path, name: str, subject: str, measure: Measure, models: Mapping[str, Scores], shown: Sequence[str]
) -> Iterator[Path]:
    """Write what one evaluator saw on one split example by example, by the measure that matters most; the files.

    Args:
        name: of the files.
        models: the scores of each model, by its name in the files.
        shown: their names in pictures.
    """
    path = folder / "examples" / f"{name}.parquet"
    write_examples(path, models)
    yield path
    kind, column = KIND_OF.get(measure.statistic), measure.predicted
    if kind is None:
        return
    path = folder / "reports" / f"{name}.csv"
    write_examples_csv(path, models, column)
    yield path
    if kind in ("rank", "binary"):
        every = [*zip(shown, models.values(), strict=True)]
        for start in range(0, len(every), _IN_PICTURE):
            end = f"_{start // _IN_PICTURE + 1}" if start else ""
            some = dict(every[start : start + _IN_PICTURE])
            yield from _pictures(folder / "plots", name, end, subject, measure, some, kind == "binary")


_PREDICTIONS = ("class", "first_rank", "top_document")  # what a metric of one example is made of


def write_examples_csv(path: Path, models: Mapping[str, Scores], column: str) -> None:
    """The examples with one value of each model, as a CSV that spreadsheets open correctly, Chinese included.

    What the value is made of follows it: the predicted class by its name, the document that a query finds first.

    Args:
        column: of the values that the primary metric is computed from.
    """
    examples = next(iter(models.values())).examples
    columns = {name: values for name, values in examples.items() if name != GROUP}
    for name, scores in models.items():
        columns[name] = scores.predicted[column]
        made_of = (each for each in _PREDICTIONS if each in scores.predicted and each != column)
        columns |= {f"{name}_{each}": scores.predicted[each] for each in made_of}
        if (found := columns.get(f"{name}_class")) is not None and "label" in examples:
            names = dict(zip(examples["gold"], examples["label"], strict=True))
            columns[f"{name}_class"] = [names.get(each, each) for each in found]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(*columns.values(), strict=True)
    path.write_text(report_csv([[*columns], *rows]), encoding="utf-8-sig", newline="")


def _pictures(
    folder: Path, name: str, end: str, subject: str, measure: Measure, models: Mapping[str, Scores], is_binary: bool
) -> Iterator[Path]:
    """The histogram of the similarities by label, and of scored pairs how they rise with the gold score."""
    from embexp.reports.pictures.similarities import (
        draw_binary_histogram,
        draw_gold_against_predicted,
        draw_scored_histogram,
    )

    column, gold = measure.predicted, next(iter(models.values())).examples[measure.gold]
    values = {model: scores.predicted[column] for model, scores in models.items()}
    statistic = "roc_auc" if is_binary else "spearman"
    summary = Measure(statistic, statistic, column, measure.gold)
    summaries = [value_of(summary, scores.columns) for scores in models.values()]
    path = folder / f"{name}_scores{end}.png"
    if is_binary:
        thresholds = [best_threshold(gold, each, accuracies) for each in values.values()]
        draw_binary_histogram(path, subject, gold, values, column, summaries, thresholds)
    else:
        draw_scored_histogram(path, subject, gold, values, column)
        yield path
        path = folder / f"{name}_gold{end}.png"
        draw_gold_against_predicted(path, subject, gold, values, column, summaries)
    yield path


def _changed(folder: Path, name: str, subject: str, measure: Measure, base: Scores, trained: Scores) -> Iterator[Path]:
    """Write which examples training changed most."""
    if kind := KIND_OF.get(measure.statistic):
        values = base.predicted[measure.predicted], trained.predicted[measure.predicted]
        path = folder / "reports" / f"{name}_changed.md"
        rows = rows_of(base.examples, *values, gold=measure.gold or "gold")
        write_changed(path, f"{subject}, {measure.name}", with_errors(rows, kind), kind, _MOST_CHANGED)
        yield path


def _write_embeddings(plan: RunPlan, journal: Journal, base: AllScores, trained: AllScores) -> None:
    """Draw how the two models see a handful of texts, and texts by their label, on the split of the verdict."""
    primary = next(each for each in plan.evaluators if each.name == plan.primary_evaluator)
    split = verdict_split(primary)
    before, after = base.get((GEOMETRY, split)), trained.get((GEOMETRY, split))
    if before is None or after is None:
        return
    from embexp.reports.pictures.projection import draw_projection
    from embexp.reports.pictures.similarity_matrix import draw_similarity_matrix

    vectors = before.predicted["vectors"], after.predicted["vectors"]
    texts, subject = before.examples["text"], f"{plan.name} ({split})"
    path = plan.folder / "plots" / f"{split}_matrix.png"
    few = numpy.unique(numpy.linspace(0, len(texts) - 1, _IN_MATRIX).astype(int)).tolist()
    matrices = (_cosines(each[few]) for each in vectors)
    draw_similarity_matrix(path, subject, [texts[place] for place in few], *matrices, "cosine")
    journal.log_artifact(path, "plots")
    labels = _labels_of(own_evaluators(plan), base, split)
    known = [place for place, text in enumerate(texts) if text in labels]
    if len({labels[texts[place]] for place in known}) > 1:
        path = plan.folder / "plots" / f"{split}_projection.png"
        draw_projection(path, subject, [labels[texts[place]] for place in known], *(each[known] for each in vectors))
        journal.log_artifact(path, "plots")


def _labels_of(evaluators: tuple[Evaluator, ...], scores: AllScores, split: str) -> dict[str, str]:
    """The label of each text, from the evaluators that know one."""
    found: dict[str, str] = {}
    for evaluator in evaluators:
        if split in evaluator.splits:
            examples: Mapping[str, Any] = scores[evaluator.name, split].examples
            if "label" in examples and "text" in examples:
                found |= dict(zip(examples["text"], map(str, examples["label"]), strict=True))
    return found


def _cosines(vectors: numpy.ndarray) -> numpy.ndarray:
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / numpy.where(lengths == 0, 1, lengths)
    return units @ units.T


def _write_training(plan: RunPlan, journal: Journal, base: AllScores, best_step: int) -> None:
    """Draw the training's losses and dev scores, as the run's metrics.jsonl has them; of a mixture also each set's."""
    primary = next(each for each in plan.evaluators if each.name == plan.primary_evaluator)
    _draw_training(plan, journal, base, best_step, "loss", primary, plan.primary_metric)
    own = {each.name: each for each in plan.evaluators}
    for part in plan.stages[-1].sets:
        evaluator = own.get(part.name)
        metric = evaluator.primary_metric if evaluator else ""
        _draw_training(plan, journal, base, best_step, f"{part.name}/loss", evaluator, metric, f"_{part.name}")


def _draw_training(
    plan: RunPlan,
    journal: Journal,
    base: AllScores,
    best_step: int,
    loss: str,
    evaluator: Evaluator | None,
    metric: str,
    suffix: str = "",
) -> None:
    from embexp.reports.pictures.learning_curves import draw_learning_curves
    from embexp.tracking.journal import METRICS, written_lines

    name = evaluator.name if evaluator else ""
    curves: dict[str, dict[int, float]] = {f"train/{loss}": {}, f"train/dev/{name}/{metric}": {}}
    for line in written_lines(plan.folder / METRICS):
        for key, curve in curves.items():
            if key in line["metrics"] and line["step"]:
                curve[line["step"]] = line["metrics"][key]
    untouched = base.get((name, "dev"))
    path = plan.folder / "plots" / f"training{suffix}.png"
    losses, dev = (sorted(curve.items()) for curve in curves.values())
    value = untouched.metrics[metric] if untouched else None
    draw_learning_curves(path, plan.name, losses, dev, f"{name}/{metric}", value, best_step if dev else None)
    journal.log_artifact(path, "plots")
