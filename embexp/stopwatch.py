"""Where the time of a run goes: parts that are measured as they begin and end, each without those inside it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STARTING = "starting, composing the configuration"
IMPORTING = "importing torch, transformers, sentence-transformers"
SCORING = "scoring"
TRAINING = "training"
EXPORTING = "exporting"
LOADING = "loading the model"
WORK = (SCORING, TRAINING, EXPORTING, LOADING)  # the beginnings of the names of parts that compute with a model


class Stopwatch:
    """Seconds by part. Time outside of any part is the start's, until `reset`.

    Parts may stand inside one another; a second belongs to the innermost one.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again, as for the next job of a sweep."""
        self._seconds: dict[str, float] = {}
        self._open = [STARTING]
        self._since = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What runs inside, or is decorated with it, counts as this part."""
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def _book(self) -> None:
        now = time.perf_counter()
        self._seconds[self._open[-1]] = self._seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now

    def seconds(self) -> dict[str, float]:
        """Seconds of each part until now, in the order in which they began."""
        self._book()
        return dict(self._seconds)


def overhead(seconds: dict[str, float]) -> float:
    """What is neither work with a model nor the import of the libraries that do it.

    >>> overhead({"training": 5.0, IMPORTING: 3.0, "planning": 0.5, "tracking": 0.25})
    0.75
    """
    return sum(value for name, value in seconds.items() if not name.startswith((*WORK, IMPORTING)))


WATCH = Stopwatch()  # of this process's job


@contextmanager
def timed_job() -> Iterator[None]:
    """What follows it, such as composing the configuration of the next job of a sweep, belongs to the next job."""
    try:
        yield
    finally:
        WATCH.reset()
