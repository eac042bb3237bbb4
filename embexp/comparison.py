"""Two finished runs, from what their folders hold: no model is loaded and nothing is encoded."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.errors import ConfigError
from embexp.evaluation.kept_examples import read_examples
from embexp.evaluation.many_comparisons import holm
from embexp.evaluation.scores import Difference, Scores, compare
from embexp.reports.changed_examples import KIND_OF, broken, mended, rows_of, with_errors
from embexp.run_record import CONFIG, RESULT, read_record, status_of

EXAMPLES = "examples"
NOT_RESULTS = ("hydra", "paths", "tracking", "name", "profile", "keep", "export")  # change no result


def compare_runs(first: Path, second: Path, resamples: int, examples: int) -> dict[str, Any]:
    """What two runs have in common and what not: second minus first of every metric of their trained models.

    Args:
        resamples: bootstrap resamples behind each interval.
        examples: changed examples to keep for each evaluator and split.

    Raises:
        ConfigError: a run has not finished, or they share no evaluator with the same examples.
    """
    for folder in (first, second):
        if (status := status_of(folder)) != "FINISHED":
            raise ConfigError(f"The run in {folder} is {status}. Expected one that has finished.")
    results = [json.loads((folder / RESULT).read_text(encoding="utf-8")) for folder in (first, second)]
    shared, left_out = _shared(first, second)
    if not shared:
        raise ConfigError(
            f"{first} and {second} were judged on no examples that are the same"
            + (f" ({'; '.join(left_out)})" if left_out else "")
            + ". Expected runs with the same evaluator on the same data."
        )
    rows = [
        _row(name, difference)
        for name, (before, after) in shared.items()
        for difference in compare(before, after, resamples)
    ]
    return {
        "runs": [_head(folder, result) for folder, result in zip((first, second), results, strict=True)],
        "metrics": _corrected(rows),
        "left_out": left_out,
        "configuration": config_differences(first, second),
        "data": data_differences(first, second),
        "changed": {name: _changed(before, after, examples) for name, (before, after) in shared.items()},
    }


def _shared(first: Path, second: Path) -> tuple[dict[str, tuple[Scores, Scores]], list[str]]:
    """The trained models' scores of each evaluator and split that both runs have, and why others are left out."""
    files = [{path.stem: path for path in sorted((folder / EXAMPLES).glob("*.parquet"))} for folder in (first, second)]
    shared, left_out = {}, []
    for name in dict.fromkeys([*files[0], *files[1]]):
        if name not in files[0] or name not in files[1]:
            left_out.append(f"{name}: only one of them has it")
            continue
        before, after = (read_examples(each[name]).trained for each in files)
        texts = [[values for values in each.examples.values() if isinstance(values, list)] for each in (before, after)]
        if texts[0] != texts[1]:
            left_out.append(f"{name}: the examples differ")
            continue
        shared[name] = (before, replace(after, examples=before.examples))
    return shared, left_out


def _changed(before: Scores, after: Scores, number: int) -> list[dict[str, Any]]:
    """The examples that the second run's model does worse, and those that it does better: the most changed ones."""
    measure = before.measures[0]
    kind = KIND_OF.get(measure.statistic)
    if kind is None:
        return []
    values = before.predicted[measure.predicted], after.predicted[measure.predicted]
    rows = with_errors(rows_of(before.examples, *values, gold=measure.gold or "gold"), kind)
    return [*broken(rows, number), *mended(rows, number)]


def _head(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "name": result["run"]["name"],
        "seed": result["seed"],
        "verdict": result["verdict"],
        "seconds": result["metrics"].get("cost/seconds"),
    }


def _row(name: str, difference: Difference) -> dict[str, Any]:
    evaluator, _, split = name.rpartition("_")
    return {
        "metric": f"{split}/{evaluator}/{difference.metric}",
        "first": difference.base,
        "second": difference.trained,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        "verdict": difference.verdict,
    }


def _corrected(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with p corrected for their number (Holm); those without one keep none."""
    known = [row for row in rows if row["p"] == row["p"]]
    for row, p in zip(known, holm([row["p"] for row in known]), strict=True):
        row["p_holm"] = p
    return [*rows]


def config_differences(first: Path, second: Path) -> list[tuple[str, Any, Any]]:
    """Keys whose values differ, with both of them; those that change no result are left out."""
    flat = [dict(_flat(OmegaConf.to_container(OmegaConf.load(folder / CONFIG)), "")) for folder in (first, second)]
    return [
        (key, flat[0].get(key), flat[1].get(key))
        for key in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(key) != flat[1].get(key) and key.partition(".")[0] not in NOT_RESULTS
    ]


def _flat(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def data_differences(first: Path, second: Path) -> list[str]:
    """What differs in rows, weights and versions, a line for each."""
    records = [read_record(folder) for folder in (first, second)]
    lines = []
    for part, what in (("data", "rows"), ("weights", "weights"), ("versions", "version")):
        before, after = (record[part] for record in records)
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                lines.append(f"{what} of {key}: {before.get(key)} and {after.get(key)}")
    return lines
