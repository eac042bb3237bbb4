"""`python -m embexp.power`: which difference the test data and the seeds can show, and what a wanted one would need.

Variances come from finished runs: of the gain of each configuration on its untouched model, and of the differences of
configurations. Before any training they are assumed, from the interval of the untouched model's own score in an
evaluation; what is assumed is marked.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.config.compose import resolve
from embexp.config.session import shell_command
from embexp.core.arguments import RESAMPLES, LegalValues, problems_with, refuse
from embexp.core.file_contents import json_in
from embexp.core.run_folder import RECORD, RESULT, readable, status_of, write_json, write_text
from embexp.errors import ConfigError, UnreadableError, listed
from embexp.evaluation.stats.power import (
    Design,
    Measured,
    Prospect,
    assumed_variances,
    design_of,
    measured_variances,
    needed_for_equal,
    needed_to_show,
    rows_of,
)
from embexp.evaluation.stats.seeds import LEVEL, Cell, cell_difference
from embexp.evaluation.stats.verdicts import margin_of, margin_problems, margins_in
from embexp.experiment.fingerprint import NOT_RESULTS
from embexp.experiment.ledger import DataSketch, Ledger, Trust, sketch_of
from embexp.experiment.sides import (
    Side,
    cells_of,
    check_shared,
    examples_of,
    folders_of,
    gain_on,
    key_of,
    measure_named,
    result_of,
    shared_scores,
)
from embexp.experiment.stage_config import seed_keys
from embexp.experiment.sweep_record import TRIALS
from embexp.reports.comparisons import print_page
from embexp.reports.power_page import Comparison, PowerPage, draw_power_curve, power_page

MODELS = "models.json"  # in the folder of an evaluation
_MANY = LegalValues(least=1, whole=True, many=True)


@dataclass(frozen=True)
class _Planned:
    """A difference that was measured, or one to come.

    Attributes:
        difference: as it was found; nan of one to come.
        rows_per_unit: of the units that the design counts; 1 unless groups are drawn.
    """

    name: str
    difference: float
    measured: Measured
    design: Design
    rows_per_unit: float = 1.0

    def units(self, rows: int) -> int:
        return max(2, round(rows / self.rows_per_unit))

    def rows(self, units: int | None) -> int | None:
        return rows_of(units, self.rows_per_unit)


@dataclass(frozen=True)
class _Basis:
    """What all planning rests on.

    Attributes:
        seconds: of a run, on average; nan where there is none yet.
        from_runs: the variances between examples were measured, else assumed.
    """

    metric: str
    planned: list[_Planned]
    configurations: int
    runs: int
    seconds: float
    from_runs: bool
    sketch: DataSketch | None = None


def _of_runs(folders: Sequence[Path], metric: str | None, resamples: int) -> _Basis:
    """The gain of each configuration on its untouched model, then its difference to the best one."""
    sides = _configurations(folders)
    for side in sides:
        side.check(shell_command("power", ["<run>"]))
    shared, left_out = shared_scores(sides, untouched=True)
    check_shared(shared, left_out, "power", sides, "The runs")
    key = key_of(metric or result_of(folders[0])["primary"]["key"], shared, "metric")
    scores = shared[examples_of(key)]
    every = list(scores[-1])
    bases = [[every.pop(0) for _ in side.folders] for side in sides]
    measure = measure_named(key.split("/")[2], scores)
    assert measure is not None
    found = cells_of(measure, (*scores[:-1], *bases), resamples)
    if found[0].too_few:
        raise ConfigError(f"{key} has too few examples to plan by, {found[0].examples}", expected="more test data")
    cells, untouched = found[: len(sides)], found[len(sides) :]
    gains = [gain_on(*pair) for pair in zip(untouched, cells, strict=True)]
    gained = [gain for _, gain in gains]
    planned = [_planned(f"{side.name} - untouched", *pair, gained) for side, pair in zip(sides, gains, strict=True)]
    best = max(range(len(sides)), key=lambda place: cells[place].mean)
    planned += [
        _planned(f"{sides[best].name} - {side.name}", cell, cells[best], cells)
        for place, (side, cell) in enumerate(zip(sides, cells, strict=True))
        if place != best
    ]
    known = [result_of(folder)["metrics"].get("cost/seconds") for folder in folders]
    seconds = [each for each in known if each is not None]
    average = sum(seconds) / len(seconds) if seconds else math.nan
    return _Basis(key, planned, len(sides), len(folders), average, True, sketch_of(scores[0][0]))


def _planned(name: str, first: Cell, second: Cell, others: Sequence[Cell]) -> _Planned:
    """Second minus first, by what the runs show; others vary as much between seeds."""
    difference, measured = cell_difference(first, second).value, measured_variances(first, second, others)
    return _Planned(name, difference, measured, design_of(first, second), first.rows_per_unit)


def _configurations(folders: Sequence[Path]) -> list[Side]:
    """The runs by configuration; of one seed that was run more than once, the first run."""

    def configuration(folder: Path) -> str:
        params = result_of(folder).get("params", {})
        of_seed = seed_keys(params) | ({"dataset.train_rows"} if params.get("vary") else set())
        of_result = {key: value for key, value in params.items() if key not in of_seed}
        own = {key: value for key, value in of_result.items() if key.partition(".")[0] not in NOT_RESULTS}
        return repr(sorted(own.items(), key=str))

    ordered = sorted(dict.fromkeys(folders), key=configuration)
    sides = []
    for _, group in groupby(ordered, key=configuration):
        by_seed: dict[str, Path] = {}
        for folder in group:
            by_seed.setdefault(str(result_of(folder)["seed"]), folder)
        sides.append(Side(tuple(by_seed.values())))
    return sides


def _of_evaluation(folder: Path, metric: str | None) -> _Basis:
    """The gain of a training to come on each model that was scored, by default variances."""
    rows = _rows_in(folder)
    keys = [*rows[0]["scores"]]
    primary = (json_in(folder / RESULT) or {}).get("primary", "")
    wanted = metric or next((key for key in keys if key.endswith(primary)), keys[0])
    found = next((key for key in keys if key == wanted or key.partition("/")[2] == wanted), None)
    if found is None:
        raise ConfigError(
            "is no metric of this evaluation",
            key="metric",
            given=metric,
            expected=listed(keys),
            fix=f"metric={keys[0]}",
        )
    planned = []
    for row in rows:
        score = row["scores"][found]
        if score.get("low") is not None and score["examples"]:
            variances = assumed_variances((score["high"] - score["low"]) / 2, score["examples"])
            design = Design(score["examples"], (0, 1))
            planned.append(
                _Planned(f"a training of {row['model']} - untouched", math.nan, Measured(variances, False), design)
            )
    if not planned:
        raise ConfigError(f"{found} has no interval in {folder}", expected="a metric with values of single examples")
    return _Basis(found, planned, len(planned), 0, math.nan, False)


def _rows_in(folder: Path) -> list[dict[str, Any]]:
    rows = json_in(folder / MODELS)
    if isinstance(rows, list) and rows and all(isinstance(row, dict) and row.get("scores") for row in rows):
        return rows
    raise UnreadableError("holds no scores", file=folder / MODELS, expected="the file as embexp.evaluate wrote it")


def _basis(settings: Mapping[str, Any]) -> _Basis:
    paths = settings["paths"]
    roots = [paths[place] for place in ("runs", "sweeps", "tunings", "races")]
    named = settings["runs"]
    if len(named) == 1 and (Path(named[0]).expanduser() / MODELS).is_file():
        return _of_evaluation(Path(named[0]).expanduser(), settings["metric"])
    folders = folders_of(named, roots) if named else _newest_of_store(roots)
    finished = [folder for folder in folders if status_of(folder) == "FINISHED"]
    if not finished:
        raise ConfigError(
            f"None of {len(folders)} runs has finished" if folders else f"There is no finished run in {listed(roots)}",
            expected="finished runs, a sweep, or an evaluation of the untouched model",
            fix=(shell_command("power", ["<run>"]), shell_command("evaluate", ["model=minilm"])),
        )
    return _of_runs(finished, settings["metric"], settings["resamples"])


def _newest_of_store(roots: Sequence[str]) -> list[Path]:
    """The finished run that ended last, first, and all that were evaluated on the same rows by the same metric."""
    folders = [
        path.parent
        for root in roots
        for path in Path(root).glob(f"**/{RECORD}")
        if (path.parent / RESULT).is_file() and path.parent.parent.name != TRIALS
    ]
    known = [(folder, found) for folder, found in readable(folders, result_of) if "primary" in found]
    known.sort(key=lambda each: -(each[0] / RESULT).stat().st_mtime)
    finished = [(folder, _evaluated_by(found)) for folder, found in known if found["run"]["status"] == "FINISHED"]
    return [folder for folder, by in finished if by == finished[0][1]]


def _evaluated_by(result: Mapping[str, Any]) -> tuple[str, Any]:
    key = result["primary"]["key"]
    split, evaluator, _ = key.split("/")
    return key, result.get("tags", {}).get(f"evaluated.{evaluator}/{split}")


def power(config: DictConfig) -> tuple[dict[str, Any], str]:
    """What can be shown, as plain values and as a page, written with its picture where that is configured.

    Raises:
        ConfigError: no finished runs, or runs without a metric or examples in common.
    """
    settings = resolve(config)
    positive = LegalValues(above=0, optional=True)
    refuse(
        (
            *problems_with("resamples", settings["resamples"], RESAMPLES, such_as=2000),
            *problems_with("difference", settings["difference"], positive, such_as=0.005),
            *problems_with("seeds", settings["seeds"], _MANY, such_as=[1, 2, 3, 5]),
            *problems_with("examples", settings["examples"], replace(_MANY, optional=True), such_as=[1000]),
            *margin_problems(settings),
        )
    )
    basis = _basis(settings)
    margin = margin_of(basis.metric, margins_in(settings))
    wanted = settings["difference"] or margin or 0.005
    ledger = Ledger(Path(settings["ledger"])) if settings["ledger"] else None
    trust = ledger.trust(basis.sketch) if ledger and basis.sketch else None
    comparisons = [_compared(each, margin, wanted) for each in basis.planned]
    leading = _closest(basis)
    sizes = settings["examples"] or _sizes(leading.rows(leading.design.examples))
    page = PowerPage(
        metric=basis.metric,
        margin=margin,
        wanted=wanted,
        runs=basis.runs,
        configurations=basis.configurations,
        seconds=basis.seconds,
        has_examples=basis.from_runs,
        has_seeds=all(each.measured.has_seeds for each in basis.planned),
        comparisons=comparisons,
        leading=leading.name,
        seeds=settings["seeds"],
        grid={
            size: [_smallest(leading, leading.units(size), number) for number in settings["seeds"]] for size in sizes
        },
        trust=_trust(leading, trust) if trust else None,
    )
    text, found = power_page(page), asdict(page)
    if settings["output"]:
        _write(Path(settings["output"]), page, text, found, leading)
    return found, text


def _closest(basis: _Basis) -> _Planned:
    """The difference between the best configuration and its closest rival; of one configuration its gain."""
    between = basis.planned[basis.configurations :]
    return min(between, key=lambda each: abs(each.difference)) if between else basis.planned[0]


def _sizes(examples: int) -> list[int]:
    return [max(2, round(examples * factor)) for factor in (0.25, 0.5, 1, 2, 4, 10)]


def _smallest(planned: _Planned, units: int, seeds: int, level: float = LEVEL) -> float:
    design = planned.design.with_examples(units).with_seeds(seeds)
    return Prospect(planned.measured.variances, design, level=level).smallest_difference()


def _compared(planned: _Planned, margin: float, wanted: float) -> Comparison:
    prospect = Prospect(planned.measured.variances, planned.design, margin)
    shown, equal = needed_to_show(prospect, wanted), needed_for_equal(prospect)
    return Comparison(
        name=planned.name,
        difference=planned.difference,
        examples=planned.rows(planned.design.examples),
        units=planned.design.examples,
        seeds=max(planned.design.seeds),
        half_width=prospect.half_width,
        smallest=replace(prospect, margin=0.0).smallest_difference(),
        seed_std=math.sqrt(planned.measured.variances.seeds),
        examples_to_show=planned.rows(shown.examples),
        seeds_to_show=shown.seeds,
        examples_for_equal=planned.rows(equal.examples),
        seeds_for_equal=equal.seeds,
        lacks_seeds=not planned.design.degrees,
    )


def _trust(planned: _Planned, trust: Trust) -> dict[str, float]:
    """How much of the test data's error is spent, and how much larger a difference the next look needs."""
    size, number = planned.design.examples, max(planned.design.seeds)
    first, following = (_smallest(planned, size, number, each.next_level) for each in (Trust(0, 0), trust))
    known = {"looks": trust.looks, "shipped": trust.shipped, "spent": trust.spent, "next_level": trust.next_level}
    return known | {"smallest": following, "times_the_first": following / first}


def _write(folder: Path, page: PowerPage, text: str, found: Mapping[str, Any], leading: _Planned) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "power.md", text)
    write_json(folder / "power.json", found)
    curves = {number: [*_curve(leading, page.grid, number)] for number in page.seeds}
    present = (leading.rows(leading.design.examples), max(leading.design.seeds))
    draw_power_curve(folder / "power.png", page.metric, leading.name, curves, page.wanted, present)


def _curve(planned: _Planned, sizes: Mapping[int, Any], seeds: int) -> Iterator[tuple[int, float]]:
    """The smallest difference by examples, at even steps of their logarithm."""
    low, high = min(sizes), max(max(sizes), 2 * min(sizes))
    for step in range(25):
        size = round(low * (high / low) ** (step / 24))
        yield size, _smallest(planned, planned.units(size), seeds)


def power_command() -> None:
    """`python -m embexp.power`: compose the configuration and print what can be shown."""
    from embexp.cli.app import run_command
    from embexp.experiment.compare import with_runs

    def task(config: DictConfig, _choices: dict[str, Any], _folder: Path) -> None:
        print_page(power(config)[1])

    run_command(task, "power", rewrite=with_runs)
