"""What one run has for itself besides its configuration: timings, costs, the sweep or study that it belongs to."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from embexp.core.profiling import Costs, Timer

_CURRENT: ContextVar["RunContext | None"] = ContextVar("run context", default=None)


@dataclass(eq=False)
class RunContext:
    """Whoever starts a run makes its context and passes it to `plan_run` and `execute`; no two runs share one.

    Attributes:
        parent: the id that the tracker gave the run above this one, that of a sweep or a study.
        sweep: the id of the sweep that the run is a job of.
        builders: the data sets that were built so far (see `builder_of`); the runs of a sweep or study share them.
        outer: the context of the run inside of which this one runs.
    """

    parent: str | None = None
    sweep: str | None = None
    builders: dict[str, Any] = field(default_factory=dict)
    timer: Timer = field(default_factory=Timer)
    costs: Costs = field(default_factory=Costs)
    outer: "RunContext | None" = None

    def begin_costs(self) -> None:
        """Count costs from here. The system has one peak of memory for all: an outer run notes its own before."""
        outer = self.outer
        while outer is not None:
            outer.costs.note_peak()
            outer = outer.outer
        self.costs.begin()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Inside, `timed` counts for this run."""
        before = _CURRENT.get()
        if before is not self:
            self.outer = before
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)


@contextmanager
def timed(name: str) -> Iterator[None]:
    """What runs inside, or is decorated with it, counts as this part of the current run's time.

    The context comes from a context variable, since parts are marked in trackers and libraries that a YAML makes or
    that serve commands, too: they are not handed a run. Outside of a run nothing is counted.
    """
    context = _CURRENT.get()
    if context is None:
        yield
        return
    with context.timer.part(name):
        yield


def run_part(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a function with an argument `context`: inside it is the current one, and a new one if none is given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, context: RunContext | None = None, **named: Any) -> Any:
            context = context or RunContext()
            with context.current(), context.timer.part(name):
                return function(*arguments, context=context, **named)

        return call

    return decorate
