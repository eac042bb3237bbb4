"""What a race will take, before anything is trained: what is counted, and a rough time where a speed is known.

Speeds are those that earlier runs of the same base models have measured here, the same data first. Where the first
model has none, scoring is much and the budget is time, a few texts of dev are encoded. Training a text is taken for
three times as long as encoding it: forward once, backward twice. The estimate after the first trainings is better.
"""

import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.core.environment import environment_tags
from embexp.core.escaping import say
from embexp.core.run_folder import RESULT, read_json, readable
from embexp.errors import Problem
from embexp.evaluation.scores import Evaluator
from embexp.experiment.guard import own_evaluators
from embexp.experiment.plan import RunPlan
from embexp.experiment.scoring import encoding_costs, texts_of
from embexp.models.weights import LOCAL
from embexp.racing.budget import Budget
from embexp.racing.record import Race
from embexp.racing.runner import examples_read
from embexp.sweep.progress import duration
from embexp.training.trainer_values import steps_of

logger = logging.getLogger(__name__)
_SPEED = "encode_texts_per_second"
_OF_TRAINING = 3  # times the encoding of a text
_LARGE_SHARE = 1 / 3  # of the budget, for scoring alone: worth a warning
_MANY_TEXTS, _FEW_TEXTS = 1000, 16  # of dev: whose encoding is worth measuring; that are encoded for it
_MOST_READ = 100  # of the latest results
_RESULTS = {"runs": ("*/*", "*/*/*"), "sweeps": ("*/*", "*/*/*"), "races": ("*/*/runs/*",)}  # where runs are


@dataclass(frozen=True)
class Work:
    """What one whole training of a candidate takes.

    Attributes:
        texts: that are trained on.
        evaluations: on dev, on its way.
        until_first: as many of them lie before the first comparison.
    """

    steps: int
    examples: int
    texts: int
    evaluations: int
    until_first: int


def work_of(plan: RunPlan, first_rung: float) -> Work:
    """The work of a planned run."""
    stage = plan.stages[-1]
    steps, examples = steps_of(stage.trainer, stage.num_rows), examples_read(plan)
    every = stage.trainer.get("eval_steps") or 1
    if stage.trainer.get("eval_strategy") == "epoch":
        every = steps / math.ceil(stage.trainer.get("num_train_epochs", 3))
    every = max(1, round(every * steps if every < 1 else every))
    texts = examples * len(stage.dataset.text_columns)
    return Work(steps, examples, texts, math.ceil(steps / every), math.ceil(first_rung * steps / every))


def say_outlook(race: Race, plans: Sequence[RunPlan]) -> None:
    """Say what the trainings of a new race read and how long that may take, and warn where scoring takes much of it.

    Args:
        plans: of the candidates, in their order.
    """
    rules = race.course.rules
    works = [work_of(plan, rules.levels[0].share) for plan in plans]
    first = dict(reversed([*zip(rules.models, plans, strict=True)]))
    evaluators = [each for each in own_evaluators(plans[0]) if "dev" in each.splits]
    on_dev = sum(len(texts) for texts in texts_of(evaluators, "dev").values())
    say(
        f"each training reads {_range(each.examples for each in works)} examples in "
        f"{_range(each.steps for each in works)} steps, and scores {on_dev:,} texts of dev "
        f"{_range(each.evaluations for each in works)} times; each untouched model is scored once before"
    )
    speeds = known_speeds(first)
    how = "by earlier runs here"
    if not speeds and race.budget.seconds and on_dev >= _MANY_TEXTS:
        model, plan = next(iter((name, first[name]) for name in dict.fromkeys(rules.models)))
        speeds, how = _measured(model, plan, evaluators), f"by {_FEW_TEXTS} texts of dev"
    if not speeds:
        return
    known = [(work, speeds[model]) for work, model in zip(works, rules.models, strict=True) if model in speeds]
    untouched = sum(on_dev / speed for speed in speeds.values())
    trained = sum(_OF_TRAINING * work.texts / speed for work, speed in known)
    scored = sum(work.evaluations * on_dev / speed for work, speed in known)
    once, every = ((untouched + seeds * (trained + scored)) / rules.workers for seeds in (1, len(race.seeds)))
    left_out = [model for model in first if model not in speeds]
    without = f", without {', '.join(sorted(left_out))}, of which no speed is known" if left_out else ""
    say(
        f"first estimate, rough, {how}: {duration(once)} for one training of each candidate, {duration(every)} with "
        f"all seeds of all of them{without}; a better one follows the first trainings"
    )
    pilots = dict(reversed([*zip(rules.models, works, strict=True)]))
    until_first = sum((1 + pilots[model].until_first) * on_dev / speed for model, speed in speeds.items())
    scoring = until_first / rules.workers
    if problem := scoring_problem(scoring, race.budget, on_dev, evaluators, plans[0].config):
        logger.warning("%s", problem)


def _range(numbers: Any) -> str:
    """
    >>> _range([3, 1200, 7]), _range([4, 4])
    ('3 to 1,200', '4')
    """
    every = [*numbers]
    low, high = min(every), max(every)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def scoring_problem(
    seconds: float, budget: Budget, on_dev: int, evaluators: Sequence[Evaluator], config: Mapping[str, Any]
) -> Problem | None:
    """The problem with a budget of which scoring dev takes more than a third before the first comparison.

    Args:
        seconds: that scoring takes until then.
        on_dev: distinct texts of dev.
    """
    if not budget.seconds or seconds <= _LARGE_SHARE * budget.seconds:
        return None
    own = [each for each in evaluators if _searches_others(each, config["evaluator"].get(each.name) or {})]
    fewer = tuple(f"evaluator.{each.name}.corpus=split" for each in own)
    return Problem(
        f"Scoring {on_dev:,} texts of dev takes about {duration(seconds)} of the budget of {budget} before the first "
        "candidates are compared",
        expected="most of the budget for training" + ("; or queries that search their own split alone" if own else ""),
        fix=(*fewer, f"budget={math.ceil(seconds / _LARGE_SHARE / 60)}m"),
    )


def _searches_others(evaluator: Evaluator, node: Mapping[str, Any]) -> bool:
    """Whether most documents that the queries of dev search are of other splits."""
    own = {*(pairs := evaluator.positives("dev")).first, *pairs.second}
    return node.get("corpus") == "all" and sum(map(len, evaluator.texts("dev").values())) > 2 * len(own)


def known_speeds(plans: Mapping[str, RunPlan]) -> dict[str, float]:
    """Texts that each base model encodes in a second, as the latest run of it here has measured, of these data first.

    Args:
        plans: a candidate of each base model, by its name.
    """
    paths = next(iter(plans.values())).config["paths"]
    found = [
        path
        for key, depths in _RESULTS.items()
        for depth in depths
        if paths.get(key)
        for path in Path(paths[key]).glob(f"{depth}/{RESULT}")
    ]
    latest = sorted({*found}, key=lambda path: path.stat().st_mtime, reverse=True)[:_MOST_READ]
    host = environment_tags()["host.gpu"]
    results = [each for _, each in readable(latest, read_json) if each.get("tags", {}).get("host.gpu") == host]
    speeds = {}
    for model, plan in plans.items():
        same = [each for each in results if f"cost/{_SPEED}" in each.get("metrics", {}) and _model_of(each) == model]
        own = plan.stages[-1].dataset.name
        same.sort(key=lambda each: each["params"].get("dataset") != own)
        if same:
            speeds[model] = same[0]["metrics"][f"cost/{_SPEED}"]
    return speeds


def _model_of(result: Mapping[str, Any]) -> str:
    return str(result.get("params", {}).get("model", "")).partition("+")[0]


def _measured(model: str, plan: RunPlan, evaluators: Sequence[Evaluator]) -> dict[str, float]:
    """The speed of a model whose weights are on this machine, on some texts of dev; nothing of others."""
    if plan.model_place["source"] not in LOCAL:
        return {}
    texts = [text for some in texts_of(evaluators, "dev").values() for text in some]
    some = texts[:: max(1, len(texts) // _FEW_TEXTS)][:_FEW_TEXTS]
    with tempfile.TemporaryDirectory() as folder:
        loaded = plan.model.load(lambda: iter(texts), Path(folder))
    return {model: encoding_costs(loaded, some)[_SPEED]}
