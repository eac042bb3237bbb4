"""The bottom line of a race: what to ship and why, how sure that is, what was not tried, and what to type next.

The race decides on dev who is best; test, which it has not looked at, decides whether that one is better than the
untouched model its training began with. A model that is may be shipped, though a better one may not be ruled out yet.
"""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from embexp.config.session import shell_command
from embexp.evaluation.stats.racing import NOT_BETTER_HERE
from embexp.leaderboards.bottom_line import KEEP, SHIP, WAIT, chosen_run, files_of
from embexp.leaderboards.cells import pareto_front
from embexp.racing.record import Race
from embexp.racing.rounds import BETTER, EQUAL, HERE, NOTHING, TIED, UNDECIDED, UNTOUCHED
from embexp.racing.standings import Standing
from embexp.reports.leaderboard_content import BottomLine, Leaderboard, LeaderboardCell, label, short_number
from embexp.reports.verdict_words import BETTER as IS_BETTER
from embexp.reports.verdict_words import IDENTICAL, WORSE, kind_of
from embexp.tracking.mlflow_runs import RecordedRun

_Lines = Iterator[tuple[str, str]]
_MOST_NAMED = 5  # candidates on one line
_FASTER = 1.1  # times: less is none, as the next measurement may reverse it
_SPEED = "encode_texts_per_second"


def race_bottom_line(
    race: Race, standings: Sequence[Standing], leaderboard: Leaderboard, runs: Sequence[RecordedRun]
) -> BottomLine:
    """What to do after a race.

    Args:
        standings: of all candidates and untouched models.
        leaderboard: of the winner's runs; without a cell where none has finished.
        runs: those of the winner.
    """
    cell = next((each for each in leaderboard.trained), None)
    by_id = {run.id: run for run in runs}
    decision = _decision(race, cell)
    winner = next((each for each in standings if each.number == race.ending.winner), None)
    lines = [
        *(_shipped(winner, cell, by_id) if decision == SHIP and winner and cell else ()),
        *_why(race, standings, winner),
        *_as_good(race, standings, winner),
        *_how_sure(race),
        *(_on_test(race, winner, cell) if winner and cell else _without_test(winner)),
        *_next(race),
        *_not_tried(race, standings),
        *_costs(standings, winner, Path(files_of(cell, by_id)[0]) if cell else None),
        *(_again(race, cell, by_id) if cell else ()),
    ]
    return BottomLine(1, decision, tuple(lines), *(files_of(cell, by_id) if cell else ("", "")))


def _decision(race: Race, cell: LeaderboardCell | None) -> str:
    status, found = race.ending.status, kind_of(cell.verdict) if cell else ""
    if status == UNTOUCHED:  # on these examples of dev; test has others
        return WAIT if found == IS_BETTER and NOT_BETTER_HERE in race.course.dropped.values() else KEEP
    if status == NOTHING or not found or _other_untouched(race):
        return WAIT
    if found == IS_BETTER:
        return SHIP  # whether there is a better one is said beside it
    return KEEP if found in (WORSE, "equal", IDENTICAL) and status != UNDECIDED else WAIT


def _other_untouched(race: Race) -> list[str]:
    """The names of untouched models that may be better than the winner, and that test has not compared it with."""
    own = race.named(race.ending.winner).model
    rivals = (race.named(each) for each in race.ending.rivals if each < 0)
    return [each.name for each in rivals if each.model != own]


def _shipped(winner: Standing, cell: LeaderboardCell, runs: Mapping[str, RecordedRun]) -> _Lines:
    run, chosen = chosen_run(cell, runs)
    yield "ship", f"{winner.name}, seed {run.seed}{chosen}"


def _why(race: Race, standings: Sequence[Standing], winner: Standing | None) -> _Lines:
    """How the race has ended, on dev."""
    status, margin = race.ending.status, f"{race.course.rules.margin:g}"
    on_dev = " on these examples of dev" if NOT_BETTER_HERE in race.course.dropped.values() or status == HERE else ""
    name = f"{winner.name} ({winner.value:.4f} on dev)" if winner else ""
    if status == BETTER:
        others = _others(standings, winner)
        yield "why", f"{name}: each of {others} is worse on the same examples"
    elif status == EQUAL:
        yield "why", f"{name}: each other candidate was worse than the one that led, or not ahead of it by {margin}"
    elif status == HERE:
        yield "why", f"{name}: each other candidate was not ahead by {margin} of the one that led{on_dev}"
    elif status == TIED:
        after = f"after {_number(len(race.seeds), 'seed')} of each that is left"
        yield "why", f"{name}: no candidate is shown to be better than it by {margin}, {after}"
        for each in _other_untouched(race):
            yield "undecided", f"{each} may be better by {margin} or more; test has not scored it"
    elif status == UNDECIDED:
        yield "leads", f"{name} so far: it is not decided whether another one is better"
        known = {each.number: each for each in standings}
        rivals = sorted((known[each] for each in race.ending.rivals), key=lambda each: -each.value)
        for each in rivals[:_MOST_NAMED]:
            shown = f": {each.lead_text} to the leader" if not math.isnan(each.lead) else ""
            yield "undecided", f"{each.name} may be better by {margin} or more{shown}"
        if more := rivals[_MOST_NAMED:]:
            yield "undecided", f"and {len(more)} more"
    elif status == UNTOUCHED:
        known = [each for each in standings if each.number < 0 and not math.isnan(each.value)]
        kept = max(known, key=lambda each: each.value)
        yield "why", f"{kept.name} ({kept.value:.4f} on dev): no candidate is better than it by {margin}{on_dev}"
        if winner:
            yield "best", f"of those that were trained: {name}"
    else:
        yield "why", "no training came to its end"


def _others(standings: Sequence[Standing], winner: Standing | None) -> str:
    """How many the winner was compared with."""
    trained = sum(each.number >= 0 and each is not winner and not each.error for each in standings)
    untouched = sum(each.number < 0 for each in standings)
    return f"{_number(trained, 'other candidate')} and {_number(untouched, 'untouched model')}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _as_good(race: Race, standings: Sequence[Standing], winner: Standing | None) -> _Lines:
    """Where none is better by the margin: who came to the end and is not shown to be worse, who of them is cheaper."""
    if race.ending.status not in (EQUAL, HERE, TIED) or not winner:
        return
    others = (each for each in standings if each is not winner and not each.error)
    at_the_end = (each for each in others if each.seeds or each.number < 0)
    equal = [each for each in at_the_end if each.high >= 0 or each.has_led]
    if equal:
        where = " on other examples" if race.ending.status == HERE else ""
        yield "as good", f"not shown to be worse{where}: {_named(each.name for each in equal)}"
    speed = _speed(winner)
    faster = [each for each in equal if speed and _speed(each) > _FASTER * speed]
    if faster:
        shown = (f"{each.name} ({short_number(_speed(each))} texts/s)" for each in faster)
        yield "cheaper", f"{_named(shown)}; {winner.name} has {short_number(speed)}"


def _named(names: Iterator[str]) -> str:
    """
    >>> _named(iter("abcdefg"))
    'a, b, c, d, e and 2 more'
    """
    every = [*names]
    more = len(every) - _MOST_NAMED
    return ", ".join(every[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _speed(each: Standing) -> float:
    return (each.costs or {}).get(_SPEED, 0.0)


def _how_sure(race: Race) -> _Lines:
    rules = race.course.rules
    if race.ending.status == NOTHING:
        return
    compared = f"over {_number(len(rules.levels), 'look')} at {_number(rules.rivals, 'rival')} each"
    best = f"a candidate that is the best on dev by more than {rules.margin:g}"
    yield "how sure", f"the chance that a race drops {best} is at most {100 * rules.alpha:g} %, {compared}"


def _on_test(race: Race, winner: Standing, cell: LeaderboardCell) -> _Lines:
    """The honest number: of data that the race has not looked at."""
    split, seeds = cell.metric.partition("/")[0], _number(len(cell.seeds), "seed")
    gain = f"{cell.difference.value:+.4f} {cell.difference.interval('+')}".rstrip()
    score = f"{cell.metric} {cell.score.value:.4f} {cell.score.interval()}".rstrip()
    verdict = f"{cell.verdict}; {cell.needed}" if cell.needed else cell.verdict
    yield split, f"{winner.name}, {seeds}: {score}, {gain} to the untouched {label(cell.column)}: {verdict}"
    if split == "test":
        yield "note", "the race has not looked at test; the values on dev picked the best one and flatter it"
        yield from _shown_before(race)
    else:
        yield (
            "note",
            "there is no test split: dev picked the best one and flatters it; test=<file> would judge it",
        )
    if cell.lacks_seeds:
        yield "note", "one seed: this is about this model, not about what another seed would give"


def _shown_before(race: Race) -> _Lines:
    """What earlier endings have shown of test: whoever went on has seen it."""
    earlier = race.shown[:-1]
    if not earlier:
        return
    times = "once" if len(earlier) == 1 else f"{len(earlier)} times"
    endings = (f"of {race.named(each['candidate']).name} after {each['budget']}" for each in earlier)
    yield "note", f"test was shown {times} before, {_named(endings)}: data that nobody has seen would be a first look"


def _without_test(winner: Standing | None) -> _Lines:
    if winner:
        yield "note", f"the runs of {winner.name} have not been scored at their end"


def _next(race: Race) -> _Lines:
    """What would decide a race that is not decided."""
    course, budget = race.course, race.budget
    if NOT_BETTER_HERE in course.dropped.values() and race.ending.status in (HERE, UNTOUCHED):
        yield "next", "more examples of dev would tell more; more seeds would hardly put another one ahead on these"
    if race.ending.status == TIED:
        more = "more examples of dev would tell more, and so would a race with more seeds (race.seeds)"
        yield "next", f"all seeds are trained: {more}"
    if race.ending.status == UNDECIDED or (race.ending.status == NOTHING and course.left):
        if not budget.is_unlimited:
            yield "next", f"the same command with a larger budget goes on from here, such as {_larger_budget(race)}"
        else:
            yield "next", "the same command goes on from here"


def _larger_budget(race: Race) -> str:
    """Twice as much; where nothing came to its end at least what one training of each candidate takes."""
    budget, ended = race.budget, race.ending.status != NOTHING
    if budget.examples is not None:
        return f"budget={max(2 * budget.examples, 0 if ended else sum(race.course.rules.examples))}examples"
    needed = 0.0 if ended else race.course.spent(budget) + race.course.estimate(seeds=1)
    seconds = max(2 * budget.seconds, 60 * math.ceil(needed / 60))
    return f"budget={seconds / 60:.0f}m" if seconds % 60 == 0 else f"budget={seconds:g}s"


def _not_tried(race: Race, standings: Sequence[Standing]) -> _Lines:
    for each in [each for each in standings if each.error][:_MOST_NAMED]:
        yield "failed", f"{each.name}: {each.error}"
    waiting = [each.name for each in standings if not each.has_begun]
    if waiting:
        yield "not reached", _named(iter(waiting))
    for line in race.left_out:
        yield "not tried", line


def _costs(standings: Sequence[Standing], winner: Standing | None, model: Path | None) -> _Lines:
    """What the winner would cost in production, and who is on the front of value and speed; only what was measured."""
    found = (winner.costs or {}) if winner else {}
    parts = [f"{short_number(found[_SPEED])} texts/s"] if _SPEED in found else []
    parts += [f"{short_number(found['parameters'])} parameters"] if "parameters" in found else []
    parts += [f"{found['dimensions']:.0f} dimensions"] if found.get("dimensions") else []
    if model and model.is_dir():
        size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
        parts.append(f"{short_number(size / 1e6)} MB on disk")
    if parts and winner:
        yield "costs", f"{winner.name}: {', '.join(parts)}, as measured here"
    known = [each for each in standings if each.share and _speed(each)]
    front = [
        each
        for each, is_on in zip(known, pareto_front([(each.value, _speed(each)) for each in known]), strict=True)
        if is_on
    ]
    if len(known) > 1:
        shown = (f"{each.name} ({each.value:.4f}, {short_number(_speed(each))})" for each in front)
        yield "front", f"of dev and texts/s, of {len(known)} that were measured: {_named(shown)}"


def _again(race: Race, cell: LeaderboardCell, runs: Mapping[str, RecordedRun]) -> _Lines:
    """The plain command of the run."""
    run, _ = chosen_run(cell, runs)
    overrides = race.named(race.ending.winner).overrides
    yield "again", shell_command("", map(shlex.quote, [*overrides, f"seed={run.seed}"]))
