"""What a teacher's scores are like, in numbers and in words."""

from array import array
from collections.abc import Mapping
from typing import Any

from embexp.steps.negatives.mining_report import histogram, readable

REACH = 2  # the largest difference of two cosines


class ScoreReport:
    """Gathers how a teacher scores the rows of a split.

    Args:
        num_shown: rows that are kept to be read, the first ones.

    Attributes:
        num_scored, num_bare: rows with scores; rows without positives or negatives.
        margins: score of the positive (the lowest one) minus that of each negative.
    """

    def __init__(self, num_shown: int) -> None:
        self.num_shown, self.num_scored, self.num_bare = num_shown, 0, 0
        self.margins = array("f")
        self.shown: list[str] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a ranked row with its `positive_scores` and `negative_scores`, null where it has none."""
        if row["positive_scores"] is None:
            self.num_bare += 1
            return
        self.num_scored += 1
        lowest = min(row["positive_scores"])
        self.margins.extend(lowest - score for score in row["negative_scores"])
        if len(self.shown) < self.num_shown:
            self.shown.append(_example(row, row["positive_scores"].index(lowest)))

    @property
    def share_above(self) -> float:
        """The share of the negatives that are scored above the (lowest) positive."""
        return sum(margin < 0 for margin in self.margins) / max(len(self.margins), 1)

    def __str__(self) -> str:
        above = f"{100 * self.share_above:.1f} % of the negatives above the (lowest) positive"
        parts = [f"{self.num_scored:,} rows scored", above]
        parts += [f"{self.num_bare:,} rows without positives or negatives not scored"] if self.num_bare else []
        return ", ".join(parts)

    def lines(self) -> list[str]:
        """What there is to read beside the numbers: how margins lie, whether a model can learn them, examples."""
        import numpy

        margins = numpy.asarray(self.margins)
        lines = [f"positive - negative {histogram(margins)}"]
        if far := int((abs(margins) > REACH).sum()):
            lines.append(
                f"{100 * far / len(margins):.1f} % of the margins are beyond {REACH}, the most that normalised "
                "embeddings can differ by: for loss=margin_mse type dataset.steps.teacher_scores.scorer.activation="
                "sigmoid"
            )
        return [*lines, *self.shown]


def _example(row: Mapping[str, Any], place: int) -> str:
    """The query, the positive at the place and the negatives, with their scores."""
    negatives = zip(row["negatives"], row["negative_scores"], strict=True)
    parts = [readable(row["query"], None), f"+ {readable(row['positives'][place], row['positive_scores'][place])}"]
    return " | ".join([*parts, *(f"- {readable(text, score)}" for text, score in negatives)])
