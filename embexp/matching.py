"""Which way leads from the data to a loss or an evaluator, and what to say when none does."""

import logging

from omegaconf import OmegaConf

from embexp.config import conf_dir
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import described, shape_named
from embexp.errors import ShapeError, listed
from embexp.losses.spec import LossSpec
from embexp.steps.convert import Conversion, route

logger = logging.getLogger(__name__)
Way = tuple[str, tuple[Conversion, ...]]  # the shape to read, and the conversions that follow


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


def way_to_loss(offered: list[str], accepted: tuple[str, ...], dataset: str, loss: str) -> Way:
    """The shape to read and the conversions that bring it to one that a loss accepts.

    Raises:
        ShapeError: says what the data are, what is accepted, and which losses would fit.
    """
    way = route([shape_named(shape).name for shape in offered], accepted)
    if way is None:
        raise ShapeError(
            f"{_misfit(offered, accepted, dataset, f'loss={loss}')}\n"
            f"Losses that fit this data: {listed(f'loss={name}' for name in fitting_losses(offered))}."
        )
    return way


def way_to_evaluator(offered: list[str], accepted: tuple[str, ...], dataset: str, evaluator: str) -> Way:
    """The same for an evaluator; one conversion at most: gold that went through several is gold no more.

    Raises:
        ShapeError: says what the data are and what is accepted.
    """
    way = route([shape_named(shape).name for shape in offered], accepted, most=1)
    if way is None:
        raise ShapeError(
            f"{_misfit(offered, accepted, dataset, f'evaluator={evaluator}')}\n"
            "Type evaluator=[stsb], which brings its own data, or choose data that have scored pairs."
        )
    return way


def _misfit(offered: list[str], accepted: tuple[str, ...], dataset: str, consumer: str) -> str:
    return (
        f"dataset={dataset} is {' or '.join(described(shape) for shape in offered)}.\n"
        f"{consumer} accepts {' or '.join(described(shape) for shape in accepted)}, and no conversion leads there."
    )


def fitting_losses(offered: list[str]) -> list[str]:
    """Names of the shipped losses that data of these shapes can be brought to."""
    accepts = {
        path.stem: OmegaConf.load(path).get("_accepts_") or () for path in sorted(conf_dir().glob("loss/*.yaml"))
    }
    return [name for name, shapes in accepts.items() if route(offered, tuple(shapes))]


def warn_of_few_rows(dataset: EmbeddingDataset, accepted: tuple[str, ...]) -> None:
    """Say when a conversion kept less than a quarter of the rows and the loss accepts another shape."""
    others = [shape for shape in accepted if shape != dataset.shape.name]
    for report in dataset.history:
        if others and report.step.startswith("convert") and report.rows_out < report.rows_in / 4:
            logger.warning(
                "Only %s of %s rows of %s make a %s. Another shape may keep more: %s.",
                f"{report.rows_out:,}",
                f"{report.rows_in:,}",
                dataset.name,
                dataset.shape.name,
                listed(f"shape={shape}" for shape in others),
            )
