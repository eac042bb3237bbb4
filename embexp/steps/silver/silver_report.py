"""What the step `silver` tells: gold and silver side by side, the teacher before and after, examples to read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from embexp.errors import listed
from embexp.protocols import PairLabeller
from embexp.steps.negatives.mining_report import EXAMPLES, histogram, readable
from embexp.steps.silver.choosing import Choice
from embexp.steps.silver.labelling import Silver

if TYPE_CHECKING:
    import numpy


STEP = "dataset.steps.silver"
LEAST_SPEARMAN = 0.1  # a teacher below has not learned to label


def warnings_of(teacher: PairLabeller, choice: Choice) -> Iterator[str]:
    """Why the silver pairs may be of no use: a teacher that has not learned, or none of its pairs kept."""
    for name, (before, after) in [*teacher.dev_scores.items()][:1]:
        if after <= before or (name == "spearman" and after < LEAST_SPEARMAN):
            yield (
                f"The teacher of silver pairs has not learned to label them (on dev {name} {before:.4f} untrained, "
                f"{after:.4f} trained). Give it more gold, {STEP}.teacher.trainer.num_train_epochs=<more>, or "
                f"another model: {STEP}.teacher.model=bert_base."
            )
    if not choice.silver.pairs:
        gone = listed(f"{count:,} {why}" for why, count in choice.left_out.items() if count)
        yield (
            f"No silver pair is kept: the train rows are gold alone (left out: {gone}). Type {STEP}.min_confidence="
            f"null, or a smaller number, or {STEP}.like_gold=false, or choose a better {STEP}.teacher.model."
        )


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
