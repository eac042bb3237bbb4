"""Weights between a run's untouched and its trained model: what each share gains, and what it loses elsewhere."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config.compose import instantiate
from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.file_contents import ADAPTER_CONFIG
from embexp.core.run_folder import read_record
from embexp.errors import ExportError, ModelError
from embexp.evaluation.scores import ID, Evaluator, Scores, compare, read_examples, verdict_split
from embexp.evaluation.stats.multiple_comparisons import correct_secondary, mean_of_tasks
from embexp.evaluation.stats.verdicts import margin_of, margins_in
from embexp.exports.delivery import Exported, TrainedModel
from embexp.models.encoding import MemoryCachedEncoder, ModelEncoder
from embexp.models.merging import (
    average,
    check_can_be_merged,
    check_merges,
    check_was_whole,
    load_untouched,
    load_whole,
)
from embexp.protocols import BaseModel, Encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
DEV = "dev"
FRONT, TABLE = "front.png", "front.json"
_SHARES = LegalValues(above=0, below=1, many=True)


@dataclass(frozen=True)
class Point:
    """A model between the untouched (share 0) and the trained one (share 1).

    Attributes:
        dev: its primary metric on dev; nan without dev.
        own, guard: rows of the differences to the untouched model on the own test and over the guard's tasks: base,
            trained, difference, low, high, verdict. `guard` is empty without one.
    """

    share: float
    dev: float
    own: Mapping[str, Any]
    guard: Mapping[str, Any]


class MergedWeights:
    """An export that averages the untouched and the trained weights, draws the front, and keeps one as a plain model.

    Args:
        shares: of the trained weights.
        keep: `dev`: of these and the trained model itself the one with the smallest share whose primary metric on dev
            is within the margin of the best one's; test and guard have no part in it. Or one of the shares.

    Raises:
        ConfigError: a share that is none, or mergekit is not installed.
    """

    comes_last = False
    needs = ("run", "untouched", "margins")

    def __init__(self, name: str, shares: Sequence[float], keep: str | float) -> None:
        problems = [*problems_with("shares", shares, _SHARES, such_as="[0.3,0.5,0.7]")]
        if not problems and keep != DEV and keep not in shares:
            legal = LegalValues(one_of=(DEV, *map(str, shares)))
            problems = [*problems_with("keep", keep, legal, such_as=DEV)]
        refuse(problems, under=f"export.{name}")
        check_merges(name)
        self.name, self.shares, self.keep = name, sorted({float(each) for each in shares}), keep

    def check(self, model: BaseModel, source: str) -> None:
        """Refuse a run that has no two whole models."""
        check_can_be_merged(self.name, model, source)

    def make(self, trained: TrainedModel, folder: Path) -> Exported:
        """Write the kept model, the front as a picture and as JSON; score every share."""
        if self.keep == DEV and math.isnan(_on_dev(trained.result, "trained")):
            raise ExportError(
                f"export={self.name} picks a share on dev, and the run has no dev",
                expected="data with dev, or the share to keep",
                fix=f"export.{self.name}.keep={self.shares[len(self.shares) // 2]:g}",
            )
        whole, untouched = self._models(trained)
        points = [_end(trained, "base", 0.0)]
        for share in self.shares:
            logger.info("Export %s: %g of the trained weights", self.name, share)
            encoder = _encoder(average([whole, untouched], [share, 1 - share]))
            points.append(_scored(trained, encoder, share))
        points.append(_end(trained, "trained", 1.0))
        chosen = self._chosen(points, margin_of(_primary(trained)["metric"], margins_in(trained.config)))
        _correct_others(points, chosen)
        model = whole if chosen.share == 1 else average([whole, untouched], [chosen.share, 1 - chosen.share])
        model.save_pretrained(str(folder / "model"))
        return self._written(trained, folder, points, chosen)

    def _models(self, trained: TrainedModel) -> "tuple[SentenceTransformer, SentenceTransformer]":
        """The trained and the untouched model."""
        node, record = trained.config["model"], read_record(trained.run_folder)
        plain = {"adapter": None} if "adapter" in node else {}
        place = instantiate({**node, **plain}).locate()
        now, then = place["files"] or place["revision"], record.get("weights", {}).get("base model")
        keeps_adapter = any(trained.folder.rglob(ADAPTER_CONFIG))
        check_was_whole(self.name, node if keeps_adapter else {**node, **plain}, place["source"])
        if then and now and now != then:
            raise ExportError(
                f"The base model {place['location']} is not the one that the run began with ({then}, now {now})",
                expected="the same files",
            )
        texts = [*trained.dataset.texts("train")] if trained.dataset else []
        try:
            return load_whole(trained.folder), load_untouched(node, texts)
        except ModelError as error:
            raise ExportError(*error.problems) from error

    def _chosen(self, points: Sequence[Point], margin: float) -> Point:
        if self.keep != DEV:
            return next(each for each in points if each.share == float(self.keep))
        candidates = points[1:]
        best = max(each.dev for each in candidates if not math.isnan(each.dev))
        return next(each for each in candidates if each.dev >= best - margin)

    def _written(self, trained: TrainedModel, folder: Path, points: Sequence[Point], chosen: Point) -> Exported:
        from embexp.reports.pictures.merge_front import draw_merge_front

        primary = _primary(trained)
        key = f"{primary['split']}/{primary['evaluator']}/{primary['metric']}"
        subject = f"{key}; whiskers: 95 % intervals"
        draw_merge_front(folder / FRONT, subject, [_plain(each) for each in points], chosen.share)
        how = "kept on dev" if self.keep == DEV else "kept as typed"
        what = "the trained model itself is" if chosen.share == 1 else f"{chosen.share:g} of the trained weights are"
        lines = [f"{what} {how} ({folder.name}/model)", *map(_line, points)]
        content = {"metric": key, "keep": self.keep, "kept": chosen.share, "points": [_plain(each) for each in points]}
        (folder / TABLE).write_text(json.dumps(content, indent=2), encoding="utf-8")
        metrics = {f"export/{self.name}/kept": chosen.share}
        for each in points[1:-1]:
            metrics[f"export/{self.name}/{each.share:g}/own_delta"] = each.own["difference"]
            if each.guard:
                metrics[f"export/{self.name}/{each.share:g}/guard_delta"] = each.guard["difference"]
        return Exported(self.name, folder, lines, metrics)


def _encoder(model: "SentenceTransformer") -> Encoder:
    return MemoryCachedEncoder(ModelEncoder(model, progress="scoring"))


def _primary(trained: TrainedModel) -> Mapping[str, Any]:
    return trained.result["primary"]


def _on_dev(result: Mapping[str, Any], model: str) -> float:
    """The primary metric of the untouched (`base`) or the `trained` model on dev, which gives no verdict."""
    same = ((row["evaluator"], row["metric"]) == _name_of(result) for row in result["comparisons"])
    rows = [row for row, is_same in zip(result["comparisons"], same, strict=True) if is_same and row["split"] == DEV]
    return rows[0][model] if rows and result["primary"]["split"] != DEV else math.nan


def _name_of(result: Mapping[str, Any]) -> tuple[str, str]:
    return result["primary"]["evaluator"], result["primary"]["metric"]


_KEPT = ("base", "trained", "difference", "low", "high", "verdict", "margin")


def _end(trained: TrainedModel, model: str, share: float) -> Point:
    """The untouched or the trained model, as the run has scored it."""
    own, guard = dict(_primary(trained)), dict(trained.result.get("guard") or {})
    if model == "base":
        for row in filter(None, (own, guard)):
            row |= {"trained": row["base"], "difference": 0.0, "low": 0.0, "high": 0.0, "verdict": "identical"}
    return Point(share, _on_dev(trained.result, model), _only(own), _only(guard))


def _only(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in _KEPT if key in row}


def _scored(trained: TrainedModel, encoder: Encoder, share: float) -> Point:
    """A merged model on dev, on the own test and on the guard."""
    name, metric = _name_of(trained.result)
    margins, guards = margins_in(trained.config), trained.config.get("guard") or {}
    dev, own, rows = math.nan, {}, []
    for evaluator in trained.evaluators:
        split, is_own = verdict_split(evaluator), evaluator.name == name
        if not is_own and evaluator.name not in guards:
            continue
        if is_own and DEV in evaluator.splits and split != DEV:
            dev = evaluator.score(encoder, DEV).metrics[metric]
        shown = (metric,) if is_own else _counted(evaluator)
        found = compare(
            _untouched(trained, evaluator, split), evaluator.score(encoder, split), evaluator.resamples, margins
        )
        for each in (each for each in found if each.metric in shown):
            row = {"base": each.base, "trained": each.trained, "difference": each.value, "low": each.low}
            row |= {"high": each.high, "alone_low": each.low, "alone_high": each.high, "verdict": each.verdict}
            row |= {"margin": each.margin, "interval": each.interval}
            own, rows = (row, rows) if is_own else (own, [*rows, row])
    return Point(share, dev, own, mean_of_tasks(rows, margin_of("guard", margins)) if rows else {})


def _counted(evaluator: Evaluator) -> tuple[str, ...]:
    return (evaluator.primary_metric,) if evaluator.resamples else tuple(evaluator.headline_metrics)


def _untouched(trained: TrainedModel, evaluator: Evaluator, split: str) -> Scores:
    """The untouched model's scores, as the run kept them; of an evaluator without examples only its metrics."""
    path = trained.run_folder / "examples" / f"{evaluator.name}_{split}.parquet"
    if path.is_file():
        return read_examples(path).base
    rows = [
        each for each in trained.result["comparisons"] if (each["evaluator"], each["split"]) == (evaluator.name, split)
    ]
    return Scores(split, {ID: []}, {}, {each["metric"]: each["base"] for each in rows})


def _correct_others(points: Sequence[Point], chosen: Point) -> None:
    """Correct the verdicts on the own test of the shares that were not chosen for their number.

    Dev, or a person, chose the other one before its test was seen: its verdict is its own.
    """
    others = [each.own for each in points if each is not chosen and "interval" in each.own]
    correct_secondary(others, [each["interval"] for each in others])


def _plain(point: Point) -> dict[str, Any]:
    return {"share": point.share, "dev": point.dev, "own": _only(point.own), "guard": _only(point.guard)}


def _line(point: Point) -> str:
    """A share with what it gains and loses.

    >>> row = {"difference": 0.04, "verdict": "better"}
    >>> _line(Point(0.5, 0.41, row, {"difference": -0.01, "verdict": "undecided"}))
    '0.5: dev 0.4100, own test +0.0400 (better), guard -0.0100 (undecided)'
    """
    parts = [] if math.isnan(point.dev) else [f"dev {point.dev:.4f}"]
    named = (("own test", point.own), ("guard", point.guard))
    parts += [f"{name} {row['difference']:+.4f} ({row['verdict']})" for name, row in named if row]
    return f"{point.share:g}: {', '.join(parts)}"
