"""The bottom line of a leaderboard: which model to ship, or what would decide it.

The best cell of a group is shipped if it is better than its untouched model and if each other cell is worse than it,
equal to it within the margin, or identical. Where some of that is undecided, nothing is shipped yet: what is said in
its place is how many more seeds or test rows would decide in 80 % of cases, and the command that adds those seeds to
these cells only; their other runs are taken as they are.
"""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from embexp.config.session import shell_command
from embexp.evaluation.stats.power import (
    Needed,
    Prospect,
    design_of,
    measured_variances,
    needed_for_equal,
    needed_to_show,
)
from embexp.evaluation.stats.seeds import LEVEL, Cell, cell_difference
from embexp.evaluation.stats.verdicts import verdict
from embexp.experiment.stage_config import MAIN
from embexp.leaderboards.axes import CellKey
from embexp.leaderboards.cells import GroupResult, MetricKeys, PairedCells
from embexp.reports.leaderboard_content import UNTOUCHED, BottomLine, Estimate, LeaderboardCell, label
from embexp.reports.verdict_words import BETTER, IDENTICAL, UNDECIDED, WORSE, kind_of
from embexp.tracking.mlflow_runs import RecordedRun
from embexp.tracking.store_limits import allowed_name

SHIP, KEEP, WAIT = "ship", "keep the untouched model", "ship nothing yet"
_NO_MARGIN = 0.005  # where verdict.margin is 0 and no difference was found
MOST_SEEDS = 30  # of a cell: a command that adds more is not proposed
_FOLDER = "embexp.folder"  # a tag: where the run is, on the machine that it ran on
_DECIDED = (BETTER, WORSE, "equal", IDENTICAL)
_MOST_NAMED = 5  # cells that have a line of their own


class _Rival(NamedTuple):
    """Another cell, or an untouched model, beside the best cell: the best minus it, and what would decide."""

    name: str
    cell: LeaderboardCell
    difference: Estimate
    verdict: str
    needed: str
    seeds: int | None  # of each side, that would decide

    @property
    def line(self) -> str:
        ends = f" {self.difference.interval('+')}" if self.difference.has_interval else ""
        return f"{self.name}: {self.difference.value:+.4f}{ends}: {self.verdict}"


def bottom_line(
    cells: Sequence[LeaderboardCell], result: GroupResult, runs: Mapping[str, RecordedRun], unfinished: int = 0
) -> BottomLine:
    """The bottom line of a group.

    Args:
        cells: of the group, the best first; the untouched models are among them.
        runs: of these cells, by their ids.
        unfinished: how many runs of the leaderboard have not finished.
    """
    found = _decided(cells, result, runs)
    if unfinished:
        text = f"{unfinished} run{'s' * (unfinished > 1)} of this leaderboard did not finish and may change this"
        found = replace(found, lines=(*found.lines, ("note", text)))
    return found


def _decided(cells: Sequence[LeaderboardCell], result: GroupResult, runs: Mapping[str, RecordedRun]) -> BottomLine:
    trained = [cell for cell in cells if not cell.is_base and not math.isnan(cell.score.value)]
    if not trained:
        return BottomLine(cells[0].group, WAIT, (("note", "no cell has a score"),))
    best, group = trained[0], cells[0].group
    rivals = [*_rivals(best, cells, result)]
    gain = _gain(best, result)
    undecided = [each for each in (gain, *rivals) if kind_of(each.verdict) not in _DECIDED]
    beaten = [each for each in rivals if kind_of(each.verdict) == WORSE]  # by an untouched model: best is the best cell
    against = _against(gain, rivals)
    if not undecided and not beaten and kind_of(gain.verdict) == BETTER:
        return BottomLine(group, SHIP, (*_shipped(best, runs), *against, *_one_seed(best)), *files_of(best, runs))
    if undecided and not beaten and kind_of(gain.verdict) != WORSE:
        return _waits(group, best, [gain, *rivals], undecided, runs)
    others = beaten[:1] or [gain]
    told = (("kept", f"{others[0].name}: no cell is better"), ("best cell", _name(best)), *against)
    return BottomLine(group, KEEP, (*told, *_one_seed(best)))


def _name(cell: LeaderboardCell) -> str:
    return label((UNTOUCHED, *cell.column)) if cell.is_base else label((*cell.row, *cell.column))


def _key(cell: LeaderboardCell) -> CellKey:
    return (None if cell.is_base else cell.row), cell.column


def _gain(best: LeaderboardCell, result: GroupResult) -> _Rival:
    """The best cell beside the untouched model that its runs began with; the verdict is that of the table."""
    name = f"the untouched {label(best.column)}"
    paired = result.paired
    if paired is None or best.verdict != UNDECIDED:
        return _Rival(name, best, best.difference, best.verdict, "", None)
    nothing, delta = paired.gains[_key(best)]
    pool = [gain for key, (_, gain) in paired.gains.items() if key[1] == best.column]
    found = deciding((nothing, delta), pool, best.difference.value, best.margin, LEVEL, paired.rows)
    return _Rival(name, best, best.difference, UNDECIDED, *found)


def _rivals(best: LeaderboardCell, cells: Sequence[LeaderboardCell], result: GroupResult) -> Iterator[_Rival]:
    """All other cells and the untouched models of other columns, the nearest one first.

    The same examples picked the best, so all pairs count (Holm); without values of single examples there are no
    intervals, and a cell is worse, or tied with the best.
    """
    others = [cell for cell in cells if cell is not best and not (cell.is_base and cell.column == best.column)]
    bases = {
        cell.column for cell in cells if cell.is_base
    }  # a cell that is identical to its untouched model is that one
    others = [cell for cell in others if cell.verdict != IDENTICAL or cell.column not in bases]
    others = [cell for cell in others if not math.isnan(cell.score.value)]
    if result.paired is None:
        is_first = _key(best) in result.best
        for cell in others:
            tied = is_first and _key(cell) in result.best
            found = UNDECIDED if tied else BETTER if cell.score.value <= best.score.value else WORSE
            yield _Rival(_name(cell), cell, Estimate(best.score.value - cell.score.value), found, "", None)
        return
    yield from _paired_rivals(best, [cell for cell in others if _key(cell) in result.paired.cells], result.paired)


def _paired_rivals(best: LeaderboardCell, others: Sequence[LeaderboardCell], paired: PairedCells) -> Iterator[_Rival]:
    of_best = paired.cells[_key(best)]
    compared = []
    for cell in others:
        own = paired.cells[_key(cell)]
        pool = [each for key, each in paired.cells.items() if key[0] and key[1] in (best.column, cell.column)]
        compared.append((cell, own, pool, cell_difference(own, of_best, pool)))
    # The clearest difference first, as Holm's correction takes them.
    compared.sort(key=lambda each: -abs(each[3].value) / max(each[3].high - each[3].low, 1e-12))
    pairs, decided, is_open = len(paired.cells) * (len(paired.cells) - 1) // 2, 0, False
    found = []
    for cell, own, pool, difference in compared:
        level = LEVEL / max(1, pairs - decided)
        low, high = difference.at(level)
        is_open |= low <= 0 <= high
        decided += not is_open
        same = bool((own.values == of_best.values).all()) if own.values.shape == of_best.values.shape else False
        same &= bool((own.resampled == of_best.resampled).all()) if same else False
        said, decides = verdict(low, high, best.margin, identical=same), _Decides()
        if said == UNDECIDED:
            decides = deciding((own, of_best), pool, difference.value, best.margin, level, paired.rows)
        estimate = Estimate(difference.value, low, high)
        found.append(_Rival(_name(cell), cell, estimate, said, *decides))
    yield from sorted(found, key=lambda rival: -rival.cell.score.value)


class _Decides(NamedTuple):
    """What would decide in 80 of 100 cases, in words, and the seeds of each side that do so alone, if any do."""

    words: str = ""
    seeds: int | None = None


def deciding(
    pair: tuple[Cell, Cell], pool: Sequence[Cell], difference: float, margin: float, level: float, rows: int
) -> _Decides:
    """What would show a difference as large as the one found, where it is worth having; else that it is equal.

    Args:
        rows: how many examples there are; the units that are drawn may be groups of them.
    """
    first, second = pair
    design = design_of(first, second, pool)
    prospect, seeds = Prospect(measured_variances(first, second, pool).variances, design, margin, level), design.seeds

    def needed(each: Prospect) -> Needed:
        is_small = margin and abs(difference) < margin
        return needed_for_equal(each) if is_small else needed_to_show(each, abs(difference) or _NO_MARGIN)

    fewest, per_unit, parts = min(filter(None, seeds)), rows / first.examples, []
    found = needed(prospect)
    enough = None if found.seeds is None else max(found.seeds, max(seeds) + 1)  # with as many it was not decided
    if enough:
        parts.append(_more_seeds(enough - fewest))
    if (found.examples or 0) > first.examples:
        parts.append(_more_rows((found.examples - first.examples) * per_unit))
    if not parts:
        numbers = (2 * max(seeds), 4 * max(seeds), max(MOST_SEEDS, 8 * max(seeds)))
        examples = {each: needed(replace(prospect, design=design.with_seeds(each))).examples for each in numbers}
        if least := examples[numbers[-1]]:  # the fewest seeds that want hardly more examples than many seeds do
            number = next(each for each in numbers if (examples[each] or math.inf) <= 1.5 * least)
            both = _more_seeds(number - fewest), _more_rows((examples[number] - first.examples) * per_unit)
            parts.append(" together with ".join(both))
    return _Decides(" or ".join(parts), enough)


def _more_seeds(number: int) -> str:
    return f"{number} more seed{'s' * (number > 1)}"


def _more_rows(number: float) -> str:
    return f"about {_two_digits(number):,} more test rows"


def _two_digits(number: float) -> int:
    """
    >>> _two_digits(2134.2), _two_digits(7.2)
    (2100, 7)
    """
    return max(1, int(float(f"{number:.2g}")))


def _against(gain: _Rival, rivals: Sequence[_Rival]) -> Iterator[tuple[str, str]]:
    yield "against", gain.line
    for place, rival in enumerate(rivals[:_MOST_NAMED]):
        yield "against", f"{'the runner-up ' * (place == 0)}{rival.line}"
    if equal := [rival.name for rival in rivals if kind_of(rival.verdict) in ("equal", IDENTICAL)]:
        yield "equal", f"{', '.join(equal)}: as good, so that the cheaper one may be shipped"


def _one_seed(best: LeaderboardCell) -> Iterator[tuple[str, str]]:
    if best.lacks_seeds:
        yield "note", "each cell has one seed: this is about these models, not about what another seed would give"


def _shipped(best: LeaderboardCell, runs: Mapping[str, RecordedRun]) -> Iterator[tuple[str, str]]:
    run, chosen = chosen_run(best, runs)
    seed = f", seed {run.seed}{chosen}" if run.seed else ""
    yield "ship", f"{_name(best)}{seed}"
    yield "score", f"{best.metric} {best.score.value:.4f} {best.score.interval()}".rstrip()


def chosen_run(best: LeaderboardCell, runs: Mapping[str, RecordedRun]) -> tuple[RecordedRun, str]:
    """Of several seeds the one that is best on dev; test, which decided on the cell, does not pick one again."""
    several = [runs[each] for each in best.runs]
    keys = MetricKeys(best.metric, several[0])
    key = f"dev/{keys.value.partition('/')[2]}"
    if len(several) == 1 or keys.split == "dev" or not all(key in run.metrics for run in several):
        return several[0], ", the first one" * (len(several) > 1)
    return max(several, key=lambda run: run.metrics[key]), f", the best of {len(several)} on dev"


def files_of(best: LeaderboardCell, runs: Mapping[str, RecordedRun]) -> tuple[str, str]:
    """The folder of the model, and the command that exports it."""
    run, _ = chosen_run(best, runs)
    there = Path(run.tags.get(allowed_name(_FOLDER), ""))  # of a run that comes from MLflow
    folder = run.folder.absolute() if run.folder else there if there.is_absolute() and there.is_dir() else None
    model = str(folder / "stages" / MAIN / "model") if folder else ""
    return model, shell_command("export", map(shlex.quote, (f"run={folder or run.id}", "export=[onnx]")))


def _waits(
    group: int,
    best: LeaderboardCell,
    compared: Sequence[_Rival],
    undecided: Sequence[_Rival],
    runs: Mapping[str, RecordedRun],
) -> BottomLine:
    lines = [("leads", f"{_name(best)}: {best.metric} {best.score.value:.4f} {best.score.interval()}".rstrip())]
    if compared[0] not in undecided:
        lines.append(("against", compared[0].line))
    for rival in undecided[:_MOST_NAMED]:
        shown = "would show them equal" if abs(rival.difference.value) < best.margin else "would show this difference"
        decides = f"; {rival.needed} {shown} in 80 of 100 cases" if rival.needed else ""
        lines.append(("undecided", f"{rival.line}{decides}"))
    if len(undecided) > _MOST_NAMED:
        lines.append(("undecided", f"and {len(undecided) - _MOST_NAMED} more"))
    wanted = [best, *(rival.cell for rival in undecided if not rival.cell.is_base and rival.cell is not best)]
    seeds = max((rival.seeds for rival in undecided if rival.seeds and rival.seeds <= MOST_SEEDS), default=0)
    typed, command = [[*runs[cell.runs[0]].typed] for cell in wanted], ""
    if seeds and all(typed):
        known = {seed for cell in wanted for seed in cell.seeds}
        command, extra = command_with_seeds(typed, known, seeds)
        more = f" (its grid has {extra} more cell{'s' * (extra > 1)})" if extra else ""
        lines.append(("next", f"only {'these cells' if len(wanted) > 1 else 'this cell'} with more seeds{more}:"))
    elif seeds:
        lines.append(("next", f"{seeds} seeds of {'each of these cells' if len(wanted) > 1 else 'this cell'}"))
    elif any(rival.needed for rival in undecided):
        lines.append(("next", f"up to {MOST_SEEDS} seeds alone cannot decide it: more test rows"))
    else:
        lines.append(
            ("next", "what would decide is not known: there are no values of single examples, or too many runs")
        )
    return BottomLine(group, WAIT, (*lines, *_one_seed(best)), command=command)


def command_with_seeds(jobs: Sequence[Sequence[str]], seeds: Sequence[str] | set[str], number: int) -> tuple[str, int]:
    """The multirun of these jobs with so many seeds, those that they had among them; and how many cells it has more.

    >>> command_with_seeds([["loss=mnrl", "seed=1"], ["loss=cosent", "seed=1"]], {"1", "2"}, 4)
    ('python -m embexp -m loss=mnrl,cosent seed=1,2,3,4', 0)

    Args:
        jobs: the overrides of one job of each cell.
    """
    values: dict[str, dict[str, None]] = {}
    cells = set()
    for job in jobs:
        left = ("seed", "sweep.race", "trainer.learning_rate" * _is_fair(job))  # a race may give them no more seeds
        kept = [each for each in job if each.partition("=")[0] not in left]
        cells.add(tuple(kept))
        for override in kept:
            key, sign, value = override.partition("=")
            values.setdefault(f"{key}{sign}", {})[value] = None
    typed = [f"{key}{','.join(several)}" for key, several in values.items()]
    arguments = ["-m", *map(shlex.quote, [*typed, _so_many(seeds, number)])]
    return shell_command("", arguments), math.prod(map(len, values.values())) - len(cells)


def job_with_seeds(command: str, seeds: Sequence[str] | set[str], number: int) -> str:
    """The command of a multirun with so many seeds, those that it had among them.

    >>> job_with_seeds("python -m embexp -m loss=mnrl seed=1,2 by=source", {"1", "2"}, 3)
    'python -m embexp -m loss=mnrl by=source seed=1,2,3'
    """
    kept = [each for each in shlex.split(command) if not each.startswith("seed=")]
    return shlex.join([*kept, _so_many(seeds, number)])


def _so_many(seeds: Sequence[str] | set[str], number: int) -> str:
    known = sorted(seeds, key=lambda seed: (not re.fullmatch(r"\d+", seed), int(seed) if seed.isdigit() else 0))
    following = max((int(seed) for seed in known if seed.isdigit()), default=0)
    known += [str(following + 1 + place) for place in range(number - len(known))]
    return f"seed={','.join(known)}"


def _is_fair(job: Sequence[str]) -> bool:
    """Whether the job's learning rate was found by a search, which the same keys of the sweep find again."""
    return any(each.lower().startswith(("sweep.learning_rates=[", "sweep.fair=true")) for each in job)
