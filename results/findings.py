"""What the runs of a recipe's sweep found: a row for each of its variants, and one for each pair of them."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.core.run_folder import RESULT, read_json, status_of
from embexp.experiment.compare import differences_between
from embexp.experiment.sweep_record import SWEEP, taken_from
from embexp.leaderboards.cells import MetricKeys
from embexp.leaderboards.make import make_leaderboard
from embexp.leaderboards.runs import runs_in
from embexp.reports.leaderboard_content import Estimate, LeaderboardCell
from embexp.reports.verdict_words import NO_INTERVAL, TOO_FEW, UNDECIDED, needed_words
from embexp.tracking.journal import METRICS, written_lines
from embexp.tracking.mlflow_runs import FINISHED, RecordedRun
from results.recipes import DATA, Recipe

_Row = Mapping[str, Any]
_OVERRIDES = Path(".hydra/overrides.yaml")
_RESAMPLES = 2000  # behind the interval of a difference between two variants, as behind those of the runs
_VARIANT = "variant"  # the axis of a recipe's leaderboard


def findings_of(recipe: Recipe) -> dict[str, list[dict[str, Any]]]:
    """What a sweep has found so far, as plain values: `rows`, one for each variant that has finished runs, and `pairs`.

    A row has a variant's difference to the untouched model, corrected for the number of variants; a pair that of its
    second variant to its first, corrected for the number of pairs.
    """
    if not (recipe.folder / SWEEP).is_file():
        return {"rows": [], "pairs": []}
    variants = {variant: folders for variant, folders in _variants(recipe.folder).items() if folders}
    shared = {"recipe": recipe.name, "published": recipe.published, "command": recipe.command}
    rows = [shared | row for row in _rows(variants)] if variants else []
    pairs = [{"recipe": recipe.name} | pair for pair in _pairs(variants, rows)]
    return {"rows": rows, "pairs": pairs}


def _variants(sweep: Path) -> dict[str, list[Path]]:
    """The folders of a sweep's finished runs, by the overrides that not all runs share, without the seed."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for folder in sorted((path for path in sweep.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)):
        if (folder / _OVERRIDES).is_file():
            typed = OmegaConf.to_container(OmegaConf.load(folder / _OVERRIDES))
            key = tuple(each for each in typed if not each.startswith(("seed=", f"{DATA}=")))
            found.setdefault(key, []).append(taken_from(folder) or folder)
    same = set.intersection(*map(set, found)) if found else set()
    return {
        " ".join(each for each in typed if each not in same): [f for f in folders if status_of(f) == FINISHED]
        for typed, folders in found.items()
    }


def _pairs(variants: Mapping[str, Sequence[Path]], rows: Sequence[_Row]) -> list[dict[str, Any]]:
    """The differences between variants with the same metric, paired by example."""
    found = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        sides = {row["variant"]: variants[row["variant"]] for row in rows if row["metric"] == metric}
        found += [_pair(row) for row in differences_between(metric, sides, _RESAMPLES)]
    return found


def _pair(row: _Row) -> dict[str, Any]:
    needed = row.get("needed")
    return {
        "first": row["sides"][0],
        "second": row["sides"][1],
        "metric": row["metric"],
        "difference": _plain(row["difference"], row["low"], row["high"]),
        "alone": _plain(row["alone_low"], row["alone_high"]),
        "verdict": row["verdict"],
        "corrected_for": row["corrected_for"],
        "needed": needed_words(needed, row["examples"], row["units"]) if needed else "",
        "examples": row["examples"],
    }


def _rows(variants: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """The rows of all variants, from one leaderboard."""
    runs = {variant: runs_in(folders) for variant, folders in variants.items()}
    named = [replace(run, params={**run.params, _VARIANT: variant}) for variant, every in runs.items() for run in every]
    leaderboard = make_leaderboard(named, rows=[_VARIANT], columns=["model"], resamples=_RESAMPLES)
    cells = {cell.row[0]: cell for cell in leaderboard.trained}
    number = sum(not math.isnan(cell.p) for cell in cells.values())
    return [_row(variant, cells[variant], runs[variant], variants[variant], number) for variant in variants]


def _row(
    variant: str, cell: LeaderboardCell, runs: Sequence[RecordedRun], folders: Sequence[Path], number: int
) -> dict[str, Any]:
    """Mean over the seeds with intervals over seeds and examples, the untouched model, data, costs and ids.

    Args:
        number: of the verdicts that were corrected together.
    """
    params = runs[0].params
    return {
        "variant": variant,
        "model": params["model"],
        "dataset": params["dataset"],
        "shape": params["dataset.shape"],
        "train_rows": int(params["dataset.train_rows"]),
        "rows_trained": round(_mean(runs, lambda m: m["cost/train_seconds"] * m["cost/rows_per_second"])),
        "rows_before": _rows_before(folders),
        "steps": max(map(_steps, folders)),
        "metric": cell.metric,
        "examples": read_json(folders[0] / RESULT)["primary"].get("examples"),
        "base": _mean(runs, lambda metrics: metrics[MetricKeys(cell.metric, runs[0]).base]),
        "score": _plain_estimate(cell.score),
        "difference": _plain_estimate(cell.difference),
        "alone": _plain(*cell.alone),
        "verdict": cell.verdict,
        "corrected_for": number,
        "needed": cell.needed,
        "dev": _on_dev(runs, cell.metric),
        "seeds": [*cell.seeds],
        "seconds": _mean(runs, lambda metrics: metrics["cost/seconds"]),
        "runs": [*cell.runs],
        "fingerprints": [run.tags.get("embexp.fingerprint", "") for run in runs],
        "device": _distinct(runs, _device),
        "commit": _distinct(runs, lambda tags: tags.get("commit", "")),
    }


def _steps(folder: Path) -> int:
    """The last step that a run logged."""
    return max((line["step"] or 0 for line in written_lines(folder / METRICS)), default=0)


def _plain_estimate(found: Estimate) -> list[float | None]:
    """The value and the ends of its interval; None where one is unknown, as JSON has no nan."""
    return _plain(found.value, found.low, found.high)


def _plain(*values: float) -> list[float | None]:
    return [None if math.isnan(each) else each for each in values]


def _mean(runs: Sequence[RecordedRun], value_in: Callable[[Mapping[str, float]], float]) -> float:
    return statistics.fmean(value_in(run.metrics) for run in runs)


def _on_dev(runs: Sequence[RecordedRun], metric: str) -> list[float] | None:
    """The untouched and the trained model on dev, where the verdict is on test: papers report either."""
    split, _, rest = metric.partition("/")
    evaluator, _, name = rest.rpartition("/")
    keys = (f"base/{evaluator}/dev/{name}", f"dev/{rest}")
    if split != "test" or not all(key in run.metrics for run in runs for key in keys):
        return None
    return [_mean(runs, lambda metrics, key=key: metrics[key]) for key in keys]


def _rows_before(folders: Sequence[Path]) -> dict[str, int | None]:
    """The rows that each earlier stage trained on, a mean over the runs; None where no run recorded it."""
    shown: dict[str, list[float]] = {}
    for folder in folders:
        for name in (stage["name"] for stage in read_json(folder / RESULT).get("stages", ())):
            path = folder / "stages" / name / RESULT
            metrics = read_json(path).get("metrics", {}) if path.is_file() else {}
            known = shown.setdefault(name, [])
            if {"cost/train_seconds", "cost/rows_per_second"} <= metrics.keys():
                known.append(metrics["cost/train_seconds"] * metrics["cost/rows_per_second"])
    return {name: round(statistics.fmean(rows)) if rows else None for name, rows in shown.items()}


def _distinct(runs: Sequence[RecordedRun], value_in: Callable[[Mapping[str, str]], str]) -> str:
    """The values of the runs' tags, each once."""
    return ", ".join(dict.fromkeys(value_in(run.tags) for run in runs))


def _device(tags: Mapping[str, str]) -> str:
    """The GPU's name, or the number of CPU threads."""
    gpu = tags.get("host.gpu", "none")
    threads = tags.get("host.threads", "?")
    return gpu if gpu != "none" else f"{threads} CPU thread{'' if threads == '1' else 's'} for each run"


def unmeasured_pairs(found: Mapping[str, Any], recipe: str) -> list[tuple[str, str]]:
    """The pairs of a recipe's variants that have rows of the same metric, but were not compared."""
    rows = [row for row in found["rows"] if row["recipe"] == recipe]
    known = {frozenset((pair["first"], pair["second"])) for pair in found["pairs"] if pair["recipe"] == recipe}
    return [
        (one["variant"], two["variant"])
        for one, two in combinations(rows, 2)
        if one["metric"] == two["metric"] and {one["variant"], two["variant"]} not in known
    ]


def is_open(found: Mapping[str, Any], recipe: str) -> bool:
    """Whether more seeds may decide a question of a recipe: a pair that was not compared, or an undecided difference.

    Where it is known what would decide, and seeds are not among that, more of them are of no use. Runs of one seed do
    not know what seeds do.
    """
    asked = [each for each in (*found["rows"], *found["pairs"]) if each["recipe"] == recipe]
    has_one_seed = any(len(each.get("seeds", ())) == 1 for each in asked)
    undecided = [each for each in asked if each["verdict"] == UNDECIDED]
    may_help = (has_one_seed or not each.get("needed") or "seed" in each["needed"] for each in undecided)
    return any(may_help) or bool(unmeasured_pairs(found, recipe))


def progress(planned: Sequence[str], found: Mapping[str, Any]) -> dict[str, int]:
    """How much of a size's plan is done: recipes, and questions (a variant's gain, or a pair of variants)."""
    asked = [*found["rows"], *found["pairs"]]
    measured = {row["recipe"] for row in found["rows"]}
    undecided = sum(each["verdict"] in (UNDECIDED, NO_INTERVAL, TOO_FEW) for each in asked)
    unmeasured = sum(len(unmeasured_pairs(found, name)) for name in planned)
    return {
        "recipes": len(measured),
        "planned": len(planned),
        "decided": len(asked) - undecided,
        "undecided": undecided,
        "not_compared": unmeasured,
        "questions": len(asked) + unmeasured,
        "open_recipes": sum(is_open(found, name) for name in measured),
    }
