"""What the runs of a recipe's sweep found, a row for each of its variants."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.core.run_folder import RESULT, read_json, status_of
from embexp.experiment.compare import difference_in
from embexp.experiment.sweep_record import SWEEP, taken_from
from embexp.leaderboards.make import make_leaderboard
from embexp.leaderboards.runs import runs_in
from embexp.reports.leaderboard_content import Estimate
from embexp.tracking.mlflow_runs import FINISHED, RecordedRun
from results.recipe import DATA, Recipe

OVERRIDES = Path(".hydra/overrides.yaml")
RESAMPLES = 2000  # behind the interval of a difference between two variants, as behind those of the runs


def findings_of(recipe: Recipe) -> list[dict[str, Any]]:
    """A row for each variant that has finished runs, as plain values; none where the sweep has not begun.

    The first variant is the control: the others have their difference to it besides that to the untouched model.
    """
    if not (recipe.folder / SWEEP).is_file():
        return []
    variants = _variants(recipe.folder)
    found = []
    for variant, folders in variants.items():
        if folders:
            row = _row(runs_in(folders)) | {"rows_before": rows_before(folders)}
            beside = _beside(*next(iter(variants.items())), folders, row["metric"])
            found.append({"recipe": recipe.name, "variant": variant, **row, "beside": beside})
    return [row | {"published": recipe.published, "command": recipe.command} for row in found]


def _variants(sweep: Path) -> dict[str, list[Path]]:
    """The folders of a sweep's finished runs by what was typed for them and not for all, less the seed."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for folder in sorted((path for path in sweep.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)):
        if (folder / OVERRIDES).is_file():
            typed = OmegaConf.to_container(OmegaConf.load(folder / OVERRIDES))
            key = tuple(each for each in typed if not each.startswith(("seed=", f"{DATA}=")))
            found.setdefault(key, []).append(taken_from(folder) or folder)
    same = set.intersection(*map(set, found)) if found else set()
    return {
        " ".join(each for each in typed if each not in same): [f for f in folders if status_of(f) == FINISHED]
        for typed, folders in found.items()
    }


def _beside(control: str, controls: Sequence[Path], folders: Sequence[Path], metric: str) -> Mapping[str, Any] | None:
    """The difference to the control, paired by example; None of the control itself, and where it has no such run."""
    if controls == folders or not controls:
        return None
    found = difference_in(metric, controls, folders, RESAMPLES)
    if found is None:
        return None
    difference = [found[key] for key in ("difference", "low", "high")]
    return {"control": control, "difference": difference, "verdict": found["verdict"]}


def _row(runs: Sequence[RecordedRun]) -> dict[str, Any]:
    """Mean over the seeds with intervals over seeds and examples, the untouched model, data, costs and ids."""
    leaderboard = make_leaderboard(runs, rows=["loss"], columns=["model"])
    (cell,), (base,) = leaderboard.trained, leaderboard.at(None, leaderboard.trained[0].column)
    params = runs[0].params
    return {
        "model": params["model"],
        "dataset": params["dataset"],
        "shape": params["dataset.shape"],
        "train_rows": int(params["dataset.train_rows"]),
        "rows_trained": round(_mean(runs, lambda m: m["cost/train_seconds"] * m["cost/rows_per_second"])),
        "metric": cell.metric,
        "base": base.score.value,
        "score": _estimate(cell.score),
        "difference": _estimate(cell.difference),
        "verdict": cell.verdict,
        "dev": _on_dev(runs, cell.metric),
        "seeds": [*cell.seeds],
        "seconds": _mean(runs, lambda metrics: metrics["cost/seconds"]),
        "runs": [*cell.runs],
        "device": _distinct(runs, _device),
        "commit": _distinct(runs, lambda tags: tags.get("commit", "")),
    }


def _estimate(found: Estimate) -> list[float | None]:
    """The value and the ends of its interval; None where they are not known, which JSON has no number for."""
    return [None if math.isnan(each) else each for each in (found.value, found.low, found.high)]


def _mean(runs: Sequence[RecordedRun], value_in: Callable[[Mapping[str, float]], float]) -> float:
    return statistics.fmean(value_in(run.metrics) for run in runs)


def _on_dev(runs: Sequence[RecordedRun], metric: str) -> list[float] | None:
    """The untouched and the trained model on dev, where the verdict falls on test: papers report either."""
    split, _, rest = metric.partition("/")
    evaluator, _, name = rest.rpartition("/")
    keys = (f"base/{evaluator}/dev/{name}", f"dev/{rest}")
    if split != "test" or not all(key in run.metrics for run in runs for key in keys):
        return None
    return [_mean(runs, lambda metrics, key=key: metrics[key]) for key in keys]


def rows_before(folders: Sequence[Path]) -> dict[str, int | None]:
    """The rows that each stage before the main one was shown, a mean over the runs; None where none of them tells."""
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
    """What the tags of the runs say, each value once."""
    return ", ".join(dict.fromkeys(value_in(run.tags) for run in runs))


def _device(tags: Mapping[str, str]) -> str:
    """The GPU's name, or the number of CPU threads."""
    gpu = tags.get("host.gpu", "none")
    threads = tags.get("host.threads", "?")
    return gpu if gpu != "none" else f"{threads} CPU thread{'' if threads == '1' else 's'} for each run"
