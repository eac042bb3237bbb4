"""What the runs of a recipe's sweep found, a row for each of its variants; and RESULTS.md, the page of all rows."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from results.recipes import DATA, Recipe

_Row = Mapping[str, Any]
_OVERRIDES = Path(".hydra/overrides.yaml")
_RESAMPLES = 2000  # behind the interval of a difference between two variants, as behind those of the runs


def findings_of(recipe: Recipe) -> list[dict[str, Any]]:
    """A row for each variant that has finished runs, as plain values; none before the sweep has begun.

    The first variant is the control: the others have their difference to it and to the untouched model.
    """
    if not (recipe.folder / SWEEP).is_file():
        return []
    variants = _variants(recipe.folder)
    found = []
    for variant, folders in variants.items():
        if folders:
            row = _row(runs_in(folders)) | {"rows_before": _rows_before(folders)}
            beside = _beside(*next(iter(variants.items())), folders, row["metric"])
            found.append({"recipe": recipe.name, "variant": variant, **row, "beside": beside})
    return [row | {"published": recipe.published, "command": recipe.command} for row in found]


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


def _beside(control: str, controls: Sequence[Path], folders: Sequence[Path], metric: str) -> Mapping[str, Any] | None:
    """The difference to the control, paired by example; None for the control itself or without runs of it."""
    if controls == folders or not controls:
        return None
    found = difference_in(metric, controls, folders, _RESAMPLES)
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
        "score": _plain_estimate(cell.score),
        "difference": _plain_estimate(cell.difference),
        "verdict": cell.verdict,
        "dev": _on_dev(runs, cell.metric),
        "seeds": [*cell.seeds],
        "seconds": _mean(runs, lambda metrics: metrics["cost/seconds"]),
        "runs": [*cell.runs],
        "device": _distinct(runs, _device),
        "commit": _distinct(runs, lambda tags: tags.get("commit", "")),
    }


def _plain_estimate(found: Estimate) -> list[float | None]:
    """The value and the ends of its interval; None where one is unknown, as JSON has no nan."""
    return [None if math.isnan(each) else each for each in (found.value, found.low, found.high)]


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


_HEADINGS = (
    "recipe",
    "base model",
    "trained on",
    "metric",
    "untouched",
    "trained, 95 % interval",
    "difference, 95 % interval",
    "verdict",
    "dev: untouched, trained",
    "published",
    "seeds",
    "s per run",
)
_BESIDE = ("recipe", "control", "metric", "difference to the control, 95 % interval", "verdict")
_INTRODUCTION = """# Results

Recipes (`conf/experiment/`) measured on real data. `make reproduce`, which is `python -m results.reproduce`, made this
page; what was finished before is not run again, whatever has changed since. Every line is a mean over seeds; its
interval holds seeds and examples both, that of a line with one seed the examples only. The checkpoint was picked on
dev, the verdict fell on the split that the metric names. Published figures are those of larger base models and more
data: what to compare is the order. `equal within 0.005` is a difference whose whole interval lies within half a point;
`undecided` says that so few examples and seeds cannot tell (docs/verdicts.md).
"""


def results_page(sizes: Sequence[Mapping[str, Any]], notes: str) -> str:
    """The page as Markdown.

    Args:
        sizes: for each size its name, rows and failures, as `results/<size>.json` holds them.
        notes: a person's remarks, Markdown; may be empty.
    """
    parts = [_INTRODUCTION, *([notes.strip() + "\n"] if notes.strip() else [])]
    return "\n".join([*parts, *("\n".join(_section(each)) for each in sizes if each["rows"] or each["failures"])])


def _section(size: Mapping[str, Any]) -> Iterator[str]:
    rows = size["rows"]
    yield f"## size={size['size']}\n"
    devices = [*dict.fromkeys(row["device"] for row in rows)]
    yield f"Measured on {'; '.join(devices) or 'nothing yet'}.\n"
    if len(devices) > 1:
        yield from _table((*_HEADINGS, "device"), [[*_line(row), row["device"]] for row in rows])
    else:
        yield from _table(_HEADINGS, [_line(row) for row in rows])
    if beside := [_beside_line(row) for row in rows if row.get("beside")]:
        yield "The variants of a recipe beside its first one, paired by example:\n"
        yield from _table(_BESIDE, beside)
    for failure in size["failures"]:
        yield f"- failed: {_escaped(failure)}"
    yield "\nThe commands, the commits and the runs in MLflow:\n"
    for name in dict.fromkeys(row["recipe"] for row in rows):
        of_recipe = [row for row in rows if row["recipe"] == name]
        runs = " ".join(run for row in of_recipe for run in row["runs"])
        found = f"; runs {runs}" if runs else ""
        yield f"- {name}: `{of_recipe[0]['command']}`; commit {_commits(of_recipe)}{found}"
    yield ""


def _commits(rows: Sequence[_Row]) -> str:
    """Short commits of all rows, each once, with `+changes` where files differed."""
    heads = (commit.partition("+") for row in rows for commit in row["commit"].split(", "))
    return ", ".join(dict.fromkeys(f"{head[:12]}{plus}{changes}" for head, plus, changes in heads))


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    for line in (headings, ["---"] * len(headings), *([_escaped(cell) for cell in line] for line in lines)):
        yield f"| {' | '.join(line)} |"
    yield ""


def _line(row: _Row) -> list[str]:
    dev = row["dev"]
    return [
        f"{row['recipe']} {row['variant']}".strip(),
        row["model"],
        f"{row['dataset']}, {row['train_rows']:,} rows as {row['shape']}; {_seen(row)}",
        row["metric"],
        f"{row['base']:.4f}",
        _estimate_text(row["score"]),
        _estimate_text(row["difference"], "+"),
        row["verdict"],
        f"{dev[0]:.4f}, {dev[1]:.4f}" if dev else "",
        row["published"],
        _seeds(row),
        f"{row['seconds']:.0f}",
    ]


def _seen(row: _Row) -> str:
    """How many rows the training and the stages before it were shown, as far as known.

    >>> _seen({"rows_trained": 1280, "rows_before": {"tsdae": 640}}), _seen({"rows_trained": 1280})
    ('1,280 seen after 640 in tsdae', '1,280 seen')
    """
    seen, before = f"{row['rows_trained']:,} seen", row.get("rows_before", {})
    if None in before.values():
        return f"{seen} in the main stage"
    stages = ", ".join(f"{rows:,} in {stage}" for stage, rows in before.items())
    return f"{seen} after {stages}" if stages else seen


def _seeds(row: _Row) -> str:
    number, (_, low, _) = len(row["seeds"]), row["score"]
    return "1 (examples only)" if number == 1 and low is not None else str(number)


def _beside_line(row: _Row) -> list[str]:
    beside = row["beside"]
    difference = _estimate_text(beside["difference"], "+")
    return [f"{row['recipe']} {row['variant']}", beside["control"], row["metric"], difference, beside["verdict"]]


def _estimate_text(values: Sequence[float | None], sign: str = "") -> str:
    """A value with its interval, where there is one.

    >>> _estimate_text([0.5, 0.4, 0.6]), _estimate_text([0.5, None, None], "+")
    ('0.5000 (0.4000 to 0.6000)', '+0.5000')
    """
    value, low, high = (math.nan if each is None else each for each in values)
    interval = "" if math.isnan(low) else f" ({low:{sign}.4f} to {high:{sign}.4f})"
    return f"{value:{sign}.4f}{interval}"


def _escaped(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())
