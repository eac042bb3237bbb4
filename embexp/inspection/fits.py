"""Which losses can be trained on data of a shape: as they are, after a conversion, or once a number is given."""

from collections.abc import Sequence
from dataclasses import dataclass

from embexp.matching import shipped_losses, ways_to_losses
from embexp.steps.conversions.conversion_settings import ConversionSettings
from embexp.steps.routes import Way, unmet_needs

# By which settings pairs with classes are brought to a shape.
READS = {
    "triplet": ("positive_labels", "negative_labels"),
    "binary_pair": ("positive_labels", "negative_labels"),
    "positive_pair": ("positive_labels",),
    "scored_pair": ("label_scores",),
}


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


def fits_of(offered: Sequence[str], settings: ConversionSettings, label_names: Sequence[str] = ()) -> Fits:
    """The losses that data of one of these shapes can be brought to.

    Args:
        label_names: the names of the data's classes, by which pairs with classes are converted.
    """
    directly, converted, given = [], {}, {}
    for name, way in ways_to_losses(offered, settings).items():
        if way and not way[1]:
            directly.append(name)
        elif way and (keys := _missing_names(way, settings, label_names)):
            given[name] = keys
        elif way:
            converted[name] = " -> ".join([way[0], *(step.target for step in way[1])])
        elif needs := unmet_needs(offered, shipped_losses()[name], settings=settings):
            given[name] = " ".join(f"conversion.{need}=..." for need in needs)
    return Fits(tuple(directly), converted, given)


def _missing_names(way: Way, settings: ConversionSettings, label_names: Sequence[str]) -> str:
    """What to type so that a conversion of classes knows what they mean; empty when it does, or asks for none."""
    first = way[1][0]
    if first.source != "class_pair" or first.target not in READS:
        return ""
    if not label_names:
        return "dataset.reader.label_names=[...]"
    unknown = [key for key in READS[first.target] if not _knows(settings, key, label_names)]
    return " ".join(
        f"conversion.{key}={{...}}" if key == "label_scores" else f"conversion.{key}=[...]" for key in unknown
    )


def _knows(settings: ConversionSettings, key: str, label_names: Sequence[str]) -> bool:
    """Whether the classes are those that a setting speaks of: all have a score, or some are positives or negatives."""
    spoken_of = set(getattr(settings, key))
    return set(label_names) <= spoken_of if key == "label_scores" else bool(spoken_of & set(label_names))
