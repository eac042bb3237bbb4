"""What a race found: its bottom line, its candidates and the curve of its budget, printed, written and stored."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from embexp.core.escaping import as_markdown_code, as_markdown_text, output_console
from embexp.core.run_folder import write_text
from embexp.leaderboards.make import make_leaderboard, write_leaderboard
from embexp.leaderboards.runs import ARTIFACTS, runs_in
from embexp.racing.bottom_line import race_bottom_line
from embexp.racing.record import Race, run_folder
from embexp.racing.standings import (
    HEADINGS,
    Standing,
    standing_csv,
    standing_entries,
    standing_markdown,
    standing_tables,
    standings_of,
    value_of,
)
from embexp.reports.leaderboard_content import BottomLine, Leaderboard, Opening, null_for_nan
from embexp.reports.pictures.budget_curve import draw_budget_curve
from embexp.reports.tables import fitting, print_table
from embexp.sweep.progress import duration
from embexp.tracking.journal import Journal

_CURVE = "plots/budget.png"
_TYPED = ("again", "type")  # labels of lines that are commands


def race_line(race: Race) -> str:
    """The state of a race after a round, for people who watch it."""
    course = race.course
    last = course.rounds[-1]
    best = _leader(race)
    leads = f", {best[0]} leads with {best[1]:.4f}" if best else ""
    left = f"{len(course.left)} of {len(race.candidates)} candidates left{leads}"
    if any(task.is_finish for task in last.tasks):
        return f"the winner is trained to its end, {_spent(race)}"
    ahead = len(course.levels) - 1 - course.levels.index(last.level) + last.is_pilot
    return f"round {len(course.rounds)} of at most {len(course.rounds) + ahead}: {left}, {_spent(race)}"


def _leader(race: Race) -> tuple[str, float] | None:
    """Who leads of those that are left and came furthest, with its value on dev."""
    course = race.course
    known = {each: value for each in course.left if not math.isnan(value := value_of(course, each))}
    if not known:
        return None
    best = max(known, key=lambda each: (course.place(each), known[each]))
    return race.named(best).name, known[best]


def _spent(race: Race) -> str:
    spent, budget = race.course.spent(race.budget), race.budget
    if budget.examples is not None:
        return f"{spent:,.0f} of {budget} spent"
    return f"{duration(spent)}{'' if budget.is_unlimited else f' of {budget}'} spent"


def close_race(race: Race, folder: Path, journal: Journal, untouched: Mapping[int, float]) -> dict[str, Any]:
    """Print how a race ended, write race.md, race.csv and a leaderboard's files, and store all with the parent run.

    Args:
        race: its ending is known, and the runs of its winner have finished.
        folder: of the race.
        untouched: the value of each untouched model on dev, by its number.

    Returns:
        What stands in the parent's result.json: the ending, the bottom line, and a row for each candidate.
    """
    standings = standings_of(race, folder, untouched)
    winner = race.ending.winner
    runs = [] if winner is None else runs_in(run_folder(folder, winner, seed) for seed in race.seeds)
    leaderboard = make_leaderboard(runs, margins=race.course.rules.margin)
    if any(cell.metric.startswith("test/") for cell in leaderboard.trained):
        race.note_shown(len(runs))
        race.write(folder)
    found = race_bottom_line(race, standings, leaderboard, runs)
    journal.result |= {
        "race": race.id,
        "metric": race.metric,
        "ending": asdict(race.ending),
        "bottom_line": asdict(found),
        "candidates": null_for_nan([asdict(each) for each in standings]),
    }
    markdown = _as_markdown(race, standings, found)
    write_text(folder / "race.md", markdown)
    write_text(folder / "race.csv", standing_csv(standings))
    _draw(race, folder / _CURVE, untouched)
    own = replace(leaderboard, bottom_lines=(found,))
    write_leaderboard(own, folder / ARTIFACTS, _opening(race, standings, own), [folder / _CURVE])
    for name, place in (("race.md", None), ("race.csv", None), ("plots", "plots"), (ARTIFACTS, ARTIFACTS)):
        journal.log_artifact(folder / name, place)
    journal.describe(markdown)
    _print(race, standings, found, folder, journal)
    return journal.result


def _opening(race: Race, standings: Sequence[Standing], leaderboard: Leaderboard) -> Opening:
    """What the page has before the leaderboard of the winner."""
    lines = tuple(tuple(standing_entries(each)) for each in standings)
    unseen = any(each.startswith("test/") for each in leaderboard.metrics)
    below = f"The winner{' where the race has not looked' * unseen}" if leaderboard.cells else ""
    return Opening(_title(race), "Candidates", HEADINGS, lines, below)


def _title(race: Race) -> str:
    return f"race {race.id}: {len(race.candidates)} candidates by {race.metric}"


def _as_markdown(race: Race, standings: Sequence[Standing], found: BottomLine) -> str:
    """The bottom line, which is read first, then the table."""
    said = [
        f"- **{name}** {as_markdown_code(text) if name in _TYPED else as_markdown_text(text)}"
        for name, text in found.shown
    ]
    return "\n".join([f"# {as_markdown_text(_title(race))}", "", *said, "", *standing_markdown(standings)]) + "\n"


def _print(race: Race, standings: Sequence[Standing], found: BottomLine, folder: Path, journal: Journal) -> None:
    console = output_console()
    print_table(fitting(standing_tables(standings, _title(race)), console), console)
    where = [
        ("race", f"{race.id} in {folder}, {_spent(race)}"),
        ("page", str(folder / ARTIFACTS / "leaderboard.html")),
        ("tracked", journal.tracker.where()),
    ]
    for name, text in (*found.shown, *where):
        console.print(f"{name:<12}{text}", soft_wrap=True, highlight=False)


def _draw(race: Race, path: Path, untouched: Mapping[int, float]) -> None:
    """The curve of the budget."""
    course, budget = race.course, race.budget
    base = max((value for value in untouched.values() if not math.isnan(value)), default=None)
    best: list[tuple[float, float]] = [(0.0, base)] if base is not None else []
    tried, dropped = [], []
    for place, each in enumerate(course.rounds, 1):
        so_far = replace(course, rounds=course.rounds[:place], elapsed=each.elapsed)
        spent = so_far.spent(budget)
        known = {task.candidate: value_of(so_far, task.candidate) for task in each.tasks}
        own = {candidate: value for candidate, value in known.items() if not math.isnan(value)}
        tried += [(spent, value) for value in own.values()]
        fallen = [value_of(so_far, number) for number in each.dropped]
        dropped += [(spent, value) for value in fallen if not math.isnan(value)]
        if highest := [*own.values(), *(value for _, value in best[-1:])]:
            best.append((spent, max(highest)))
    spent = course.spent(budget)
    drawn = None if budget.is_unlimited or budget.size > 2 * spent else budget.size
    subject, metric = f"race {race.id}, {len(race.candidates)} candidates", race.metric.removeprefix("dev/")
    unit = "seconds" if budget.examples is None else "examples"
    draw_budget_curve(path, subject, best, tried, dropped, base, metric, unit, drawn)
