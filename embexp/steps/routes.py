"""Which conversions lead from the shapes that data offer to those that a loss or an evaluator accepts."""

from collections import deque
from collections.abc import Iterator, Sequence

from embexp.steps.conversions.conversion import Conversion
from embexp.steps.conversions.conversion_settings import ConversionSettings, default_settings
from embexp.steps.conversions.registry import CONVERSIONS

Way = tuple[str, tuple[Conversion, ...]]  # the shape to start from, and the conversions that follow


def route(
    offered: Sequence[str],
    accepted: Sequence[str],
    most: int | None = None,
    settings: ConversionSettings | None = None,
) -> Way | None:
    """The way from a shape that the data offer to one that is accepted: where it starts, and its conversions.

    A shape that is offered as it is comes first; then the fewest conversions; among equals the accepted order.
    None when there is no way, or none of at most `most` conversions. Conversions that need a number which the
    settings (None: the shipped ones) do not have are no way: `unmet_needs` names them.

    >>> start, steps = route(["class_pair"], ["triplet", "positive_pair"])
    >>> start, [step.target for step in steps]
    ('class_pair', ['triplet'])
    """
    settings = settings or default_settings()
    return _shortest(offered, accepted, most, [each for each in CONVERSIONS if not settings.lacks(each.needs)])


def unmet_needs(
    offered: Sequence[str],
    accepted: Sequence[str],
    most: int | None = None,
    settings: ConversionSettings | None = None,
) -> list[str]:
    """The settings without which there is no way, where there is one with them; empty when no number would help."""
    settings = settings or default_settings()
    way = _shortest(offered, accepted, most, CONVERSIONS)
    return settings.lacks(tuple(dict.fromkeys(need for step in (way[1] if way else ()) for need in step.needs)))


def _shortest(
    offered: Sequence[str], accepted: Sequence[str], most: int | None, conversions: Sequence[Conversion]
) -> Way | None:
    for shape in accepted:
        if shape in offered:
            return shape, ()
    ways = [way for start in offered for way in _ways_from(start, conversions) if way[-1].target in accepted]
    ways = [way for way in ways if most is None or len(way) <= most]
    if not ways:
        return None
    best = min(ways, key=lambda way: (len(way), accepted.index(way[-1].target)))
    return best[0].source, best


def _ways_from(start: str, conversions: Sequence[Conversion]) -> Iterator[tuple[Conversion, ...]]:
    waiting, seen = deque([()]), {start}
    while waiting:
        way = waiting.popleft()
        here = way[-1].target if way else start
        for conversion in conversions:
            if conversion.source == here and conversion.target not in seen:
                seen.add(conversion.target)
                waiting.append((*way, conversion))
                yield (*way, conversion)


def within_reach(start: str, settings: ConversionSettings) -> list[str]:
    """The shapes that data of this shape can be brought to under the settings."""
    usable = [conversion for conversion in CONVERSIONS if not settings.lacks(conversion.needs)]
    return [way[-1].target for way in _ways_from(start, usable)]
