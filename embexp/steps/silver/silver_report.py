"""What the step `silver` tells: gold and silver side by side, the teacher before and after, examples to read."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embexp.protocols import PairLabeller
from embexp.steps.negatives.mining_report import EXAMPLES, histogram, readable
from embexp.steps.silver.labelling import Silver

if TYPE_CHECKING:
    import numpy


def teacher_line(teacher: PairLabeller) -> str:
    """How well the teacher labels dev, untrained and trained."""
    if not teacher.dev_scores:
        return "the teacher was not judged: there are no dev rows"
    scores = (f"{name} {before:.4f} -> {after:.4f}" for name, (before, after) in teacher.dev_scores.items())
    return f"the teacher on dev, untrained -> trained: {', '.join(scores)}"


def label_lines(kind: str, names: Sequence[str], **labels: "numpy.ndarray") -> list[str]:
    """How the labels of gold, of silver and so on are spread: a line for each.

    >>> import numpy
    >>> label_lines("binary", (), gold=numpy.array([0, 1, 1]))
    ['gold: 0 33.3 %, 1 66.7 %']
    """
    if kind == "score":
        return [f"{side}: {histogram(values, (0, 1))}" for side, values in labels.items() if len(values)]
    return [f"{side}: {_shares(values, names)}" for side, values in labels.items() if len(values)]


def _shares(values: "numpy.ndarray", names: Sequence[str]) -> str:
    counts = Counter(values.tolist())
    return ", ".join(
        f"{names[label] if names else label} {100 * count / len(values):.1f} %"
        for label, count in sorted(counts.items())
    )


def example_lines(silver: Silver, names: Sequence[str]) -> list[str]:
    """Pairs with their labels, from the lowest label to the highest, evenly spread."""
    import numpy

    order = numpy.argsort(silver.labels, kind="stable")
    places = order[numpy.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).astype(int)]
    shown = ((silver.labels[place], *silver.pairs[place]) for place in places.tolist())
    return [
        f"{_shown(label, names)}: {readable(first, None)} | {readable(second, None)}" for label, first, second in shown
    ]


def _shown(label: "numpy.generic", names: Sequence[str]) -> str:
    if label.dtype.kind == "f":
        return f"{label:.2f}"
    return names[int(label)] if names else str(label)
