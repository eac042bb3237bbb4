"""`python -m embexp.compare run_a run_b`: two finished runs, or two configurations with several seeds, on one page."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.config.compose import instantiate, resolve
from embexp.config.session import shell_command
from embexp.core.arguments import COUNT_FROM_0, RESAMPLES, problems_with, refuse
from embexp.core.run_folder import find_run, write_text
from embexp.errors import ConfigError
from embexp.evaluation.metrics import Measure, Statistics
from embexp.evaluation.scores import ID, Scores
from embexp.evaluation.stats.multiple_comparisons import correct_secondary
from embexp.evaluation.stats.paired_tests import compare_correlations, permutation_p_value
from embexp.evaluation.stats.power import Prospect, design_of, measured_variances, what_decides
from embexp.evaluation.stats.resampling import drawn_in
from embexp.evaluation.stats.seeds import LEVEL, Interval, cell_difference, cell_summary, resample_cells
from embexp.evaluation.stats.verdicts import (
    Margins,
    default_margins,
    margin_of,
    margin_problems,
    margins_in,
    verdict,
)
from embexp.experiment.fingerprint import config_differences, data_differences
from embexp.experiment.served_vectors import OTHER, compare_with_served, served_page
from embexp.experiment.sides import Side, SidesScores, check_shared, examples_of, finding_of, result_of, shared_scores
from embexp.models.served import ServedModel
from embexp.reports.changed_examples import KIND_OF, broken, mended, rows_of, with_errors
from embexp.reports.comparisons import comparison_page, print_page
from embexp.reports.verdict_words import TOO_FEW, UNDECIDED


def _compare_runs(
    first: Sequence[Path], second: Sequence[Path], resamples: int, examples: int, margins: Margins
) -> dict[str, Any]:
    """Second minus first of every metric of the trained models of two sides, and in what their runs differ.

    Several folders on one side are seeds of one configuration: their mean is compared, and the interval holds seeds
    and examples both. The changed examples are those of the first run of each side.
    """
    sides = Side(tuple(first)), Side(tuple(second))
    for side in sides:
        side.check(_fix())
    primary = result_of(first[0])["primary"]
    shared, left_out = shared_scores(sides)
    check_shared(shared, left_out, "compare", sides, f"{sides[0].name} and {sides[1].name}")
    compared = [each for name, scores in shared.items() for each in _rows(name, scores, resamples, margins)]
    _correct(compared, primary.get("key"))
    rows = [row for row, *_ in compared]
    others = [row for name, scores in shared.items() for row in _other_tests(name, scores, primary, resamples)]
    return {
        "names": [side.name for side in sides],
        "runs": [[_head(folder) for folder in side.folders] for side in sides],
        "metrics": rows,
        "other_tests": others,
        "lacks_seeds": any(row["lacks_seeds"] for row in rows),
        "left_out": left_out,
        "configuration": config_differences(first[0], second[0]),
        "data": data_differences(first[0], second[0]),
        "changed": {name: _changed(name, scores, primary, examples) for name, scores in shared.items()},
    }


_Compared = tuple[dict[str, Any], Interval, Prospect]  # a row, its interval alone, and what such data show


def _correct(compared: Sequence[_Compared], primary: str | None) -> None:
    """Correct the verdicts of secondary metrics for their number, and say what would decide what is undecided."""
    secondary = [each for each in compared if each[0]["metric"] != primary and not each[0]["finding"]]
    found = correct_secondary([row for row, *_ in secondary], [interval for _, interval, _ in secondary])
    levels = {row["metric"]: level for (row, *_), level in zip(secondary, found, strict=True)}
    for row, _, prospect in compared:
        row["primary"] = row["metric"] == primary
        if row["verdict"] == UNDECIDED:
            needed = what_decides(replace(prospect, level=levels.get(row["metric"], LEVEL)))
            row["needed"] = needed._asdict() if needed else None


def differences_between(metric: str, sides: Mapping[str, Sequence[Path]], resamples: int) -> list[dict[str, Any]]:
    """A row of `_compare_runs` for each pair of sides, of one metric such as test/sts/spearman_cosine.

    All pairs are asked about, so that their verdicts are corrected for their number. The row has the names of its sides
    as `sides`, the ends of its interval alone as `alone_low` and `alone_high`, and the number as `corrected_for`.

    Args:
        sides: runs of one configuration each, by its name. A pair that shares no examples, or lacks the metric, has no
            row.

    Raises:
        ConfigError: runs have not finished, or those of one side differ in more than their seeds.
    """
    found = [
        ((one, two), _difference(metric, sides[one], sides[two], resamples)) for one, two in combinations(sides, 2)
    ]
    compared = [(pair, each) for pair, each in found if each is not None]
    _correct([each for _, each in compared], None)
    number = sum(not row["finding"] for _, (row, *_) in compared)
    return [
        row | {"sides": pair, "alone_low": alone.low, "alone_high": alone.high, "corrected_for": number}
        for pair, (row, alone, _) in compared
    ]


def _difference(metric: str, first: Sequence[Path], second: Sequence[Path], resamples: int) -> _Compared | None:
    sides = Side(tuple(first)), Side(tuple(second))
    for side in sides:
        side.check(_fix())
    key, name = examples_of(metric), metric.rpartition("/")[2]
    shared, _ = shared_scores(sides)
    return next(_rows(key, shared[key], resamples, default_margins(), name), None) if key in shared else None


def _rows(
    name: str, scores: SidesScores, resamples: int, margins: Margins, only: str | None = None
) -> Iterator[_Compared]:
    """A row for each metric that all runs have, or for the one that is named."""
    every = [each for side in scores for each in side]
    named = [measure for measure in every[0].measures if only in (None, measure.name)]
    measures = [measure for measure in named if all(measure in each.measures for each in every)]
    statistic = Statistics().statistic_for
    rows, found = len(every[0].examples[ID]), []
    drawn = [drawn_in(measure, every[0].examples, rows) for measure in measures]
    for measure, units in zip(measures, drawn, strict=True):
        cells = [[statistic(measure, each.columns) for each in side] for side in scores]
        found += resample_cells(cells, rows, resamples, drawn=units)
    evaluator, _, split = name.rpartition("_")
    for measure, units, first, second in zip(measures, drawn, found[::2], found[1::2], strict=True):
        difference = cell_difference(first, second)
        finding = finding_of(measure, *scores) or (TOO_FEW if units.too_few else "")
        margin = margin_of(measure.name, margins)
        row = {
            "metric": f"{split}/{evaluator}/{measure.name}",
            "first": first.mean,
            "second": second.mean,
            "stds": [cell_summary(cell).std for cell in (first, second)],
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "p": difference.p,
            "p_holm": difference.p,
            "margin": margin,
            "examples": rows,
            **units.described(),
            "lacks_seeds": difference.lacks_seeds,
            "finding": finding,
            "verdict": finding or verdict(difference.low, difference.high, margin),
        }
        prospect = Prospect(measured_variances(first, second).variances, design_of(first, second), margin)
        yield row, difference.interval, prospect


def _decisive(name: str, scores: Scores, primary: Mapping[str, Any]) -> Measure:
    """The run's primary metric where it is of this evaluator, else the evaluator's first one."""
    evaluator = name.rpartition("_")[0]
    wanted = primary["metric"] if evaluator == primary["evaluator"] else None
    return next((each for each in scores.measures if each.name == wanted), scores.measures[0])


def _other_tests(
    name: str, scores: SidesScores, primary_row: Mapping[str, Any], permutations: int
) -> Iterator[dict[str, Any]]:
    """p of no difference between two single runs by other tests than the bootstrap, of what matters most."""
    if len(scores[0]) > 1 or len(scores[1]) > 1:
        return
    before, after = scores[0][0], scores[1][0]
    evaluator, _, split = name.rpartition("_")
    primary = _decisive(name, before, primary_row)
    found = permutation_p_value(primary, before.columns, after.columns, permutations)
    yield {"metric": f"{split}/{evaluator}/{primary.name}", "test": "permutation", "p": found}
    for measure in before.measures:
        if measure.statistic == "pearson" and measure.predicted == primary.predicted and measure.where is None:
            values = before.predicted[measure.predicted], after.predicted[measure.predicted]
            for test, result in compare_correlations(before.examples[measure.gold], *values).items():
                yield {"metric": f"{split}/{evaluator}/{measure.name}", "test": test.replace("_", " "), "p": result.p}


def _changed(name: str, scores: SidesScores, primary: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """The examples that the second model does worse, and those that it does better: the most changed ones."""
    before, after = scores[0][0], scores[1][0]
    measure = _decisive(name, before, primary)
    kind = KIND_OF.get(measure.statistic)
    if kind is None:
        return []
    values = before.predicted[measure.predicted], after.predicted[measure.predicted]
    rows = with_errors(rows_of(before.examples, *values, gold=measure.gold or "gold"), kind)
    return [*broken(rows, number), *mended(rows, number)]


def _fix() -> str:
    """The command that names two sides."""
    return shell_command("compare", ["<run>", "<run>"])


def _head(folder: Path) -> dict[str, Any]:
    result = result_of(folder)
    return {
        "folder": str(folder),
        "name": result["run"]["name"],
        "seed": result["seed"],
        "verdict": result["verdict"],
        "seconds": result["metrics"].get("cost/seconds"),
    }


def compare_command() -> None:
    """`python -m embexp.compare`: compose the configuration and compare the two runs that were named."""
    from embexp.cli.app import run_command

    found: list[dict[str, Any]] = []
    run_command(lambda *given: found.append(compare(*given)), "compare", rewrite=with_runs)
    if found and found[0].get("verdict") == OTHER:
        sys.exit(1)


def with_runs(arguments: Sequence[str], named: Sequence[str] = ()) -> list[str]:
    """The arguments with those that are no overrides and no options as the list `runs`, after those that are named.

    >>> with_runs(["runs/a", "runs/b", "resamples=500"])
    ['runs=["runs/a","runs/b"]', 'resamples=500']
    """
    from embexp.cli.quoting import quoted

    words = [argument for argument in arguments if "=" not in argument and not argument.startswith("-")]
    others = [argument for argument in arguments if argument not in words]
    runs = [*named, *words]
    return [f"runs=[{','.join(map(quoted, runs))}]", *others] if runs else others


def compare(config: DictConfig, _choices: dict[str, Any] | None = None, _folder: Path | None = None) -> dict[str, Any]:
    """Compare two runs and print the page; returns what it says. Raises as `comparison` does."""
    found, page = comparison(config)
    print_page(page)
    return found


def comparison(config: DictConfig) -> tuple[dict[str, Any], str]:
    """What a comparison of two runs finds, and the page that says it, written where that is configured.

    Raises:
        ConfigError: not two runs, or ones that have not finished or were evaluated on other examples.
    """
    resolved = resolve(config)
    runs = resolved["runs"]
    if resolved["model"] is not None:
        return _with_served(resolved)
    sides = [[run.strip() for run in side.split(",") if run.strip()] for side in runs]
    if len(sides) != 2 or not all(sides):
        raise ConfigError(
            f"{len(runs)} runs were named",
            expected="two, each by its folder or its id in MLflow; seeds of one configuration with commas between "
            "them: <run>,<run>. With model=<url> one run, whose model is behind that URL",
            fix=_fix(),
        )
    refuse(
        (
            *problems_with("resamples", resolved["resamples"], RESAMPLES, such_as=1000),
            *problems_with("examples", resolved["examples"], COUNT_FROM_0, such_as=5),
            *margin_problems(resolved),
        )
    )
    folders = [[find_run(run, _roots(resolved)) for run in side] for side in sides]
    found = _compare_runs(*folders, resolved["resamples"], resolved["examples"], margins_in(resolved))
    page = comparison_page(found)
    if resolved["output"]:
        write_text(Path(resolved["output"]), page)
    return found, page


def _roots(resolved: Mapping[str, Any]) -> list[str]:
    return [resolved["paths"][place] for place in ("runs", "sweeps", "tunings", "races")]


def _with_served(resolved: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What a comparison of one run's trained model with a model behind a URL finds, and its page."""
    model, runs = instantiate(resolved["model"]), resolved["runs"]
    fix = shell_command("compare", ["<run>", "model=<url>"])
    if not isinstance(model, ServedModel):
        text, expected = "is not behind a URL", "a URL, or two runs and no model"
        raise ConfigError(text, key="model", expected=expected, fix=(fix, _fix()))
    if len(runs) != 1 or "," in runs[0]:
        text, expected = f"{len(runs)} runs were named", "one, by its folder or its id in MLflow, for one URL"
        raise ConfigError(text, expected=expected, fix=fix)
    found = compare_with_served(find_run(runs[0], _roots(resolved)), model)
    page = served_page(found)
    if resolved["output"]:
        write_text(Path(resolved["output"]), page)
    return found, page
