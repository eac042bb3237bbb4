"""The guard of a run: other tasks, scored before and after training, which show what the own gain cost elsewhere.

The guard picks nothing: its tasks have no dev, and the verdict of a run is that of its own test. A fine-tuned model may
be better on its own test and worse on everything else (catastrophic forgetting: McCloskey & Cohen 1989; of embedding
models Xiao et al. 2023, "LM-Cocktail", arXiv 2311.13534).

The summary is the mean of the tasks' differences, with an interval that holds how the tasks' examples vary. It does not
hold how other tasks would come out: it says what happened on these ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from embexp.evaluation.scores import Evaluator
from embexp.evaluation.stats.multiple_comparisons import mean_of_tasks
from embexp.evaluation.stats.verdicts import margin_of, margins_in
from embexp.experiment.evaluators import guard_nodes
from embexp.experiment.plan import RunPlan

_METRIC = "guard"  # whose margin the mean of different metrics has, unless that is not named


def guard_tasks(plan: RunPlan) -> tuple[Evaluator, ...]:
    """The evaluators of the guard."""
    names = guard_nodes(plan.config)
    return tuple(each for each in plan.evaluators if each.name in names)


def own_evaluators(plan: RunPlan) -> tuple[Evaluator, ...]:
    """All others: those of the run's own task."""
    names = guard_nodes(plan.config)
    return tuple(each for each in plan.evaluators if each.name not in names)


def shown_metrics(plan: RunPlan, evaluator: Evaluator) -> tuple[str, ...]:
    """The metrics of an evaluator that the closing table has.

    Of a task of the guard that is its primary one, and no other has a verdict; of one that holds several tasks (mteb),
    which has no values of single examples, that of each.
    """
    if evaluator.name not in guard_nodes(plan.config) or not evaluator.resamples:
        return tuple(evaluator.headline_metrics)
    return (evaluator.primary_metric,)


def guard_summary(plan: RunPlan, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over the guard's tasks: base, trained, difference, interval, verdict; empty without a guard.

    It is one number that was named before anything was seen, so that nothing is corrected for.

    Args:
        rows: of all comparisons of the run.
    """
    shown = [row for row in rows if row.get("guard") and row["headline"]]
    return mean_of_tasks(shown, margin_of(_METRIC, margins_in(plan.config))) if shown else {}


def summary_metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """The summary as metrics: `guard/...`, and the difference as a cost, so that leaderboards have it as a column.

    >>> [*summary_metrics({"base": 0.5, "trained": 0.4, "difference": -0.1, "low": -0.2, "high": 0.0})]
    ['guard/mean', 'guard/mean_base', 'guard/mean_delta', 'guard/mean_low', 'guard/mean_high', 'cost/guard']
    """
    names = {"": "trained", "_base": "base", "_delta": "difference", "_low": "low", "_high": "high"}
    found = {f"guard/mean{name}": summary[key] for name, key in names.items()}
    return found | {"cost/guard": summary["difference"]}
