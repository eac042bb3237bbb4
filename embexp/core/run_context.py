"""What one run has for itself besides its configuration: timings, costs, the sweep or study that it belongs to."""

import ctypes
import functools
import gc
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

STARTING = "starting, composing the configuration"
IMPORTING = "importing torch, transformers, sentence-transformers"
SCORING = "scoring"
TRAINING = "training"
EXPORTING = "exporting"
LOADING = "loading the model"
_WORK = (SCORING, TRAINING, EXPORTING, LOADING)  # the beginnings of the names of parts that compute with a model


class Timer:
    """Seconds by part; time outside of any part is the start's. A second belongs to the innermost part only.

    Args:
        since: when the start began, by `time.perf_counter`; None: now.
    """

    def __init__(self, since: float | None = None) -> None:
        self._seconds: dict[str, float] = {}
        self._open = [STARTING]
        self._since = time.perf_counter() if since is None else since

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What runs inside counts as this part."""
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
    return sum(value for name, value in seconds.items() if not name.startswith((*_WORK, IMPORTING)))


_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class Costs:
    """Costs of one run, counted from `begin` on."""

    def __init__(self) -> None:
        self._measures_memory = False
        self._noted_peak = 0.0
        self._sizes: dict[str, float] = {}
        self._texts = 0
        self._seconds = 0.0

    def begin(self) -> None:
        """Let the system forget its peak of memory so far, where it can."""
        self._measures_memory = _reset_peak()

    def note_peak(self) -> None:
        """Keep the peak of memory until now, since another run is about to let the system forget it."""
        if self._measures_memory:
            self._noted_peak = max(self._noted_peak, _peak_mb())

    def add_scoring(self, model: "SentenceTransformer", texts: int, seconds: float) -> None:
        """Note a scoring of the model that is trained: so many distinct texts were encoded in so many seconds."""
        self._sizes["cost/parameters"] = float(sum(parameter.numel() for parameter in model.parameters()))
        self._sizes["cost/dimensions"] = float(model.get_embedding_dimension() or 0)
        self._texts += texts
        self._seconds += seconds

    def metrics(self) -> dict[str, float]:
        """`cost/<what>` of all that is known: on a GPU the peak is that of its memory, without the CPU's."""
        found = {}
        if self._measures_memory and (peak := max(self._noted_peak, _peak_mb())):
            found["cost/peak_memory_mb"] = peak
        found |= self._sizes
        if self._seconds > 0:
            found["cost/encode_texts_per_second"] = self._texts / self._seconds
        return found


def _reset_peak() -> bool:
    """Whether the peak of memory counts from now on."""
    if _on_gpu():
        import torch

        torch.cuda.reset_peak_memory_stats()
        return True
    if not _CLEAR.exists():  # another system than Linux
        return False
    # Hand what earlier runs of the process have freed back to the system: the C library would keep it as resident.
    # Some stays, in pages that are partly used: 850 MB of a static model became 1,010 after eight steps of MiniLM in
    # the same process, and 1,410 without this.
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc only
        trim(0)
    try:
        _CLEAR.write_text("5")  # proc(5): the peak of resident memory becomes what is resident now
    except OSError:  # a container that does not let us
        return False
    return True


def _peak_mb() -> float:
    if _on_gpu():
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _on_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


_CURRENT: ContextVar["RunContext | None"] = ContextVar("run context", default=None)


@dataclass(eq=False)
class RunContext:
    """The code that starts a run makes its context and passes it to `plan_run` and `execute`; no two runs share one.

    Attributes:
        parent: the id that the tracker gave the run above this one, that of a sweep or a study.
        sweep: the id of the sweep that the run is a job of.
        builders: the data sets that were built so far (see `builder_of`); the runs of a sweep or study share them.
        outer: the context of the run inside of which this one runs.
        pause: the share of the main stage's training (above 0, at most 1; of its steps, or of `max_seconds` where that
            limits it) at which the run stops with `Paused`: at the first evaluation with its checkpoint at or after it,
            or at the end. Nothing is scored on test then. None: the run goes on to its end.
    """

    parent: str | None = None
    sweep: str | None = None
    builders: dict[str, Any] = field(default_factory=dict)
    timer: Timer = field(default_factory=Timer)
    costs: Costs = field(default_factory=Costs)
    outer: "RunContext | None" = None
    pause: float | None = None

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


def import_data_libraries() -> None:
    """What reads rows (half a second); sentence-transformers would import it, too."""
    import datasets  # noqa: F401


def import_training_libraries() -> None:
    """What trains (three seconds and more).

    oneDNN keeps what it compiles for 1,024 shapes, and hardly two batches share one: 0.5 GB after 600 steps. The
    libraries' half a million objects stay: the garbage collector, which looks at them for half a second, skips them.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    collects = gc.isenabled()
    gc.disable()
    try:
        import datasets
        import sentence_transformers  # noqa: F401
    finally:
        if collects:
            gc.enable()
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # no line for each file that is read
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    if not gc.get_freeze_count():
        gc.freeze()


_JOB: ContextVar[str] = ContextVar("the job of a sweep that runs", default="")


@contextmanager
def progress_of(job: str) -> Iterator[None]:
    """Inside, progress is that of a job: its name stands before each title, and no bar is left behind."""
    token = _JOB.set(job)
    try:
        yield
    finally:
        _JOB.reset(token)


@contextmanager
def only_warnings(known: set[str]) -> Iterator[None]:
    """Inside, the terminal gets of the log only warnings that are not `known`, each once; files get all."""

    def shows(record: logging.LogRecord) -> bool:
        if not hasattr(record, "is_new_warning"):  # decided once for all handlers
            text = record.getMessage()
            record.is_new_warning = record.levelno >= logging.WARNING and text not in known
            known.update({text} if record.is_new_warning else ())
        return record.is_new_warning

    terminals = [each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler]
    for each in terminals:
        each.addFilter(shows)
    try:
        yield
    finally:
        for each in terminals:
            each.removeFilter(shows)


_LEAST_SECONDS, _MOST_SECONDS, _SHARE = 5.0, 30.0, 0.1  # between two lines of progress, and what is worth one


class ProgressLines:
    """In place of a progress bar where there is no terminal: a line now and then, as logs of Slurm and CI want it.

    It has of tqdm what embexp uses. What is done within five seconds writes nothing.

    Args:
        total: None where it is not known.
    """

    def __init__(self, title: str, total: int | None, unit: str, initial: int = 0) -> None:
        self.title, self.total, self.unit, self.n = title, total, unit, initial
        self._written, self._at, self._values = initial, time.monotonic(), ""

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, number: int) -> None:
        """So many more are done."""
        self.n += number
        passed = time.monotonic() - self._at
        is_worth_it = self.total is None or self.n - self._written >= _SHARE * self.total
        if passed < (_LEAST_SECONDS if is_worth_it and self.total else _MOST_SECONDS):
            return
        share = f" of {self.total:,} {self.unit}s ({self.n / self.total:.0%})" if self.total else f" {self.unit}s"
        print(f"{self.title}: {self.n:,}{share}{self._values}", file=sys.stderr, flush=True)
        self._written, self._at = self.n, time.monotonic()

    def set_postfix(self, values: dict[str, str], refresh: bool = False) -> None:
        """What the next line shows besides the number."""
        self._values = "".join(f", {key} {value}" for key, value in values.items())

    def close(self) -> None:
        """Nothing is left to show."""


_BAR = 100  # columns of a terminal; in fewer there is no bar, for the numbers to stay whole


def progress_bar(
    title: str | None, total: int | None, unit: str, initial: int = 0, leave: bool = False, **more: Any
) -> Any:
    """tqdm's bar on a terminal, where a job of a sweep is only its number; else a line now and then.

    None in place of a title shows nothing.
    """
    job, is_terminal = _JOB.get(), sys.stderr.isatty()
    if title and job:
        title, leave = (f"{job.split()[0]} {title}" if is_terminal else f"{job}: {title}"), False
    if title and not is_terminal:
        return ProgressLines(title, total, unit, initial)
    if total and shutil.get_terminal_size().columns < _BAR:
        more["bar_format"] = "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    from tqdm.auto import tqdm

    shown = {"desc": title, "total": total, "unit": unit, "initial": initial, "leave": leave}
    return tqdm(**shown, disable=not title, **more)
