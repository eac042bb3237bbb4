"""A leaderboard as plain data, which terminal, Markdown, CSV, JSON, page and pictures show."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from rich.cells import cell_len

from embexp.reports.tables import shortened

Labels = tuple[str, ...]  # a value for each key of the rows, or of the columns
UNTOUCHED = "(untouched)"
_MILLION = 1_000_000
_BETWEEN = " · "
_RISE = 0.002  # of a metric on dev between the last two evaluations


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its 95 % interval; nan without one."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        return not math.isnan(self.low)

    def interval(self, sign: str = "") -> str:
        """The ends of the interval as text; empty without one.

        >>> Estimate(0.2, 0.15, 0.25).interval(), Estimate(0.2, -0.1, 0.5).interval("+"), Estimate(0.2).interval()
        ('(0.1500 to 0.2500)', '(-0.1000 to +0.5000)', '')
        """
        return f"({self.low:{sign}.4f} to {self.high:{sign}.4f})" if self.has_interval else ""


@dataclass(frozen=True)
class Cost:
    """A column of costs.

    Attributes:
        name: of its metric, `cost/<name>`.
        heading: with its unit.
    """

    name: str
    heading: str
    lower_is_better: bool


@dataclass(frozen=True)
class SeedResult:
    """One run of a cell.

    Attributes:
        score, difference: its own; nan where it was not recorded.
        page: its address in the tracker, with what makes that answer; empty without one.
        folder: where it is; empty where it came from the tracker.
    """

    seed: str
    score: float
    difference: float
    page: str = ""
    folder: str = ""


@dataclass(frozen=True)
class LeaderboardCell:
    """All runs of one configuration, which differ only in their seeds; or an untouched model.

    Attributes:
        metric: its key, such as `test/sts/spearman_cosine`; higher is better.
        group: the number of its group: cells that were evaluated on the same examples, and have a best of their own.
        score: the mean over the seeds; `std` is the standard deviation between them, nan for a single one.
        difference: to the untouched model; nan for that one. Its interval is corrected for the number of cells.
        alone: ends of the 95 % interval of the difference, were this the only cell.
        p: of no difference to it, corrected likewise.
        margin: the smallest difference worth having.
        verdict: see docs/verdicts.md; empty for the untouched model.
        needed: what would decide, where that is undecided.
        lacks_seeds: the intervals cover examples only: the variance between seeds is unknown.
        is_best: the best of its group, or not significantly different from it.
        costs: the mean over the runs, by the name of the cost.
        on_front: no other cell has both a better score and a better chosen cost.
        runs: their ids.
        by_seed: what each of them scored.
        curve: the metric on dev by the examples that training had read; empty where it is not known.
    """

    row: Labels
    column: Labels
    metric: str
    group: int
    score: Estimate
    std: float = math.nan
    difference: Estimate = Estimate(math.nan)
    alone: tuple[float, float] = (math.nan, math.nan)
    p: float = math.nan
    margin: float = math.nan
    verdict: str = ""
    needed: str = ""
    lacks_seeds: bool = False
    is_best: bool = False
    is_base: bool = False
    on_front: bool = False
    costs: Mapping[str, float] = field(default_factory=dict)
    seeds: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    by_seed: tuple[SeedResult, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def still_rises(self) -> bool:
        """Whether the metric on dev was at its highest, and rising, when the training stopped.

        The last gain counts if it is a tenth of all that was gained, and worth having at all.
        """
        values = [value for _, value in self.curve]
        if len(values) < 3 or values[-1] < max(values):
            return False
        return values[-1] - values[-2] >= max(_RISE, 0.1 * (max(values) - min(values)))

    @property
    def score_text(self) -> str:
        return f"{self.score.value:.4f}{'*' if self.is_best else ''}"

    def cost_text(self, cost: Cost) -> str:
        """A cost; empty if it was not measured."""
        return short_number(self.costs[cost.name]) if cost.name in self.costs else ""


@dataclass(frozen=True)
class BottomLine:
    """What to do after a sweep, for each group of a leaderboard.

    Attributes:
        decision: `ship`, `keep the untouched model` or `ship nothing yet`.
        lines: what it rests on, each with its label.
        folder: of the model to ship; empty without one, or where the runs come from MLflow.
        command: what to type: the export of what is shipped, or what would decide; empty where nothing would.
    """

    group: int
    decision: str
    lines: tuple[tuple[str, str], ...]
    folder: str = ""
    command: str = ""

    @property
    def shown(self) -> list[tuple[str, str]]:
        """All lines, from the decision to the command."""
        places = [("folder", self.folder), ("type", self.command)]
        return [("bottom line", self.decision), *self.lines, *(each for each in places if each[1])]


@dataclass(frozen=True)
class Opening:
    """What a page begins with where its leaderboard is only a part of what was found, as after a race.

    Attributes:
        title: of the page.
        heading: of its own table, which stands before the leaderboard.
        headings, lines: of that table; each cell is a text with the number that it is sorted by, or nan.
        below: the heading of the leaderboard.
    """

    title: str
    heading: str
    headings: Labels
    lines: tuple[tuple[tuple[str, float], ...], ...]
    below: str


@dataclass(frozen=True)
class Leaderboard:
    """Cells by rows and columns, the best row first.

    Attributes:
        row_keys, column_keys: the parameters whose values make rows and columns.
        cells: the best first; untouched models are among them.
        costs: those that any cell has; `cost` is the name of the front's.
        notes: what a reader must know, a sentence each.
        bottom_lines: what to do, for each group of cells.
        measured: how this was measured, sentence by sentence, for people who write about it.
    """

    row_keys: Labels
    column_keys: Labels
    rows: tuple[Labels, ...]
    columns: tuple[Labels, ...]
    metrics: tuple[str, ...]
    cells: tuple[LeaderboardCell, ...]
    costs: tuple[Cost, ...]
    cost: str
    notes: tuple[str, ...]
    bottom_lines: tuple[BottomLine, ...] = ()
    measured: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        keys = f"{', '.join(self.row_keys)} x {', '.join(self.column_keys)}"
        return f"{keys}: {', '.join(self.metrics) or 'no finished run'}"

    @property
    def trained(self) -> tuple[LeaderboardCell, ...]:
        """The cells without the untouched models."""
        return tuple(cell for cell in self.cells if not cell.is_base)

    @property
    def chosen_cost(self) -> Cost | None:
        """The cost of the front; None if no cell has it."""
        return next((cost for cost in self.costs if cost.name == self.cost), None)

    @property
    def name_headings(self) -> Labels:
        """The headings of what identifies a cell; the group if there are several."""
        return (*(["group"] if self._has_groups else []), *self.row_keys, *self.column_keys)

    def names_in(self, cell: LeaderboardCell) -> Labels:
        """The values of one cell below these headings."""
        return (*([str(cell.group)] if self._has_groups else []), *cell.row, *cell.column)

    @property
    def _has_groups(self) -> bool:
        return len({cell.group for cell in self.cells}) > 1

    def at(self, row: Labels | None, column: Labels) -> list[LeaderboardCell]:
        """The cells at one place; the untouched models of a column for the row None."""
        return self._by_place.get((row, column), [])

    @cached_property
    def _by_place(self) -> dict[tuple[Labels | None, Labels], list[LeaderboardCell]]:
        found: dict[tuple[Labels | None, Labels], list[LeaderboardCell]] = {}
        for cell in self.cells:
            found.setdefault((None if cell.is_base else cell.row, cell.column), []).append(cell)
        return found


def as_plain(leaderboard: Leaderboard) -> dict[str, Any]:
    """The leaderboard for JSON: nan becomes null."""
    return {"title": leaderboard.title, **null_for_nan(asdict(leaderboard))}


def null_for_nan(value: Any) -> Any:
    """Values for JSON, which knows no nan."""
    if isinstance(value, Mapping):
        return {key: null_for_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def label(labels: Labels, columns: int | None = None) -> str:
    """Values on one line of at most so many columns; each value that is too long is cut.

    >>> label(("mnrl", "30.0")), label(("a-very-long-model", "stsb"), 16)
    ('mnrl · 30.0', 'a-very-l… · stsb')
    """
    if columns is None or cell_len(_BETWEEN.join(labels)) <= columns:
        return _BETWEEN.join(labels)
    widths, left = {}, columns - cell_len(_BETWEEN) * (len(labels) - 1)
    for place, value in sorted(enumerate(labels), key=lambda each: cell_len(each[1])):
        widths[place] = min(cell_len(value), max(2, left // (len(labels) - len(widths))))
        left -= widths[place]
    return _BETWEEN.join(shortened(value, widths[place]) for place, value in enumerate(labels))


def short_number(value: float) -> str:
    """A cost with about three digits, in millions from a million on.

    >>> [short_number(value) for value in (0.25, 12.345, 1228.6, 22_713_216.0)]
    ['0.25', '12.3', '1,229', '22.7M']
    """
    if value >= _MILLION:
        return f"{value / _MILLION:,.3g}M" if value < 1000 * _MILLION else f"{value / _MILLION:,.0f}M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
