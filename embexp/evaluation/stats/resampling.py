"""Resamples of examples with replacement (the bootstrap of Efron & Tibshirani 1993), many at a time."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

CHUNK = 32  # resamples at a time: few, so that their arrays stay in the processor's cache


class Draw:
    """How often each example is drawn, in each of several resamples.

    Args:
        counts: float `(resamples, examples)`.
    """

    def __init__(self, counts: "numpy.ndarray") -> None:
        self.counts = counts
        self.total = counts.sum(axis=1)
        self._known: dict[Any, tuple[Any, Any]] = {}

    def once(self, make: Callable[["Draw"], Any]) -> Any:
        """What `make` makes of this draw; the same object is not asked twice, so that statistics can share it."""
        return self._once(make, make)

    def only(self, rows: "numpy.ndarray") -> "Draw":
        """The draw of some examples: bool `(examples,)`."""
        return self._once(rows, lambda draw: Draw(draw.counts[:, rows]))

    def _once(self, key: Any, make: Callable[["Draw"], Any]) -> Any:
        if id(key) not in self._known:
            self._known[id(key)] = (key, make(self))  # the key stays alive, so its id stays its own
        return self._known[id(key)][1]


def draws(examples: int, resamples: int, seed: int = 0) -> Iterator[Draw]:
    """All resamples, in chunks; the same ones for the same numbers."""
    import numpy

    random = numpy.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        places = random.integers(0, examples, (size, examples)) + numpy.arange(size)[:, None] * examples
        yield Draw(numpy.bincount(places.ravel(), minlength=size * examples).reshape(size, examples).astype(float))


def whole(examples: int) -> Draw:
    """The examples themselves: each drawn once."""
    import numpy

    return Draw(numpy.ones((1, examples)))
