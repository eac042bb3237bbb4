"""A leaderboard of finished runs: made from their results, printed, written, sent to the tracker."""

import math
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import DictConfig

from embexp.cli.app import run_command
from embexp.cli.quoting import quoted
from embexp.config.compose import instantiate, resolve
from embexp.config.session import shell_command
from embexp.core.arguments import RESAMPLES, LegalValues, problems_with, refuse
from embexp.core.escaping import say
from embexp.core.run_folder import write_json, write_text
from embexp.errors import ConfigError
from embexp.evaluation.stats.multiple_comparisons import CorrectedVerdict, correct_verdicts
from embexp.evaluation.stats.power import what_decides
from embexp.evaluation.stats.verdicts import Margins, default_margins, margin_of, margin_problems, margins_in
from embexp.experiment.sweep_record import raced_in, read_sweep
from embexp.leaderboards.axes import PART, Axes, Place, RunEntry, choose_axes, group_by_place
from embexp.leaderboards.bottom_line import bottom_line
from embexp.leaderboards.cells import (
    COST_COLUMNS,
    CellResult,
    GroupResult,
    MetricKeys,
    costs_of,
    curve_of,
    find_cost,
    mark_fronts,
)
from embexp.leaderboards.effects import effect_lines
from embexp.leaderboards.groups import CellGroup, group_places, how_measured, notes_on, notes_on_left_out
from embexp.leaderboards.page import leaderboard_page
from embexp.leaderboards.runs import ARTIFACTS, RunSource, entries_of, newest, send_leaderboard, source_of
from embexp.leaderboards.tables import as_csv, as_latex, as_markdown, print_leaderboard
from embexp.protocols import Tracker
from embexp.reports.leaderboard_content import (
    UNTOUCHED,
    BottomLine,
    Estimate,
    Labels,
    Leaderboard,
    LeaderboardCell,
    Opening,
    SeedResult,
    as_plain,
)
from embexp.reports.pictures.leaderboards import draw_heat_map, draw_interval_plot, draw_pareto_front
from embexp.reports.pictures.learning_curves import draw_cells
from embexp.reports.verdict_words import COLLAPSED, IDENTICAL, TOO_FEW, UNDECIDED, needed_words
from embexp.tracking.mlflow_runs import FINISHED, RecordedRun


def make_leaderboard(
    runs: Sequence[RecordedRun],
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    metric: str | None = None,
    cost: str = "encode_texts_per_second",
    resamples: int = 2000,
    margins: Margins | None = None,
    command: str = "",
) -> Leaderboard:
    """The leaderboard of all runs that have finished and are not outdated; without any it is empty and says so.

    Args:
        rows, columns: parameters; None: loss and model, and all other varying ones.
        metric: `test/sts/spearman_cosine`, or without the split: test if there is one; None: each run's primary one.
        cost: the cost of the front: one of `COST_COLUMNS`.
        resamples: bootstrap resamples of each interval that is computed from examples.
        margins: the smallest differences worth having; None: those of conf/verdict/default.yaml.
        command: that began the runs, where it is known.

    Raises:
        ConfigError: no run has that metric or parameter, or there is no such cost.
    """
    chosen = find_cost(cost)
    margins = default_margins() if margins is None else margins
    every = entries_of(runs, metric)
    entries = newest(every)
    axes = (
        choose_axes(entries, rows, columns) if entries else Axes(tuple(rows or ["loss"]), tuple(columns or ["model"]))
    )
    places = group_by_place(entries, axes)
    groups = group_places(places)
    results = [group.results(resamples) for group in groups]
    cells = mark_fronts([*_all_cells(groups, results, axes, margins)], chosen)
    cells.sort(key=lambda cell: (cell.group, math.isnan(cell.score.value), -cell.score.value))  # the best first
    trained = [cell for cell in cells if not cell.is_base]
    return Leaderboard(
        row_keys=axes.rows,
        column_keys=axes.columns,
        rows=_rows(trained),
        columns=tuple(dict.fromkeys(place.column for place in places)),
        metrics=tuple(dict.fromkeys(place.metric for place in places)),
        cells=tuple(cells),
        costs=tuple(each for each in COST_COLUMNS if any(each.name in cell.costs for cell in trained)),
        cost=cost,
        notes=(*notes_on(trained, groups, axes), *notes_on_left_out(runs, every, entries)),
        measured=tuple(how_measured(groups, results, resamples, command)),
        bottom_lines=tuple(_bottom_lines(cells, results, entries, axes, command, runs)),
    )


def with_race(leaderboard: Leaderboard, sweep_folder: Path) -> Leaderboard:
    """With what a race has spared the sweep (`sweep.race=true`), if there was one."""
    if not (raced := raced_in(sweep_folder)):
        return leaderboard
    saved = ("saved", raced["saved"])
    lines = tuple(replace(each, lines=(*each.lines, saved)) for each in leaderboard.bottom_lines)
    return replace(leaderboard, notes=(*leaderboard.notes, *raced["dropped"]), bottom_lines=lines)


def _all_cells(
    groups: Sequence[CellGroup], results: Sequence[GroupResult], axes: Axes, margins: Margins
) -> Iterator[LeaderboardCell]:
    """The cells of all groups, the trained ones with verdicts that are corrected for their number."""
    trained: list[tuple[LeaderboardCell, CellResult]] = []
    bases: list[LeaderboardCell] = []
    for number, (group, result) in enumerate(zip(groups, results, strict=True), 1):
        metric = group.places[0].metric
        for place, found in zip(group.places, result.cells, strict=True):
            is_best = place.key in result.best
            trained.append((_cell(place, found, number, is_best, margin_of(place.metric, margins)), found))
        for column, score in result.bases.items():
            row, is_best = (UNTOUCHED, *[""] * (len(axes.rows) - 1)), (None, column) in result.best
            bases.append(LeaderboardCell(row, column, metric, number, score, is_base=True, is_best=is_best))
    tested = [(cell.margin, found.difference) for cell, found in trained if not cell.verdict]
    corrected = iter(correct_verdicts([each for _, each in tested], [margin for margin, _ in tested]))
    for cell, found in trained:
        yield cell if cell.verdict else _with_verdict(cell, found, next(corrected))
    yield from bases


def _with_verdict(cell: LeaderboardCell, found: CellResult, corrected: CorrectedVerdict) -> LeaderboardCell:
    """The cell with its verdict, the interval of that, and what would decide where it is undecided."""
    prospect, needed = found.prospect, None
    if prospect and corrected.verdict == UNDECIDED:
        needed = what_decides(replace(prospect, margin=cell.margin, level=corrected.level))
    return replace(
        cell,
        difference=replace(cell.difference, low=corrected.low, high=corrected.high),
        p=corrected.p,
        verdict=corrected.verdict,
        needed=needed_words(needed._asdict(), found.examples, prospect.design.examples) if needed else "",
    )


def _bottom_lines(
    cells: Sequence[LeaderboardCell],
    results: Sequence[GroupResult],
    entries: Sequence[RunEntry],
    axes: Axes,
    command: str,
    every: Sequence[RecordedRun],
) -> Iterator[BottomLine]:
    unfinished = sum(run.status != FINISHED for run in every)
    if PART in (*axes.rows, *axes.columns) and all(PART in entry.run.params for entry in entries):
        yield from effect_lines(cells, results, entries, axes, command, unfinished)
        return
    runs = {entry.run.id: entry.run for entry in entries}
    for number, result in enumerate(results, 1):
        yield bottom_line([cell for cell in cells if cell.group == number], result, runs, unfinished)


def _cell(place: Place, found: CellResult, number: int, is_best: bool, margin: float) -> LeaderboardCell:
    """A trained cell; its verdict is empty unless it is known without an interval."""
    of_runs = {entry.run.tags.get("verdict", "") for entry in place.entries}
    finding = of_runs.pop() if of_runs in ({IDENTICAL}, {COLLAPSED}, {TOO_FEW}) else ""
    gain = found.difference
    return LeaderboardCell(
        row=place.row,
        column=place.column,
        metric=place.metric,
        group=number,
        score=found.score,
        std=found.std,
        difference=Estimate(gain.value, gain.low, gain.high),
        alone=(gain.low, gain.high),
        margin=margin,
        verdict=finding or found.finding,
        lacks_seeds=found.lacks_seeds,
        is_best=is_best,
        costs=costs_of(place),
        seeds=tuple(entry.run.seed for entry in place.entries),
        runs=tuple(entry.run.id for entry in place.entries),
        by_seed=tuple(_of_seed(entry) for entry in sorted(place.entries, key=_seed_order)),
        curve=curve_of(place),
    )


def _seed_order(entry: RunEntry) -> tuple[int, str]:
    return len(entry.run.seed), entry.run.seed


def _of_seed(entry: RunEntry) -> SeedResult:
    run, keys = entry.run, MetricKeys(entry.metric, entry.run)
    score, difference = (run.metrics.get(key, math.nan) for key in (keys.value, keys.delta))
    return SeedResult(run.seed, score, difference, run.page, run.folder.as_posix() if run.folder else "")


def _rows(cells: Sequence[LeaderboardCell]) -> tuple[Labels, ...]:
    """The rows, largest mean gain first."""
    gains: dict[Labels, list[float]] = {}
    for cell in cells:
        gains.setdefault(cell.row, []).append(cell.difference.value)
    known = {row: [value for value in values if not math.isnan(value)] for row, values in gains.items()}
    return tuple(sorted(known, key=lambda row: -fmean(known[row]) if known[row] else math.inf))


def write_leaderboard(
    leaderboard: Leaderboard, folder: Path, opening: Opening | None = None, pictures: Sequence[Path] | None = None
) -> None:
    """Write leaderboard.md, .csv, .tex, .json, .html, and the pictures heat_map, intervals, pareto, curves (PNG).

    Args:
        opening: what the page has before the leaderboard.
        pictures: what it shows in place of the leaderboard's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [*_draw(leaderboard, folder)] if pictures is None else pictures
    write_text(folder / "leaderboard.md", as_markdown(leaderboard))
    write_text(folder / "leaderboard.csv", as_csv(leaderboard))
    write_text(folder / "leaderboard.tex", as_latex(leaderboard))
    write_json(folder / "leaderboard.json", as_plain(leaderboard))
    write_text(folder / "leaderboard.html", leaderboard_page(leaderboard, pictures, folder, opening))


def _draw(leaderboard: Leaderboard, folder: Path) -> Iterator[Path]:
    """The pictures that have anything to show."""
    if any(not math.isnan(cell.difference.value) for cell in leaderboard.trained):
        for name, draw in (("heat_map", draw_heat_map), ("intervals", draw_interval_plot)):
            draw(folder / f"{name}.png", leaderboard)
            yield folder / f"{name}.png"
    if leaderboard.chosen_cost and any(cell.on_front for cell in leaderboard.trained):
        draw_pareto_front(folder / "pareto.png", leaderboard, leaderboard.chosen_cost)
        yield folder / "pareto.png"
    if any(cell.curve for cell in leaderboard.trained):
        draw_cells(folder / "curves.png", leaderboard)
        yield folder / "curves.png"


_LISTS = ("rows", "columns")
_ARGUMENTS = (*_LISTS, "metric", "cost", "resamples")  # of make_leaderboard


def leaderboard_command() -> None:
    """`python -m embexp.leaderboard`: compose the configuration and make the leaderboard."""
    run_command(_run_leaderboard, "leaderboard", rewrite=as_overrides)


def as_overrides(arguments: Sequence[str]) -> list[str]:
    r"""The arguments for Hydra: `rows` and `columns` as lists, texts in quotes; `sweep` has the name of a group.

    >>> as_overrides(["rows=loss,loss.scale", "columns=[model]", "filter=params.model = 'minilm'", "sweep=1a2b"])
    ['rows=[loss,loss.scale]', 'columns=[model]', 'filter="params.model = \'minilm\'"', 'of_sweep="1a2b"']
    """
    found = []
    for key, sign, value in (argument.partition("=") for argument in arguments):
        key = "of_sweep" if key == "sweep" else key
        if value not in ("", "null") and value[0] not in "[\"'":
            is_text = key in ("filter", "of_sweep", "output", "metric")
            value = f"[{value}]" if key in _LISTS else quoted(value) if is_text else value
        found.append(f"{key}{sign}{value}")
    return found


def _run_leaderboard(
    config: DictConfig, _choices: dict[str, Any] | None = None, _folder: Path | None = None
) -> dict[str, Any]:
    return as_plain(leaderboard_of(config, _print))


_FORMATS = {"markdown": as_markdown, "csv": as_csv, "latex": as_latex}


def _print(leaderboard: Leaderboard, form: str | None) -> None:
    """The leaderboard on the terminal, or as text to copy."""
    if form:
        say(_FORMATS[form](leaderboard).removeprefix("\ufeff"), end="")  # which is for files
    else:
        print_leaderboard(leaderboard)


def leaderboard_of(config: DictConfig, show: Callable[[Leaderboard, str | None], None] | None = None) -> Leaderboard:
    """Make the leaderboard of a sweep, or of the runs that a filter finds; show it, write it, store it with the sweep.

    Raises:
        ConfigError: no such sweep, or an unknown filter, parameter, metric or cost.
        TrackingError: MLflow's store does not answer.
    """
    settings = resolve(config)
    find_cost(settings["cost"])
    if settings["of_sweep"] and settings["filter"]:
        text, fix = (
            f"and filter={settings['filter']} were both given",
            "filter=\"tags.`mlflow.parentRunId` = '<id>' and ...\"",
        )
        expected = "one of them; a filter can name some runs of a sweep"
        raise ConfigError(text, key="sweep", given=settings["of_sweep"], expected=expected, fix=fix)
    resamples = problems_with("resamples", settings["resamples"], RESAMPLES, such_as=2000)
    forms = LegalValues(one_of=tuple(_FORMATS), optional=True)
    form = problems_with("format", settings["format"], forms, such_as="latex")
    refuse((*resamples, *form, *margin_problems(settings)))
    tracker = instantiate(settings["tracking"])
    with tempfile.TemporaryDirectory() as scratch:
        source = source_of(settings, tracker, Path(scratch))
        chosen, command = [settings[key] for key in _ARGUMENTS], ""
        if source.folder:
            command = shell_command("", ["-m", *map(shlex.quote, read_sweep(source.folder)["overrides"])])
        leaderboard = make_leaderboard(source.runs, *chosen, margins_in(settings), command)
        leaderboard = with_race(leaderboard, source.folder) if source.folder else leaderboard
        if show:
            show(leaderboard, settings["format"])
        _keep(leaderboard, settings, source, tracker, Path(scratch) / "leaderboard")
    return leaderboard


def _keep(
    leaderboard: Leaderboard, settings: dict[str, Any], source: RunSource, tracker: Tracker, scratch: Path
) -> None:
    """Write the files to `output`, to the sweep's folder, and to the artifacts of the sweep's run."""
    requested = [Path(settings["output"]).expanduser()] if settings["output"] else []
    own = [source.folder / ARTIFACTS] if source.folder else []
    folders = requested + own or ([scratch] if source.parent else [])
    for folder in folders:
        write_leaderboard(leaderboard, folder)
    for folder in (requested + own) * (settings["format"] is None):
        say(f"in         {folder}")
    if source.parent:
        send_leaderboard(folders[0], source, tracker)
