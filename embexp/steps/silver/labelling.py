"""Labels of what a teacher gives for pairs, and how sure it is of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.protocols import PairLabeller
from embexp.steps.silver.pair_pool import Pair

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Silver:
    """Pairs with the labels that a teacher gave them.

    Attributes:
        labels, confidences: see `labels_of` and `confidences_of`, `(num_pairs,)` each.
    """

    pairs: Sequence[Pair]
    labels: "numpy.ndarray"
    confidences: "numpy.ndarray"

    def only(self, keep: "numpy.ndarray") -> "Silver":
        """Those of the pairs where the mask is true."""
        places = keep.nonzero()[0].tolist()
        return Silver([self.pairs[place] for place in places], self.labels[keep], self.confidences[keep])


def labelled(pairs: Sequence[Pair], labeller: PairLabeller, kind: str) -> Silver:
    """The pairs with their labels; `kind` is score, binary or class."""
    outputs = labeller.label(pairs)
    return Silver(pairs, labels_of(outputs, kind), confidences_of(outputs))


def labels_of(outputs: "numpy.ndarray", kind: str) -> "numpy.ndarray":
    """The label of each pair: a score from 0 to 1, 0 or 1, or the most probable class; `(num_pairs,)`.

    Args:
        outputs: `(num_pairs, classes)`: probability of each class; with one column the score, or that of label 1.
        kind: score, binary or class, as `Shape.label_kind`.

    >>> import numpy
    >>> given = numpy.array([[0.25], [0.75]])
    >>> labels_of(given, "score").tolist(), labels_of(given, "binary").tolist()
    ([0.25, 0.75], [0, 1])
    >>> labels_of(numpy.array([[0.1, 0.7, 0.2]]), "class").tolist()
    [1]
    """
    if kind == "class":
        return outputs.argmax(axis=1)
    values = outputs[:, 0].astype("float64").clip(0, 1)
    return (values >= 0.5).astype("int64") if kind == "binary" else values


def confidences_of(outputs: "numpy.ndarray") -> "numpy.ndarray":
    """The probability of each pair's label; of a score s that of its side of 0.5, the larger of s and 1 - s.

    >>> import numpy
    >>> confidences_of(numpy.array([[0.25], [0.5]])).tolist()
    [0.75, 0.5]
    >>> confidences_of(numpy.array([[0.1, 0.7, 0.2]])).tolist()
    [0.7]
    """
    import numpy

    sides = outputs if outputs.shape[1] > 1 else numpy.concatenate([outputs, 1 - outputs], axis=1)
    return sides.max(axis=1)
