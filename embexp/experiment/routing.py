"""Which conversions lead from the data to a loss or an evaluator, and the error when none do."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from embexp.config.session import option_files
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import described, shape_named
from embexp.errors import Problem, ShapeError, listed
from embexp.losses.spec import LossSpec
from embexp.steps.conversions.conversion import NEEDED, ConversionSettings, default_settings
from embexp.steps.conversions.convert import Way, route, unmet_needs, within_reach

_CONVERTED = "convert "  # begins the report of a conversion: `convert class_pair -> triplet`


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
    own_data = (f"+dataset@evaluator.{evaluator}.dataset={name}" for name in _datasets_of(accepted))
    expected = "data of such a shape (the evaluator may have its own), or another evaluator"
    fix = (*own_data, "evaluator=[stsb]")
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


def few_rows_warnings(
    dataset: EmbeddingDataset, accepted: Sequence[str], settings: ConversionSettings | None = None
) -> list[Problem]:
    """Warn where a conversion kept less than a quarter of the rows and another shape of the loss is within reach."""
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
        Problem(
            f"Only {report.rows_out:,} of {report.rows_in:,} rows of {dataset.name} make a {dataset.shape.name}, "
            f"{train:,} of them to train on. Another shape may keep more",
            fix=tuple(f"shape={shape}" for shape in others),
        )
        for report in converted
        if others and report.rows_out < report.rows_in / 4
    ]
