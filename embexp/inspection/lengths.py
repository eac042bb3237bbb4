"""How long the texts of a column are: in characters, and in the tokens of a model."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset

if TYPE_CHECKING:
    import numpy

BARS = " ▁▂▃▄▅▆▇█"
NUM_BINS = 16
TOKEN_SAMPLE = 5_000  # texts of each column whose tokens are counted


@dataclass(frozen=True)
class Lengths:
    """Lengths of many texts.

    Attributes:
        counts: texts in each of NUM_BINS bins of equal width from `shortest` to `longest`.
    """

    shortest: int
    median: float
    percentile_95: float
    longest: int
    counts: tuple[int, ...]

    @property
    def histogram(self) -> str:
        """A bar for each bin; one that holds any text is never empty."""
        return bars_of(self.counts)


def bars_of(counts: Sequence[int]) -> str:
    """A bar for each count, as high as its share of the highest; a count above 0 is never empty.

    >>> bars_of([0, 1, 50, 100])
    ' ▁▄█'
    """
    most = max(*counts, 1)
    return "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in counts)


def lengths_of(values: "numpy.ndarray") -> Lengths:
    """The distribution of lengths given one by one.

    >>> import numpy
    >>> lengths_of(numpy.array([1, 1, 2, 17])).histogram
    '█▄             ▄'
    """
    import numpy

    shortest, longest = int(values.min()), int(values.max())
    counts, _ = numpy.histogram(values, bins=NUM_BINS, range=(shortest, max(longest, shortest + 1)))
    return Lengths(
        shortest,
        float(numpy.median(values)),
        float(numpy.percentile(values, 95)),
        longest,
        tuple(int(count) for count in counts),
    )


def character_lengths(dataset: EmbeddingDataset, column: str) -> Lengths | None:
    """Lengths in characters of all texts of a column, in all splits; None when there is none."""
    import numpy
    import pyarrow.compute

    parts = [
        numpy.asarray(pyarrow.compute.utf8_length(_flat(batch[column], column in dataset.shape.text_lists)))
        for rows in dataset.splits.values()
        for batch in batches_of(rows)
    ]
    values = numpy.concatenate(parts) if parts else numpy.array([])
    return lengths_of(values) if len(values) else None


def token_lengths(
    dataset: EmbeddingDataset, column: str, count_tokens: Callable[[Sequence[str]], Sequence[int]]
) -> Lengths | None:
    """Lengths in tokens of a seeded sample of a column's texts; None when there is none."""
    import numpy

    texts = sample_of(dataset, column, TOKEN_SAMPLE)
    return lengths_of(numpy.asarray(count_tokens(texts))) if texts else None


def sample_of(dataset: EmbeddingDataset, column: str, most: int, seed: int = 0) -> list[str]:
    """At most `most` texts of a column, drawn from evenly many rows of all splits."""
    draw = random.Random(seed)
    texts: list[str] = []
    for rows in dataset.splits.values():
        share = min(rows.num_rows, -(-most * rows.num_rows // dataset.num_rows))
        places = sorted(draw.sample(range(rows.num_rows), share))
        for value in rows.select(places)[column][:]:
            texts += value if isinstance(value, list) else [value]
    return texts[:most]


def _flat(values, is_list: bool):
    import pyarrow.compute

    return pyarrow.compute.list_flatten(values) if is_list else values
