"""Which way leads from the data to a loss or an evaluator, and what to say when none does."""

import functools
from collections.abc import Mapping, Sequence

from omegaconf import OmegaConf

from embexp.config.compose import conf_dir
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import described, shape_named
from embexp.errors import ShapeError, listed
from embexp.losses.spec import LossSpec
from embexp.steps.conversions.conversion import ConversionSettings, default_settings, what_to_type
from embexp.steps.conversions.convert import Way, route, unmet_needs, within_reach

_CONVERTED = "convert "  # begins the report of a conversion, which goes on `class_pair -> triplet`


def wanted_shapes(shape: str | None, spec: LossSpec) -> tuple[str, ...]:
    """The shapes to train on: the one asked for, or all that the loss accepts.

    Raises:
        ShapeError: the loss does not accept the one asked for.
    """
    if shape is None:
        return spec.accepts
    shape_named(shape)
    if shape not in spec.accepts:
        raise ShapeError(
            f"shape={shape} was given; loss={spec.name} accepts {listed(spec.accepts)}. "
            f"Type shape=null, or one of: {listed(f'shape={name}' for name in spec.accepts)}."
        )
    return (shape,)


def route_to_loss(
    offered: list[str],
    accepted: tuple[str, ...],
    dataset: str,
    loss: str,
    settings: ConversionSettings | None = None,
) -> Way:
    """The shape to read and the conversions that bring it to one that a loss accepts.

    Args:
        settings: what conversions need to know; None takes the shipped ones.

    Raises:
        ShapeError: says what the data are, what is accepted, which number would open a way, and which losses fit.
    """
    way = route([shape_named(shape).name for shape in offered], accepted, settings=settings)
    if way is None:
        needs = unmet_needs(offered, accepted, settings=settings)
        raise ShapeError(
            f"{_problem(offered, accepted, dataset, f'loss={loss}', needs)}\n"
            f"Losses that fit this data: {listed(f'loss={name}' for name in fitting_losses(offered, settings))}."
        )
    return way


def route_to_evaluator(
    offered: list[str],
    accepted: tuple[str, ...],
    dataset: str,
    evaluator: str,
    settings: ConversionSettings | None = None,
) -> Way:
    """The same for an evaluator; one conversion at most: gold that went through several is gold no more.

    Raises:
        ShapeError: says what the data are, what is accepted and which number would open a way.
    """
    way = route([shape_named(shape).name for shape in offered], accepted, most=1, settings=settings)
    if way is None:
        needs = unmet_needs(offered, accepted, most=1, settings=settings)
        raise ShapeError(
            f"{_problem(offered, accepted, dataset, f'evaluator={evaluator}', needs)}\n"
            f"Type evaluator=[stsb], which brings its own data, or +dataset@evaluator.{evaluator}.dataset=<option> for "
            f"other data to judge on, or choose data that are {' or '.join(accepted)}."
        )
    return way


def route_to_shape(offered: list[str], shape: str, dataset: str, settings: ConversionSettings | None = None) -> Way:
    """The same for a shape that is asked for by its name.

    Raises:
        ShapeError: says what the data are, what they can be brought to and which number would open a way.
    """
    way = route([shape_named(name).name for name in offered], (shape_named(shape).name,), settings=settings)
    if way is None:
        needs = unmet_needs(offered, (shape,), settings=settings)
        reachable = {name for start in offered for name in within_reach(start, settings or default_settings())}
        raise ShapeError(
            f"{_problem(offered, (shape,), dataset, f'shape={shape}', needs)}\n"
            f"Shapes within reach: {listed(sorted(reachable))}."
        )
    return way


def _problem(offered: list[str], accepted: tuple[str, ...], dataset: str, consumer: str, needs: list[str]) -> str:
    no_way = f"and the conversion needs a number. {what_to_type(needs)}" if needs else "and no conversion leads there."
    return (
        f"dataset={dataset} is {' or '.join(described(shape) for shape in offered)}.\n"
        f"{consumer} accepts {' or '.join(described(shape) for shape in accepted)}, {no_way}"
    )


@functools.cache
def shipped_losses() -> dict[str, tuple[str, ...]]:
    """The shapes that each shipped loss accepts, by the loss's name."""
    accepts = {path.stem: OmegaConf.load(path).get("_accepts_") for path in sorted(conf_dir().glob("loss/*.yaml"))}
    return {name: tuple(shapes) for name, shapes in accepts.items() if shapes}


def routes_to_losses(offered: Sequence[str], settings: ConversionSettings | None = None) -> Mapping[str, Way | None]:
    """For each shipped loss the way that data of one of these shapes take to it, None where there is none."""
    return {name: route(offered, shapes, settings=settings) for name, shapes in shipped_losses().items()}


def fitting_losses(offered: Sequence[str], settings: ConversionSettings | None = None) -> list[str]:
    """Names of the shipped losses that data of these shapes can be brought to."""
    return [name for name, way in routes_to_losses(offered, settings).items() if way]


def few_rows_warnings(
    dataset: EmbeddingDataset, accepted: Sequence[str], settings: ConversionSettings | None = None
) -> list[str]:
    """Says when a conversion kept less than a quarter of the rows and another shape of the loss is within reach."""
    converted = [report for report in dataset.history if report.step.startswith(_CONVERTED)]
    if not converted:
        return []
    sources = [report.step.removeprefix(_CONVERTED).partition(" ")[0] for report in converted]
    others = [
        shape
        for shape in accepted
        if shape != dataset.shape.name and all(route([source], (shape,), settings=settings) for source in sources)
    ]
    train = dataset.splits["train"].num_rows
    return [
        f"Only {report.rows_out:,} of {report.rows_in:,} rows of {dataset.name} make a {dataset.shape.name}, {train:,} "
        f"of them to train on. Another shape may keep more: {listed(f'shape={shape}' for shape in others)}."
        for report in converted
        if others and report.rows_out < report.rows_in / 4
    ]
