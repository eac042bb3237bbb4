"""Which margin suits a distance."""

# Unit vectors whose cosine distance is 0.5 are 1 apart by euclidean distance, the margin of Reimers & Gurevych 2019;
# 5 is the default of sentence-transformers.
MARGINS = {"cosine": 0.5, "euclidean": 1.0, "manhattan": 5.0}


def margin_for(distance: str, margin: float | None) -> float:
    """The margin that was given, or the one that suits the distance.

    >>> margin_for("euclidean", None)
    1.0
    """
    return MARGINS[distance] if margin is None else margin
