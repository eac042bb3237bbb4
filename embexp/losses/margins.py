"""Which margin suits a distance."""

from embexp.errors import ConfigError

# Unit vectors whose cosine distance is 0.5 are 1 apart by euclidean distance, the margin of Reimers & Gurevych 2019;
# 5 is the default of sentence-transformers.
MARGINS = {"cosine": 0.5, "euclidean": 1.0, "manhattan": 5.0}


def margin_for(distance: str, margin: float | None) -> float:
    """The margin that was given, or the one that suits the distance.

    Raises:
        ConfigError: it is no number above 0.

    >>> margin_for("euclidean", None)
    1.0
    """
    suited = MARGINS[distance]
    if margin is None:
        return suited
    if isinstance(margin, bool) or not isinstance(margin, int | float) or margin <= 0:
        raise ConfigError(
            f"loss.margin={margin} was given. Expected a number above 0, or null for {suited}, which suits {distance}."
        )
    return margin
