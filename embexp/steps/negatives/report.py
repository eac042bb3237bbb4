"""What mining found, in numbers and in words, and what to type where many queries have none."""

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.steps.conversions.conversion import ConversionSettings
from embexp.steps.negatives.guards import KEY, Guards

if TYPE_CHECKING:
    import numpy

_BARS = "▁▂▃▄▅▆▇█"
_NUM_BINS = 16
EXAMPLES = 20
_SHOWN_CHARS = 80  # of each text of an example


@dataclass(frozen=True)
class MiningReport:
    """What mining the negatives of a split found.

    Attributes:
        asked: negatives of each query.
        counts: negatives found, by query; `(queries,)`.
        num_documents: how many were searched.
        removed: candidates that a guard took out, by the guard.
        differences: score of the positive minus that of the negative, for each negative; empty without such scores.
        share_above: of the candidates that would be taken without guards that read scores, the share that scores above
            the positive: an estimate of false negatives, as good as the scores are. None without such scores.
        examples: a few queries with a positive and the negatives, to read.
    """

    asked: int
    counts: "numpy.ndarray"
    num_documents: int
    removed: Counter[str]
    differences: "numpy.ndarray"
    share_above: float | None
    examples: tuple[str, ...]

    def __str__(self) -> str:
        queries = len(self.counts)
        few, none = int((self.counts < self.asked).sum()), int((self.counts == 0).sum())
        parts = [f"{self.counts.sum():,} negatives of {queries:,} queries from {self.num_documents:,} documents"]
        parts.append(f"{few:,} ({100 * few / max(queries, 1):.1f} %) have fewer than {self.asked}, {none:,} none")
        if gone := [f"{count:,} {guard}" for guard, count in self.removed.items() if count]:
            parts.append(f"left out: {', '.join(gone)}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """What there is to read beside the numbers: how negatives score, and examples."""
        scored = [f"positive - negative {histogram(self.differences)}"] if len(self.differences) else []
        if self.share_above is not None:
            scored.append(f"{100 * self.share_above:.1f} % of the first candidates score above the (lowest) positive")
        return [*scored, *self.examples]


def histogram(values: "numpy.ndarray", bounds: tuple[float, float] | None = None) -> str:
    """The lowest and highest value (or the bounds), between them how many there are of each size, then the median.

    >>> import numpy
    >>> histogram(numpy.array([0.0, 1.0, 1.0, 1.0, 2.0]))
    '0.00 |▃       █      ▃| 2.00, median 1.00'
    """
    import numpy

    counts, _ = numpy.histogram(values, _NUM_BINS, bounds)
    low, high = bounds or (values.min(), values.max())
    heights = numpy.ceil(counts / counts.max() * len(_BARS)).astype(int)
    bars = "".join(_BARS[height - 1] if height else " " for height in heights.tolist())
    return f"{low:.2f} |{bars}| {high:.2f}, median {numpy.median(values):.2f}"


def readable(text: str, score: float | None) -> str:
    """A text as an example shows it, with its score where there is one.

    >>> readable("a  cat", 0.5), readable("b" * 99, None)[-3:]
    ('a cat [0.50]', 'bb…')
    """
    short = " ".join(text.split())
    short = short if len(short) <= _SHOWN_CHARS else f"{short[: _SHOWN_CHARS - 1]}…"
    return short if score is None else f"{short} [{score:.2f}]"


logger = logging.getLogger(__name__)


def warn_of_missing_negatives(where: str, report: MiningReport, guards: Guards) -> None:
    """Log what to loosen when more than half of the queries have no negative."""
    none, queries = int((report.counts == 0).sum()), len(report.counts)
    if 2 * none > queries:
        logger.warning(
            "%s: %s of %s queries found no negative. %s", where, f"{none:,}", f"{queries:,}", _to_loosen(report, guards)
        )


def tell_of_rows_left_out(where: str, num_rows: int) -> None:
    """Log that rows without a negative do not reach the losses that read triplets."""
    if num_rows:
        logger.info(
            "%s: %s rows have no negative; too_few=keep keeps them in the set only: they are left out where a loss "
            "gets triplets.",
            where,
            f"{num_rows:,}",
        )


def tell_of_further_negatives(name: str, num_negatives: int, conversion: ConversionSettings) -> None:
    """Log how triplets get all negatives, where they would get some."""
    beside = conversion.max_negatives or 1
    if beside < num_negatives:
        logger.info(
            "%s: %d negatives a query; triplets get %d of them: type conversion.max_negatives=%d for all.",
            name,
            num_negatives,
            beside,
            num_negatives,
        )


def _to_loosen(report: MiningReport, guards: Guards) -> str:
    """The guard that took most candidates out, with what to type; without one, where more candidates come from."""
    counts = {key: count for removing, count in report.removed.items() if (key := guards.key_of(removing)) and count}
    if not counts:
        return (
            "Expected candidates besides the known positives: choose another retriever (negatives=embedding), or add "
            f"documents with {KEY}.corpus=<file>."
        )
    key = max(counts, key=counts.get)
    name = f"{KEY}.guards.{key}"
    return (
        f"Expected guards that leave some: {counts[key]:,} candidates went by {name}={getattr(guards, key)}; loosen "
        f"it, or type {name}={'0' if key == 'skip' else 'null'}."
    )
