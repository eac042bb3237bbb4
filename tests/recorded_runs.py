"""Runs written by hand: as MLflow has them, or as folders with per-example values."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from embexp.core.run_folder import CONFIG, LAYOUT, LAYOUT_TAG, RECORD, RESULT
from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import Scores, compare, write_examples
from embexp.evaluation.stats.multiple_comparisons import rank_models
from embexp.tracking.mlflow_runs import RecordedRun

KEY = "test/sts/spearman_cosine"
EXAMPLES = 300
MEASURE = Measure("spearman_cosine", "spearman", "cosine", "gold")


def recorded(
    number: int, gain: float, half: float = 0.01, base: float = 0.6, status: str = "FINISHED", **params: Any
) -> RecordedRun:
    """A run that gained so much, with an interval of so much on either side; `ended` is its number."""
    values = {"loss": "mnrl", "model": "minilm", "dataset": "finance", "seed": "1"} | params
    metrics = {
        KEY: base + gain,
        f"{KEY}_low": base + gain - half,
        f"{KEY}_high": base + gain + half,
        "base/sts/spearman_cosine": base,
        "base/sts/spearman_cosine_low": base - half,
        "base/sts/spearman_cosine_high": base + half,
        "delta/sts/spearman_cosine": gain,
        "delta/sts/spearman_cosine_low": gain - half,
        "delta/sts/spearman_cosine_high": gain + half,
        "cost/seconds": 10.0 * number,
        "cost/encode_texts_per_second": 100.0 * number,
        "cost/parameters": 22_713_216.0,
    }
    tags = {LAYOUT_TAG: str(LAYOUT), "primary": KEY, "evaluated.sts/test": f"rows of {values['dataset']}"}
    params = {key: str(value) for key, value in values.items()}
    return RecordedRun(f"run {number}", f"run {number}", status, float(number), params, metrics, tags, lambda _: None)


def write_run(folder: Path, noise: float, texts: str = "text", base_noise: float | None = 1.0, **params: Any) -> Path:
    """A finished run's folder: gold scores, and two models that see them through noise; seeds draw noise of their own.

    Args:
        noise: the trained model's, the untouched one has `base_noise`: less is better; None gives all one value.
        texts: what its examples are made of; other ones are another test set.
    """
    values = {"loss": "mnrl", "model": "minilm", "dataset": "finance", "seed": 1} | params
    gold = numpy.random.default_rng(0).random(EXAMPLES)
    shared = numpy.random.default_rng([1, *map(ord, values["model"])]).normal(0, 1, EXAMPLES)
    own = numpy.random.default_rng([2, values["seed"], *map(ord, values["loss"])]).normal(0, 0.1, EXAMPLES)
    examples = {
        "id": [f"test-{place}" for place in range(EXAMPLES)],
        "sentence1": [f"{texts} {place}" for place in range(EXAMPLES)],
        "gold": gold,
    }
    untouched = numpy.ones(EXAMPLES) if base_noise is None else gold + shared * base_noise
    base, trained = _scores(examples, untouched), _scores(examples, gold + (shared + own) * noise)
    write_examples(folder / "examples" / "sts_test.parquet", {"base": base, "trained": trained})
    (folder / "result.json").write_text(json.dumps(_result(folder, base, trained, values)), encoding="utf-8")
    return folder


def write_whole_run(folder: Path, noise: float, **params: Any) -> Path:
    """The same with all files of a run, as it is found by its folder and compared."""
    write_run(folder, noise, **params)
    values = {"loss": "mnrl", "model": "minilm", "seed": 1} | params
    own = {key: value for key, value in values.items() if key not in ("texts", "base_noise")}
    result = json.loads((folder / RESULT).read_text("utf-8"))
    primary = {"key": KEY, "evaluator": "sts", "metric": MEASURE.name}
    (folder / RESULT).write_text(
        json.dumps(result | {"seed": values["seed"], "verdict": "better", "primary": primary}), "utf-8"
    )
    record = {"layout": LAYOUT, "key": folder.name, "name": folder.name, "directory": str(folder), "choices": own}
    (folder / RECORD).write_text(json.dumps(record | {"versions": {}, "data": {}, "weights": {}}), "utf-8")
    (folder / CONFIG).write_text("".join(f"{key}: {value}\n" for key, value in own.items()), "utf-8")
    return folder


def _scores(examples: Mapping[str, Any], cosine: "numpy.ndarray") -> Scores:
    metrics = {MEASURE.name: value_of(MEASURE, {**examples, "cosine": cosine})}
    return Scores("test", examples, {"cosine": cosine}, metrics, (MEASURE,))


def _result(folder: Path, base: Scores, trained: Scores, params: Mapping[str, Any]) -> dict[str, Any]:
    """What result.json says, with the intervals that a run logs."""
    (found,) = compare(base, trained, 500)
    placed = {each.name: each for each in rank_models({"base": base, "test": trained}, MEASURE.name, 500)}
    ends = {
        f"{name}/sts/spearman_cosine_{end}": getattr(each, end)
        for name, each in placed.items()
        for end in ("low", "high")
    }
    metrics = {
        KEY: found.trained,
        "base/sts/spearman_cosine": found.base,
        "delta/sts/spearman_cosine": found.value,
        "delta/sts/spearman_cosine_low": found.low,
        "delta/sts/spearman_cosine_high": found.high,
        **ends,
        "cost/seconds": 20.0 + len(params["loss"]),
        "cost/encode_texts_per_second": 100.0 * len(params["model"]),
    }
    return {
        "run": {"name": folder.name, "id": "", "status": "FINISHED"},
        "params": params,
        "metrics": metrics,
        "tags": {
            LAYOUT_TAG: str(LAYOUT),
            "evaluated.sts/test": f"rows of {params['dataset']}",
            "verdict": found.verdict,
        },
        "primary": {"key": KEY},
    }
