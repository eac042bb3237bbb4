"""Bootstrap resamples of examples (Efron & Tibshirani 1993), many at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy

CHUNK = 32  # resamples at a time: few, so that their arrays stay in the processor's cache


class Sample:
    """How often each example occurs in each of several resamples.

    Args:
        counts: float `(resamples, examples)`.
    """

    def __init__(self, counts: numpy.ndarray) -> None:
        self.counts = counts
        self.total = counts.sum(axis=1)
        self._known: dict[Any, tuple[Any, Any]] = {}

    def once(self, make: Callable[["Sample"], Any]) -> Any:
        """`make(self)`, computed once for each `make`, so that statistics share it."""
        return self._once(make, make)

    def only(self, rows: numpy.ndarray) -> "Sample":
        """The same sample restricted to some examples: bool `(examples,)`."""
        return self._once(rows, lambda sample: Sample(sample.counts[:, rows]))

    def _once(self, key: Any, make: Callable[["Sample"], Any]) -> Any:
        if id(key) not in self._known:
            self._known[id(key)] = (key, make(self))  # the key stays alive, so its id stays its own
        return self._known[id(key)][1]


def bootstrap_samples(examples: int, resamples: int, seed: int = 0) -> Iterator[Sample]:
    """All resamples, in chunks; the same ones for the same arguments."""
    random = numpy.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        places = random.integers(0, examples, (size, examples)) + numpy.arange(size)[:, None] * examples
        yield Sample(numpy.bincount(places.ravel(), minlength=size * examples).reshape(size, examples).astype(float))


def observed_sample(examples: int) -> Sample:
    """The examples as they are: each once."""
    return Sample(numpy.ones((1, examples)))
