"""`python -m embexp.compare run_a run_b`: two finished runs, or two configurations with several seeds, on one page."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from omegaconf import DictConfig

from embexp.config.compose import resolve
from embexp.config.session import shell_command
from embexp.core.arguments import COUNT_FROM_0, RESAMPLES, problems_with, refuse
from embexp.core.run_folder import RESULT, find_run, read_json, read_record, status_of, write_text
from embexp.errors import ConfigError
from embexp.evaluation.metrics import Measure, Statistics
from embexp.evaluation.scores import (
    ID,
    Difference,
    Scores,
    collapse_finding,
    on_common_examples,
    read_examples,
)
from embexp.evaluation.stats.multiple_comparisons import holm
from embexp.evaluation.stats.paired_tests import compare_correlations, permutation_p_value
from embexp.evaluation.stats.seeds import cell_difference, cell_summary, resample_cells
from embexp.evaluation.stats.verdicts import (
    Margins,
    default_margins,
    examples_needed,
    margin_of,
    margin_problems,
    margins_in,
)
from embexp.experiment.fingerprint import config_differences, data_differences
from embexp.reports.changed_examples import KIND_OF, broken, mended, rows_of, with_errors
from embexp.reports.comparisons import comparison_page
from embexp.reports.verdict_words import IDENTICAL

_Scored = tuple[list[Scores], list[Scores]]  # of the runs of both sides
EXAMPLES = "examples"


@dataclass(frozen=True)
class _Side:
    """One or several finished runs of the same configuration, which differ in their seeds only."""

    folders: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What the run is called; of several runs what they share."""
        record = read_record(self.folders[0])
        if len(self.folders) == 1:
            return record["name"]
        return f"{record['choices']['loss']}/{record['choices']['model']} ({len(self.folders)} seeds)"


def _compare_runs(
    first: Sequence[Path], second: Sequence[Path], resamples: int, examples: int, margins: Margins
) -> dict[str, Any]:
    """Second minus first of every metric of the trained models of two sides, and in what their runs differ.

    Several folders on one side are seeds of one configuration: their mean is compared, and the interval holds seeds
    and examples both. The changed examples are those of the first run of each side.
    """
    sides = _Side(tuple(first)), _Side(tuple(second))
    for side in sides:
        _check(side)
    primary = _result_of(first[0])["primary"]
    shared, left_out = _shared(sides)
    if not shared:
        reasons = f" ({'; '.join(left_out)})" if left_out else ""
        raise ConfigError(
            f"{sides[0].name} and {sides[1].name} were evaluated on no examples that are the same{reasons}",
            expected="runs with the same evaluator on the same data",
        )
    rows = [row for name, scores in shared.items() for row in _rows(name, scores, resamples, margins)]
    known = [row for row in rows if not math.isnan(row["p"])]
    for row, p in zip(known, holm([row["p"] for row in known]), strict=True):
        row["p_holm"] = p
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


def difference_in(
    metric: str, first: Sequence[Path], second: Sequence[Path], resamples: int
) -> Mapping[str, Any] | None:
    """The row of `_compare_runs` for one metric alone, such as test/sts/spearman_cosine; None where a side lacks it.

    Raises:
        ConfigError: as `_compare_runs`, except that sides which share no examples have no row.
    """
    sides = _Side(tuple(first)), _Side(tuple(second))
    for side in sides:
        _check(side)
    split, evaluator, name = metric.split("/")
    key = f"{evaluator}_{split}"
    shared, _ = _shared(sides)
    return next(_rows(key, shared[key], resamples, default_margins(), name), None) if key in shared else None


def _check(side: _Side) -> None:
    for folder in side.folders:
        if (status := status_of(folder)) != "FINISHED":
            raise ConfigError(f"The run in {folder} is {status}. Expected one that has finished.")
    seeds = [_head(folder)["seed"] for folder in side.folders]
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise ConfigError(
            f"One side has several runs with seed {', '.join(map(str, twice))}. Expected runs with seeds of their own: "
            "the same one again shows nothing of what seeds do."
        )
    for folder in side.folders[1:]:
        other = [key for key, *_ in config_differences(side.folders[0], folder) if key != "seed"]
        if other := [*other, *data_differences(side.folders[0], folder, ["weights"])]:
            raise ConfigError(
                f"{side.folders[0]} and {folder} stand on one side and differ in {', '.join(other)}",
                expected="runs of one side to differ in their seed only, and the two sides to be named apart",
                fix=shell_command("compare", ["<run>", "<run>"]),
            )


def _shared(sides: tuple[_Side, _Side]) -> tuple[dict[str, _Scored], list[str]]:
    """By evaluator and split the trained models' scores of both sides on common examples, and what is left out."""
    folders = [folder for side in sides for folder in side.folders]
    files = [{path.stem: path for path in sorted((folder / EXAMPLES).glob("*.parquet"))} for folder in folders]
    shared, left_out = {}, []
    for name in dict.fromkeys(name for each in files for name in each):
        if not all(name in each for each in files):
            left_out.append(f"{name}: not all of them have it")
            continue
        scores, missing = on_common_examples([read_examples(each[name]).trained for each in files])
        left_out += [f"{name}: {missing}"] * bool(missing)
        evaluated = {_evaluated_rows(folder, name) for folder in folders}
        if len(evaluated) > 1 and not _is_known_by_itself(scores[0]):
            left_out.append(f"{name}: its rows differ, on which its values of every example depend")
        elif len(scores[0].examples[ID]) > 1:
            shared[name] = (scores[: len(sides[0].folders)], scores[len(sides[0].folders) :])
    return shared, left_out


def _evaluated_rows(folder: Path, name: str) -> str:
    """The hash of all rows that an evaluator read on a split, documents that no query finds relevant among them."""
    evaluator, _, split = name.rpartition("_")
    return _result_of(folder).get("tags", {}).get(f"evaluated.{evaluator}/{split}", "")


def _is_known_by_itself(scores: Scores) -> bool:
    """Whether a model's values of an example depend on nothing but its texts: those of pairs and triplets."""
    return not scores.examples.keys().isdisjoint(("sentence1", "anchor"))


def _rows(
    name: str, scores: _Scored, resamples: int, margins: Margins, only: str | None = None
) -> Iterator[dict[str, Any]]:
    """A row for each metric that all runs have, or for the one that is named."""
    every = [each for side in scores for each in side]
    named = [measure for measure in every[0].measures if only in (None, measure.name)]
    measures = [measure for measure in named if all(measure in each.measures for each in every)]
    statistic = Statistics().statistic_for
    cells = [[statistic(measure, each.columns) for each in side] for measure in measures for side in scores]
    found = resample_cells(cells, len(every[0].examples[ID]), resamples)
    evaluator, _, split = name.rpartition("_")
    for measure, first, second in zip(measures, found[::2], found[1::2], strict=True):
        difference = cell_difference(first, second)
        interval = difference.low, difference.high, difference.p
        finding = _finding(measure, scores)
        margin = margin_of(measure.name, margins)
        compared = Difference(measure.name, first.mean, second.mean, *interval, finding, margin=margin)
        yield {
            "metric": f"{split}/{evaluator}/{measure.name}",
            "first": first.mean,
            "second": second.mean,
            "stds": [cell_summary(cell).std for cell in (first, second)],
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "p": difference.p,
            "margin": margin,
            "examples": first.examples,
            "examples_needed": examples_needed(difference.low, difference.high, margin, first.examples)
            if difference.lacks_seeds
            else None,
            "lacks_seeds": difference.lacks_seeds,
            "verdict": compared.verdict,
        }


def _finding(measure: Measure, scores: _Scored) -> str:
    """What the predictions of all pairs of runs, one of each side, have in common; empty for nothing."""
    pairs = [(first, second) for first in scores[0] for second in scores[1]]
    found = {collapse_finding(measure, *pair) or _same_predictions(measure, *pair) for pair in pairs}
    return found.pop() if len(found) == 1 else ""


def _same_predictions(measure: Measure, first: Scores, second: Scores) -> str:
    same = numpy.array_equal(first.predicted[measure.predicted], second.predicted[measure.predicted])
    return IDENTICAL if same else ""


def _decisive(name: str, scores: Scores, primary: Mapping[str, Any]) -> Measure:
    """The run's primary metric where it is of this evaluator, else the evaluator's first one."""
    evaluator = name.rpartition("_")[0]
    wanted = primary["metric"] if evaluator == primary["evaluator"] else None
    return next((each for each in scores.measures if each.name == wanted), scores.measures[0])


def _other_tests(
    name: str, scores: _Scored, primary_row: Mapping[str, Any], permutations: int
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


def _changed(name: str, scores: _Scored, primary: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """The examples that the second model does worse, and those that it does better: the most changed ones."""
    before, after = scores[0][0], scores[1][0]
    measure = _decisive(name, before, primary)
    kind = KIND_OF.get(measure.statistic)
    if kind is None:
        return []
    values = before.predicted[measure.predicted], after.predicted[measure.predicted]
    rows = with_errors(rows_of(before.examples, *values, gold=measure.gold or "gold"), kind)
    return [*broken(rows, number), *mended(rows, number)]


def _result_of(folder: Path) -> dict[str, Any]:
    return read_json(folder / RESULT)


def _head(folder: Path) -> dict[str, Any]:
    result = _result_of(folder)
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

    run_command(compare, "compare", rewrite=_with_runs)


def _with_runs(arguments: Sequence[str]) -> list[str]:
    """The arguments with those that are no overrides and no options as the list `runs`.

    >>> _with_runs(["runs/a", "runs/b", "resamples=500"])
    ['runs=["runs/a","runs/b"]', 'resamples=500']
    """
    from embexp.cli.quoting import quoted

    runs = [argument for argument in arguments if "=" not in argument and not argument.startswith("-")]
    others = [argument for argument in arguments if argument not in runs]
    return [f"runs=[{','.join(map(quoted, runs))}]", *others] if runs else others


def compare(config: DictConfig, _choices: dict[str, Any] | None = None, _folder: Path | None = None) -> dict[str, Any]:
    """Compare two runs and print the page; returns what it says. Raises as `comparison` does."""
    found, page = comparison(config)
    print(page)
    return found


def comparison(config: DictConfig) -> tuple[dict[str, Any], str]:
    """What a comparison of two runs finds, and the page that says it, written where that is configured.

    Raises:
        ConfigError: not two runs, or ones that have not finished or were evaluated on other examples.
    """
    resolved = resolve(config)
    runs = resolved["runs"]
    sides = [[run.strip() for run in side.split(",") if run.strip()] for side in runs]
    if len(sides) != 2 or not all(sides):
        raise ConfigError(
            f"{len(runs)} runs were named",
            expected="two, each by its folder or its id in MLflow; seeds of one configuration with commas between "
            "them: <run>,<run>",
            fix=shell_command("compare", ["<run>", "<run>"]),
        )
    refuse(
        (
            *problems_with("resamples", resolved["resamples"], RESAMPLES, such_as=1000),
            *problems_with("examples", resolved["examples"], COUNT_FROM_0, such_as=5),
            *margin_problems(resolved),
        )
    )
    roots = [resolved["paths"][place] for place in ("runs", "sweeps", "tunings")]
    folders = [[find_run(run, roots) for run in side] for side in sides]
    found = _compare_runs(*folders, resolved["resamples"], resolved["examples"], margins_in(resolved))
    page = comparison_page(found)
    if resolved["output"]:
        write_text(Path(resolved["output"]), page)
    return found, page
