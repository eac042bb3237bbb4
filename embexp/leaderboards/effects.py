"""Which parts of the data help: the run as a whole beside the same without each part, and what that decides.

The effect of a part is the score of the whole minus that without the part, on the same examples and over seeds. It
helps where that is better, hurts where it is worse, and has no effect within the margin where both are equal; else more
seeds or examples are wanted. The verdicts of all parts are corrected together, as a leaderboard corrects its own.
"""

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from embexp.config.session import shell_command
from embexp.errors import listed
from embexp.evaluation.stats.multiple_comparisons import CorrectedVerdict, correct_verdicts
from embexp.evaluation.stats.seeds import LEVEL, Cell, Interval, cell_difference
from embexp.experiment.sweep_record import ONLY, WHOLE, WITHOUT
from embexp.leaderboards.axes import PART, Axes, RunEntry
from embexp.leaderboards.bottom_line import MOST_SEEDS, deciding, job_with_seeds
from embexp.leaderboards.cells import GroupResult
from embexp.reports.leaderboard_content import BottomLine, Estimate, Labels, LeaderboardCell, label
from embexp.reports.verdict_words import BETTER, IDENTICAL, NO_INTERVAL, WORSE, kind_of

HELPS, HURTS, NO_EFFECT, OPEN = "helps", "hurts", "no effect", "undecided"
_WORDS = {BETTER: HELPS, WORSE: HURTS, "equal": NO_EFFECT, IDENTICAL: NO_EFFECT}
_SEEDS_WANTED = 3  # where a part was trained with one seed


@dataclass(frozen=True)
class Effect:
    """What a part does for a run.

    Attributes:
        difference: of the score with it and without it, with an interval corrected for the number of parts.
        word: `helps`, `hurts`, `no effect` or `undecided`.
        reason: what the word rests on, or what would decide.
        seeds: of each cell, that would decide alone; None where none would.
    """

    part: str
    difference: Estimate
    word: str
    reason: str = ""
    seeds: int | None = None

    @property
    def line(self) -> str:
        ends = f" {self.difference.interval('+')}" if self.difference.has_interval else ""
        return f"{self.part}: {self.difference.value:+.4f}{ends} with it{f'; {self.reason}' * bool(self.reason)}"


def effects_of(
    compared: Sequence[tuple[Cell, Mapping[str, Cell]]], margins: Sequence[float], examples: Sequence[int]
) -> list[list[Effect]]:
    """The effects of the parts of several runs, each as a whole and without each part; verdicts corrected together.

    One seed shows two models, not what a part does to any: such an effect is undecided.

    Args:
        compared: the cell of each run as a whole, and those without a part, by its name.
        margins: the smallest difference worth having, of each run.
        examples: how many each was evaluated on; units that are drawn may be groups of them.
    """
    found: list[list[tuple[str, Cell, Interval, bool]]] = []
    for whole, without in compared:
        pool = [whole, *without.values()]
        differences = {part: cell_difference(cell, whole, pool) for part, cell in without.items()}
        found.append([(part, without[part], each.interval, each.lacks_seeds) for part, each in differences.items()])
    flat = [(interval, margin) for several, margin in zip(found, margins, strict=True) for _, _, interval, _ in several]
    corrected = iter(correct_verdicts([each for each, _ in flat], [margin for _, margin in flat]))
    level = LEVEL / max(1, len(flat))
    return [
        [
            _effect(
                (part, cell, interval, lacks_seeds), (whole, *without.values()), next(corrected), margin, level, rows
            )
            for part, cell, interval, lacks_seeds in several
        ]
        for (whole, without), several, margin, rows in zip(compared, found, margins, examples, strict=True)
    ]


def _effect(
    of: tuple[str, Cell, Interval, bool],
    cells: Sequence[Cell],
    corrected: CorrectedVerdict,
    margin: float,
    level: float,
    rows: int,
) -> Effect:
    part, cell, interval, lacks_seeds = of
    whole, estimate = cells[0], Estimate(interval.value, corrected.low, corrected.high)
    if cell.values.shape == whole.values.shape and (cell.resampled == whole.resampled).all():
        return Effect(part, estimate, NO_EFFECT, "identical predictions with and without it")
    if kind_of(corrected.verdict) == NO_INTERVAL:
        return Effect(part, estimate, OPEN, "too few examples for an interval")
    if lacks_seeds:
        reason = "one seed shows two models, not what it does to others: seed=1,2,3"
        return Effect(part, estimate, OPEN, reason, _SEEDS_WANTED)
    word = _WORDS.get(kind_of(corrected.verdict), OPEN)
    if word == NO_EFFECT:
        return Effect(part, estimate, word, f"equal within {margin:g}")
    if word != OPEN:
        return Effect(part, estimate, word)
    decides = deciding((cell, whole), cells, interval.value, margin, level, rows)
    shown = "show no effect" if abs(interval.value) < margin else "show this"
    reason = f"{decides.words} would {shown} in 80 of 100 cases" if decides.words else "more seeds and examples"
    return Effect(part, estimate, OPEN, reason, decides.seeds)


@dataclass(frozen=True)
class _Asked:
    """A run as a whole with its other cells: which of a group's it is, and what it is called beside others."""

    group: int
    name: str
    cells: Mapping[str, LeaderboardCell]

    @property
    def parts(self) -> list[str]:
        return [name.removeprefix(f"{WITHOUT} ") for name in self.cells if name.startswith(f"{WITHOUT} ")]


def effect_lines(
    cells: Sequence[LeaderboardCell],
    results: Sequence[GroupResult],
    entries: Sequence[RunEntry],
    axes: Axes,
    command: str,
    unfinished: int = 0,
) -> Iterator[BottomLine]:
    """The bottom line of each group of a sweep that leaves out one part after the other.

    Args:
        command: that began the sweep; with more seeds it is what would decide.
        unfinished: how many runs of the leaderboard have not finished.
    """
    asked = [*_asked(cells, axes)]
    ready = [each for each in asked if WHOLE in each.cells and results[each.group - 1].paired]
    compared = []
    for each in ready:
        known = results[each.group - 1].paired.cells
        own = {name: known[cell.row, cell.column] for name, cell in each.cells.items()}
        compared.append((own[WHOLE], {part: own[f"{WITHOUT} {part}"] for part in each.parts}))
    margins = [each.cells[WHOLE].margin for each in ready]
    rows = [results[each.group - 1].paired.rows for each in ready]
    effects = dict(zip((id(each) for each in ready), effects_of(compared, margins, rows), strict=True))
    runs = {entry.run.id: entry.run for entry in entries}
    for group in dict.fromkeys(cell.group for cell in cells):
        of_group = [(each, effects.get(id(each))) for each in asked if each.group == group]
        lines = [line for each, found in of_group for line in _lines_of(each, found, len(of_group) > 1)]
        lines.append(("budget", _budget(entries)))
        lines += [("note", note) for note in _notes(entries, unfinished)]
        known = [effect for _, found in of_group for effect in found or ()]
        hurting = [(each, effect) for each, found in of_group for effect in found or () if effect.word == HURTS]
        typed = ""
        if len(hurting) == 1:
            each, effect = hurting[0]
            typed = _command_of(runs[each.cells[f"{WITHOUT} {effect.part}"].runs[0]].typed)
        elif not hurting and (seeds := max((effect.seeds or 0 for effect in known), default=0)):
            taken = {seed for each, _ in of_group for cell in each.cells.values() for seed in cell.seeds}
            typed = job_with_seeds(command, taken, seeds) if command and len(taken) < seeds <= MOST_SEEDS else ""
        yield BottomLine(group, _decision(known, [effect.part for _, effect in hurting]), tuple(lines), command=typed)


def _asked(cells: Sequence[LeaderboardCell], axes: Axes) -> Iterator[_Asked]:
    """The cells of each group by what they are besides the part; in the order of their names."""
    found: dict[tuple[int, Labels], dict[str, LeaderboardCell]] = {}
    for cell in cells:
        if not cell.is_base and not math.isnan(cell.score.value):
            values = dict(zip((*axes.rows, *axes.columns), (*cell.row, *cell.column), strict=True))
            part = values.pop(PART)
            found.setdefault((cell.group, tuple(values.values())), {})[part] = cell
    for (group, names), several in found.items():
        yield _Asked(group, label(names), dict(sorted(several.items())))


def _decision(effects: Sequence[Effect], hurting: Sequence[str]) -> str:
    if hurting:
        return f"train without {listed(dict.fromkeys(hurting))}"
    if not effects:
        return "nothing to compare"
    words = {effect.word for effect in effects}
    return "keep all" if OPEN not in words else "keep all until more is known"


def _lines_of(asked: _Asked, effects: Sequence[Effect] | None, is_one_of_several: bool) -> Iterator[tuple[str, str]]:
    """The whole, then a line for each part: those that hurt first."""
    name = f"{asked.name}: " * is_one_of_several
    if WHOLE not in asked.cells:
        yield "note", f"{name}the run as a whole has not finished, which all parts are compared with"
        return
    whole = asked.cells[WHOLE]
    yield WHOLE, f"{name}{whole.metric} {whole.score.value:.4f} {whole.score.interval()}".rstrip()
    if effects is None:
        yield OPEN, f"{name}no values of single examples are at hand, so that no two cells can be compared"
        return
    for word in (HURTS, HELPS, NO_EFFECT, OPEN):
        for effect in effects:
            if effect.word == word:
                yield word, f"{name}{effect.line}{_alone(asked, effect.part)}"
    if several := [effect.part for effect in effects if effect.word == HURTS][1:]:
        yield "note", f"{name}each part was left out alone: without all {len(several) + 1} that hurt was not tried"


def _alone(asked: _Asked, part: str) -> str:
    """What a training on the part alone gave; of two parts it is the one without the other."""
    others = [each for each in asked.parts if each != part]
    cell = asked.cells.get(f"{ONLY} {part}")
    if (
        cell is None
        and len(others) == 1
        and len(asked.parts) == 2
        and any(each.startswith(ONLY) for each in asked.cells)
    ):
        cell = asked.cells.get(f"{WITHOUT} {others[0]}")
    return f"; alone {cell.difference.value:+.4f} to the untouched model: {cell.verdict}" if cell else ""


_BUDGETS = {
    "trainer.max_seconds": "all trained for {} seconds",
    "trainer.max_examples": "all read {} examples: fewer rows are read more often",
    "trainer.max_steps": "all trained {} steps: fewer rows are read more often",
}


def _budget(entries: Sequence[RunEntry]) -> str:
    """What of the training was equal for all, which says what an effect is an effect of."""
    for key, text in _BUDGETS.items():
        values = {entry.value(key) for entry in entries} - {"-", "None", "null", "-1"}
        if len(values) == 1:
            return text.format(*values)
    epochs = listed(sorted({entry.value("trainer.num_train_epochs") for entry in entries}))
    return f"all read their own rows as often (epochs: {epochs}): a part brings its rows and the steps to read them"


def _evaluated_on(entry: RunEntry) -> set[str]:
    """The data that a run was tested on; without a test split, what it was evaluated on."""
    places = {key: value for key, value in entry.run.tags.items() if key.startswith("evaluated_on")}
    return {value for key, value in places.items() if key.endswith("/test")} or {*places.values()}


def _sets(data: Iterable[str]) -> set[str]:
    """The names in those of mixtures, such as 2xnli+stsb."""
    return {re.sub(r"^[\d.]+x(?=.)", "", name) for each in data for name in each.split("+")} - {""}


def _notes(entries: Sequence[RunEntry], unfinished: int) -> Iterator[str]:
    own = _sets(entry.run.params.get("dataset", "") for entry in entries)
    if own & _sets(value for entry in entries for value in _evaluated_on(entry)):
        yield "test is of the same data: a part may help because its own rows are in test; test=<file> asks of others"
    if unfinished:
        yield f"{unfinished} run{'s' * (unfinished > 1)} did not finish and may change this"


def _command_of(job: Sequence[str]) -> str:
    """The run of a job by itself."""
    kept = [each for each in job if not each.startswith(("sweep.", "sweep/", "sweep="))]
    return shell_command("", [*map(shlex.quote, kept)]) if kept else ""
