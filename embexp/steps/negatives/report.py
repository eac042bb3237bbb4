"""What mining found, in numbers and in words."""

from collections import Counter
from dataclasses import dataclass

import numpy

_BARS = "▁▂▃▄▅▆▇█"
_NUM_BINS = 16
EXAMPLES = 20
_SHOWN_CHARS = 80  # of each text of an example


@dataclass(frozen=True)
class MiningReport:
    """What mining the negatives of a split found.

    Attributes:
        num_negatives: that each query should get.
        counts: negatives found, by query; `(queries,)`.
        num_documents: how many were searched.
        removed: candidates that a guard took out, by the guard.
        differences: score of the positive minus that of the negative, for each negative; empty without such scores.
        share_above: of the candidates that would be taken without guards that read scores, the share that scores above
            the positive: an estimate of false negatives, as good as the scores are. None without such scores.
        examples: a few queries with a positive and the negatives, to read.
    """

    num_negatives: int
    counts: numpy.ndarray
    num_documents: int
    removed: Counter[str]
    differences: numpy.ndarray
    share_above: float | None
    examples: tuple[str, ...]

    def __str__(self) -> str:
        queries = len(self.counts)
        few, none = int((self.counts < self.num_negatives).sum()), int((self.counts == 0).sum())
        parts = [f"{self.counts.sum():,} negatives of {queries:,} queries from {self.num_documents:,} documents"]
        share = 100 * few / max(queries, 1)
        parts.append(f"{few:,} ({share:.1f} %) have fewer than {self.num_negatives}, {none:,} none")
        if gone := [f"{count:,} {guard}" for guard, count in self.removed.items() if count]:
            parts.append(f"left out: {', '.join(gone)}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """What to read besides the numbers: how negatives score, and examples."""
        scored = [f"positive - negative {histogram(self.differences)}"] if len(self.differences) else []
        if self.share_above is not None:
            scored.append(f"{100 * self.share_above:.1f} % of the first candidates score above the (lowest) positive")
        return [*scored, *self.examples]


def histogram(values: numpy.ndarray, bounds: tuple[float, float] | None = None) -> str:
    """The lowest and highest value (or the bounds), between them how many there are of each size, then the median.

    >>> import numpy
    >>> histogram(numpy.array([0.0, 1.0, 1.0, 1.0, 2.0]))
    '0.00 |▃       █      ▃| 2.00, median 1.00'
    """
    counts, _ = numpy.histogram(values, _NUM_BINS, bounds)
    low, high = bounds or (values.min(), values.max())
    heights = numpy.ceil(counts / counts.max() * len(_BARS)).astype(int)
    bars = "".join(_BARS[height - 1] if height else " " for height in heights.tolist())
    return f"{low:.2f} |{bars}| {high:.2f}, median {numpy.median(values):.2f}"


def shortened(text: str, score: float | None = None) -> str:
    """A text as an example shows it, with its score where there is one.

    >>> shortened("a  cat", 0.5), shortened("b" * 99)[-3:]
    ('a cat [0.50]', 'bb…')
    """
    short = " ".join(text.split())
    short = short if len(short) <= _SHOWN_CHARS else f"{short[: _SHOWN_CHARS - 1]}…"
    return short if score is None else f"{short} [{score:.2f}]"
