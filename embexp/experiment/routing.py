"""Which conversions lead from the data to a loss or an evaluator, the error when none do, and a stage's data."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from embexp.config.session import option_files
from embexp.data.arrow import batches_of, list_lengths
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import described, shape_named
from embexp.errors import Problem, ShapeError, listed
from embexp.experiment.datasets import offered_shapes
from embexp.experiment.stage_config import StageConfig
from embexp.losses.spec import LossSpec
from embexp.steps.conversions.conversion import NEEDED, ConversionSettings, default_settings
from embexp.steps.conversions.convert import Way, convert, limit_negatives, route, unmet_needs, within_reach
from embexp.training.stages import StagePlan

if TYPE_CHECKING:
    from datasets import Dataset


def wanted_shapes(shape: str | None, spec: LossSpec) -> tuple[str, ...]:
    """The shapes to train on: the requested one, or all that the loss accepts.

    Raises:
        ShapeError: the loss does not accept the requested one.
    """
    if shape is None:
        return spec.accepts
    shape_named(shape)
    if shape not in spec.accepts:
        text, expected = f"is not accepted by the loss {spec.name}", f"null, or one of: {listed(spec.accepts)}"
        fix = tuple(f"shape={name}" for name in ("null", *spec.accepts))
        raise ShapeError(Problem(text, "shape", shape, expected, fix=fix))
    return (shape,)


def route_to_loss(
    offered: list[str], accepted: tuple[str, ...], dataset: str, loss: str, settings: ConversionSettings | None = None
) -> Way:
    """The shape to read and the conversions that bring it to one that a loss accepts.

    Args:
        settings: what conversions need to know; None takes the shipped ones.

    Raises:
        ShapeError: there is no route. It names the missing number that would open one, and the losses that fit.
    """
    if found := route([shape_named(shape).name for shape in offered], accepted, settings=settings):
        return found
    needs = unmet_needs(offered, accepted, settings=settings)
    expected = "data of such a shape, or a loss that fits"
    fitting = tuple(f"loss={name}" for name in _fitting_losses(offered, settings))
    raise _no_route(offered, accepted, dataset, ("loss", loss), needs, expected, fitting)


def route_to_evaluator(
    offered: list[str],
    accepted: tuple[str, ...],
    dataset: str,
    evaluator: str,
    settings: ConversionSettings | None = None,
) -> Way:
    """The same for an evaluator; one conversion at most, because several would make up the gold labels.

    Raises:
        ShapeError: there is no route. It names the missing number that would open one, and other data to evaluate on.
    """
    if found := route([shape_named(shape).name for shape in offered], accepted, most=1, settings=settings):
        return found
    needs = unmet_needs(offered, accepted, most=1, settings=settings)
    own_data = (f"evaluator.{evaluator}.dataset={name}" for name in _datasets_of(accepted))
    expected = "data of such a shape (the evaluator may have its own), or another evaluator"
    fix = (*(f"evaluator=[{name}]" for name in fitting_evaluators(offered, settings)[:2]), *own_data)
    raise _no_route(offered, accepted, dataset, ("evaluator", [evaluator]), needs, expected, fix)


def route_to_shape(offered: list[str], shape: str, dataset: str, settings: ConversionSettings | None = None) -> Way:
    """The same for a shape that was requested by its name.

    Raises:
        ShapeError: there is no route. It names the missing number that would open one, and the shapes within reach.
    """
    if found := route([shape_named(name).name for name in offered], (shape_named(shape).name,), settings=settings):
        return found
    needs = unmet_needs(offered, (shape,), settings=settings)
    reachable = {name for start in offered for name in within_reach(start, settings or default_settings())}
    fix = tuple(f"shape={name}" for name in sorted(reachable))
    raise _no_route(offered, (shape,), dataset, ("shape", shape), needs, "a shape within reach", fix)


def _no_route(
    offered: Sequence[str],
    accepted: Sequence[str],
    dataset: str,
    consumer: tuple[str, Any],
    needs: Sequence[str],
    expected: str,
    fix: Sequence[str],
) -> ShapeError:
    """The error, with the key and value that want other data; a number that opens a route comes first in the hint."""
    data = f"data set {dataset} is {' or '.join(described(shape) for shape in offered)}"
    accepts = f"accepts {' or '.join(described(shape) for shape in accepted)}; {data}"
    key, given = consumer
    if needs:
        text = f"{accepts}, and the conversion needs a number that only you know"
        meaning = " and ".join(f"{need} {NEEDED[need][1]}" for need in needs)
        numbers = " ".join(f"conversion.{need}={NEEDED[need][0]}" for need in needs)
        return ShapeError(text, key=key, given=given, expected=f"{meaning}, or {expected}", fix=(numbers, *fix))
    return ShapeError(f"{accepts}, and no conversion leads there", key=key, given=given, expected=expected, fix=fix)


_EVALUATORS = ("sts", "retrieval", "triplet", "binary", "classification")  # in the order in which they are proposed


def fitting_evaluators(
    offered: Sequence[str], settings: ConversionSettings | None = None, label_names: Sequence[str] | None = None
) -> list[str]:
    """The evaluators that read data of these shapes and need nothing else: first those that read them as they are.

    Args:
        label_names: names of the classes of pairs, of which a conversion must know the meaning; None where not known.
    """
    settings = settings or default_settings()
    files = option_files("evaluator")
    reads = {name: tuple(OmegaConf.load(files[name])["_reads_"]) for name in _EVALUATORS if name in files}
    ways = {name: route(offered, shapes, most=1, settings=settings) for name, shapes in reads.items()}

    def is_known(way: Way) -> bool:
        if label_names is None or not way[1] or way[0] != "class_pair":
            return True
        names, target = {*label_names}, way[1][0].target
        if target == "scored_pair":
            return bool(names) and names <= {*settings.label_scores}
        needed = {*settings.positive_labels, *(() if target == "positive_pair" else settings.negative_labels)}
        return needed <= names

    fitting = [name for name, way in ways.items() if way and is_known(way)]
    return sorted(fitting, key=lambda name: bool(ways[name][1]))


def _datasets_of(shapes: Sequence[str]) -> list[str]:
    """The first data set that offers each of these shapes."""
    offers = {name: OmegaConf.load(path).get("shapes") or () for name, path in sorted(option_files("dataset").items())}
    found = (next((name for name, offered in offers.items() if shape in offered), None) for shape in shapes)
    return [name for name in dict.fromkeys(found) if name]


@functools.cache
def shipped_losses() -> dict[str, tuple[str, ...]]:
    """The shapes that each shipped loss accepts, by the loss's name."""
    accepts = {name: OmegaConf.load(path).get("_accepts_") for name, path in sorted(option_files("loss").items())}
    return {name: tuple(shapes) for name, shapes in accepts.items() if shapes}


def routes_to_losses(offered: Sequence[str], settings: ConversionSettings | None = None) -> Mapping[str, Way | None]:
    """The route from data of these shapes to each shipped loss, None where there is none."""
    return {name: route(offered, shapes, settings=settings) for name, shapes in shipped_losses().items()}


def _fitting_losses(offered: Sequence[str], settings: ConversionSettings | None = None) -> list[str]:
    """Names of the shipped losses that accept data of these shapes, converted where needed."""
    return [name for name, found in routes_to_losses(offered, settings).items() if found]


_FEW = 1 / 4  # share of the training rows below which a conversion keeps few of them
_MORE = 2  # times as many rows from which on another shape keeps more of them


def makeable(accepted: Sequence[str], dataset: EmbeddingDataset) -> tuple[str, ...]:
    """Those of the accepted shapes that these rows can make: ranked rows without any negative make no triplets.

    All of them where none would be left: then the conversion says what is missing.
    """
    rows = dataset.splits.get("train")
    if dataset.shape.name != "ranked" or rows is None or _have_negatives(rows):
        return tuple(accepted)
    return tuple(shape for shape in accepted if not shape_named(shape).negatives) or tuple(accepted)


def _have_negatives(rows: "Dataset") -> bool:
    return any(
        list_lengths(batch["negatives"].combine_chunks()).any()
        for batch in batches_of(rows.select_columns(["negatives"]))
    )


def check_rows_kept(
    source: EmbeddingDataset, accepted: Sequence[str], taken: str, settings: ConversionSettings | None = None
) -> None:
    """Raise ShapeError where the shape that would be taken keeps few of the training rows and another one keeps more.

    Args:
        source: the rows before they are converted.
        accepted: the shapes that the loss accepts.
        taken: the one of them that comes first, and that nobody named.
    """
    total = source.splits["train"].num_rows if "train" in source.splits else 0
    if taken == source.shape.name or len(accepted) < 2 or (kept := _rows_kept(source, taken, settings)) >= _FEW * total:
        return
    others = {shape: _rows_kept(source, shape, settings) for shape in accepted if shape != taken}
    others = {shape: rows for shape, rows in others.items() if rows >= max(1, _MORE * kept)}
    if others:
        counts = listed(f"{rows:,} as {shape}" for shape, rows in {taken: kept, **others}.items())
        raise ShapeError(
            f"Of {total:,} training rows of {source.name} ({source.shape.name}) the loss can train on {counts}",
            expected="the shape to train on, named by you",
            fix=tuple(f"shape={shape}" for shape in ([taken, *others] if kept else others)),
        )


def _rows_kept(source: EmbeddingDataset, shape: str, settings: ConversionSettings | None) -> int:
    """How many training rows of a shape these rows make; 0 where they make none."""
    found = route([source.shape.name], (shape,), settings=settings)
    if not found:
        return 0
    made = replace(source, splits={"train": source.splits["train"]})
    try:
        for conversion in found[1]:
            made = convert(made, conversion, settings)
    except ShapeError:
        return 0
    return made.splits["train"].num_rows


def check_route(stage: StageConfig) -> None:
    """Raise ShapeError where the YAML of a stage's data shows that no conversion leads to its loss."""
    accepted = wanted_shapes(stage.node["shape"], stage.spec)
    if offered := offered_shapes(stage.node["dataset"]):
        route_to_loss(offered, accepted, stage.dataset_name, stage.spec.name, stage.builder.settings)


def plan_stage(stage: StageConfig, folder: Path) -> StagePlan:
    """A stage with its data read and converted.

    Raises:
        EmbexpError: data that cannot be built, that no conversion brings to the loss, or of which it leaves few rows
            where another shape, of which none was named, leaves more.
    """
    spec, data, shape, builder = stage.spec, stage.node["dataset"], stage.node["shape"], stage.builder
    accepted = wanted_shapes(shape, spec)

    def find_route(offered: list[str]) -> Way:
        return route_to_loss(offered, accepted, stage.dataset_name, spec.name, builder.settings)

    source = builder.source(data, stage.dataset_name, find_route)
    accepted = makeable(accepted, source)
    way = find_route([source.shape.name])
    if shape is None:
        check_rows_kept(source, accepted, way[1][-1].target if way[1] else source.shape.name, builder.settings)
    dataset = builder.converted(source, way)
    dataset = limit_negatives(dataset, spec.max_negatives)
    dataset.training_rows()
    return StagePlan(stage.name, dataset, spec, stage.node["trainer"], folder, builder.cache)
