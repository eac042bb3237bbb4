"""Where the candidates of a race stand: how far each came, what it showed, when and why it was dropped; as tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from embexp.core.escaping import markdown_table, report_csv
from embexp.core.run_folder import RESULT, read_json, readable
from embexp.evaluation.stats.racing import NOT_BETTER, NOT_BETTER_HERE, fate_of
from embexp.experiment.pausing import costs_so_far
from embexp.racing.course import Course
from embexp.racing.record import Entrant, Race, run_folder
from embexp.racing.rounds import UNDECIDED, UNTOUCHED, Round
from embexp.reports.tables import narrowing, shortened, table_of

_COSTS = ("encode_texts_per_second", "parameters", "dimensions")
HEADINGS = ("candidate", "dev", "reached", "seconds", "lead, with limits", "outcome")
_GO_FIRST = ("seconds", "lead, with limits", "reached")  # columns that a narrow terminal goes without
ON_DEV = " on this dev"  # ends the outcome of who may be better on other examples
_OUTCOME = 28  # columns of an outcome in a narrow terminal; race.md has all of it
_OF_ALL = ("number", "name", "value", "share", "seeds", "seconds", "lead", "low", "high", "here", "round", "outcome")


@dataclass(frozen=True)
class Standing:
    """A candidate, or an untouched model, as the race has left it.

    Attributes:
        value: on dev, the mean over the seeds that were trained to the end, or else the last value; nan without one.
        share: how much of its training it came through; 0 of an untouched model.
        seeds: how many were trained to the end.
        lead, low, high, here: over the leader at the last look at it, the limits of that, and the upper one on these
            examples of dev; nan of the leader and of those that were not compared.
        has_led: it was the leader at the last look at it.
        round: in which it failed or was dropped, from 1; 0 where it was not.
        costs: what was measured of its runs, by `_COSTS`.
    """

    number: int
    name: str
    value: float
    outcome: str
    share: float = 0.0
    seeds: int = 0
    seconds: float = 0.0
    lead: float = math.nan
    low: float = math.nan
    high: float = math.nan
    here: float = math.nan
    round: int = 0
    has_led: bool = False
    error: str = ""
    costs: Mapping[str, float] | None = None

    @property
    def has_begun(self) -> bool:
        return self.number < 0 or self.share > 0 or bool(self.error)

    @property
    def lead_text(self) -> str:
        if math.isnan(self.lead):
            return "leads" if self.has_led else ""
        ends = "no limits" if math.isinf(self.low) else f"{self.low:+.4f} to {self.high:+.4f}"
        on_dev = f", on this dev at most {self.here:+.4f}" if self.outcome.endswith(ON_DEV) else ""
        return f"{self.lead:+.4f} ({ends}{on_dev})"

    @property
    def reached(self) -> str:
        """How far it came: a share of its training, or seeds."""
        if self.number < 0 or not self.share:
            return "-"
        return f"{self.seeds} seed{'s' * (self.seeds > 1)}" if self.seeds else f"{100 * self.share:.3g} %"

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows of it."""
        value = "-" if math.isnan(self.value) else f"{self.value:.4f}"
        seconds = "-" if self.number < 0 else f"{self.seconds:,.0f}"
        return self.name, value, self.reached, seconds, self.lead_text, self.outcome


def standings_of(race: Race, folder: Path, untouched: Mapping[int, float]) -> list[Standing]:
    """All candidates and untouched models: the winner, those that are left, those that were dropped the latest first.

    Args:
        folder: of the race.
        untouched: the value of each untouched model on dev, by its number.
    """
    trained = [_of_candidate(race, each, folder) for each in race.candidates]
    others = [_of_untouched(race, each, untouched) for each in race.untouched]
    return sorted([*trained, *others], key=lambda each: _place(race, each))


def _of_candidate(race: Race, entrant: Entrant, folder: Path) -> Standing:
    course, number = race.course, entrant.number
    done = [(task, result) for _, task, result in course.done() if task.candidate == number]
    is_out = number in course.dropped
    ends = {place: each.dropped[number] for place, each in enumerate(course.rounds, 1) if number in each.dropped}
    last = max(ends, default=0) if is_out else 0
    error = next((_first_line(result.error) for _, result in done if result.error), "")
    return Standing(
        number,
        entrant.name,
        value_of(course, number),
        _outcome(race, number, last, ends.get(last, ""), error),
        share=max((task.level.share for task, result in done if not result.error), default=0.0),
        seeds=len({task.level.seed for task, result in done if task.level.share == 1 and not result.error}),
        seconds=sum(result.seconds for task, result in done if not task.is_finish),
        **_lead(race, number),
        round=last,
        error=error,
        costs=_measured(race, number, folder),
    )


def _of_untouched(race: Race, entrant: Entrant, untouched: Mapping[int, float]) -> Standing:
    lead, value = _lead(race, entrant.number), untouched.get(entrant.number, math.nan)
    known = [each for each in untouched.values() if not math.isnan(each)]
    if race.ending.status == UNTOUCHED and known and value == max(known):
        said = "to be kept"
    elif "high" not in lead:
        said = "leads" if lead else "not compared"
    else:
        said = why_said(fate_of(lead["high"], lead["here"], race.course.rules.margin), race) or "may be better"
    return Standing(entrant.number, entrant.name, value, f"not trained: {said}", **lead)


def value_of(course: Course, candidate: int) -> float:
    """On dev: the mean over the seeds that were trained to the end, else the last value; nan without one."""
    found = [(task, result.value) for _, task, result in course.done() if task.candidate == candidate]
    known = [(task, value) for task, value in found if not task.is_finish and not math.isnan(value)]
    full = [value for task, value in known if task.level.share == 1]
    return fmean(full) if full else known[-1][1] if known else math.nan


def _lead(race: Race, number: int) -> dict[str, Any]:
    """The lead at the last look that it was part of; nothing where there was none."""
    looks = [each for each in race.course.rounds if number in each.leads or each.leader == number]
    if not looks:
        return {}
    if looks[-1].leader == number:
        return {"has_led": True}
    return lead_in(looks[-1], number)


def lead_in(ended: Round, number: int) -> dict[str, float]:
    """The lead that a round showed of a candidate, by the names of `Standing`."""
    return dict(zip(("lead", "low", "high", "here"), ended.leads[number], strict=True))


def _outcome(race: Race, number: int, last: int, why: str, error: str) -> str:
    if error:
        return f"round {last}: failed, {error}" if last else f"failed: {error}"
    if last:
        return f"round {last}: {why_said(why, race)}"
    if number == race.ending.winner:
        return "leads" if race.ending.status == UNDECIDED else "winner"
    if race.course.place(number):
        return "still in"
    return "not begun" if race.budget.is_unlimited else "not reached by the budget"


def why_said(why: str, race: Race) -> str:
    """Why a candidate is out, in words."""
    margin = f"{race.course.rules.margin:g}"
    return {NOT_BETTER: f"not better by {margin}", NOT_BETTER_HERE: f"not better by {margin}{ON_DEV}"}.get(why, why)


def _first_line(error: str) -> str:
    return (error.splitlines() or [""])[0]


def _measured(race: Race, number: int, folder: Path) -> dict[str, float]:
    """What production would ask for, as the first run of a candidate that says so has measured it.

    A run that has not come to its end has measured it at its rungs.
    """
    runs = [run_folder(folder, number, seed) for seed in race.seeds]
    ended = readable([path for run in runs if (path := run / RESULT).is_file()], read_json)
    for metrics in (*(result.get("metrics", {}) for _, result in ended), *map(costs_so_far, runs)):
        if found := {name: metrics[f"cost/{name}"] for name in _COSTS if f"cost/{name}" in metrics}:
            return found
    return {}


def _place(race: Race, each: Standing) -> tuple[float, ...]:
    """Orders standings."""
    if each.number == race.ending.winner and not each.round:
        return (0,)
    value = math.inf if math.isnan(each.value) else -each.value
    if each.error or not each.has_begun:
        return 3, not each.error, each.number
    return (2, -each.round, value, each.number) if each.round else (1, value, each.number)


def standing_tables(standings: Sequence[Standing], title: str) -> list[Table]:
    """The table, wide and ever narrower; before any column goes, outcomes are cut."""
    lines = [each.cells for each in standings]
    short = [(*line[:-1], shortened(line[-1], _OUTCOME)) for line in lines]
    return [table_of(title, HEADINGS, lines, words=HEADINGS[-1:]), *narrowing(title, HEADINGS, short, _GO_FIRST)]


def standing_markdown(standings: Sequence[Standing]) -> list[str]:
    """The lines of the same table."""
    return markdown_table(HEADINGS, [each.cells for each in standings], right=(1, 3))


def standing_csv(standings: Sequence[Standing]) -> str:
    """All numbers in full."""
    lines: list[list[Any]] = [[*_OF_ALL, *_COSTS]]
    for each in standings:
        values = [getattr(each, name) for name in _OF_ALL]
        values += [(each.costs or {}).get(name) for name in _COSTS]
        lines.append(["" if isinstance(value, float) and not math.isfinite(value) else value for value in values])
    return report_csv(lines)


def standing_entries(each: Standing) -> list[tuple[str, float]]:
    """The cells of a line of the page: text, and the number by which it is sorted; nan: by its text."""
    numbers = (math.nan, each.value, each.seeds or each.share, each.seconds or math.nan, each.lead, math.nan)
    return [*zip(each.cells, numbers, strict=True)]
