"""Which losses can be trained on data of a shape: as they are, after a conversion, or once a number is given."""

from collections.abc import Sequence
from dataclasses import dataclass

from embexp.matching import shipped_losses, ways_to_losses
from embexp.steps.conversions.conversion_settings import ConversionSettings
from embexp.steps.routes import unmet_needs


@dataclass(frozen=True)
class Fits:
    """Names of losses, each in one of the three.

    Attributes:
        directly: losses that read the data as they are.
        converted: losses after a conversion, with the shapes on the way.
        given: losses for which a setting is missing, with its keys.
    """

    directly: tuple[str, ...]
    converted: dict[str, str]
    given: dict[str, str]


def fits_of(offered: Sequence[str], settings: ConversionSettings) -> Fits:
    """The losses that data of one of these shapes can be brought to."""
    directly, converted, given = [], {}, {}
    for name, way in ways_to_losses(offered, settings).items():
        if way and not way[1]:
            directly.append(name)
        elif way:
            converted[name] = " -> ".join([way[0], *(step.target for step in way[1])])
        elif needs := unmet_needs(offered, shipped_losses()[name], settings=settings):
            given[name] = " ".join(f"conversion.{need}=..." for need in needs)
    return Fits(tuple(directly), converted, given)
