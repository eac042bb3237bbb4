"""What another form of a model keeps of its scores: every evaluator again, on the same examples."""

from collections.abc import Iterator
from typing import Any

from embexp.evaluation.scores import Difference, Evaluator, compare, judged_split
from embexp.exports.trained import TrainedModel
from embexp.protocols import Encoder


def compared(trained: TrainedModel, encoder: Encoder) -> Iterator[tuple[Evaluator, Difference]]:
    """Every metric of every evaluator: base is the model as it was trained, trained its other form.

    The interval is the evaluator's own: the paired bootstrap over the same examples.
    """
    for evaluator in trained.evaluators:
        scores = evaluator.score(encoder, judged_split(evaluator))
        for difference in compare(trained.scores(evaluator), scores, evaluator.resamples):
            yield evaluator, difference


def metrics_and_lines(trained: TrainedModel, encoder: Encoder, prefix: str) -> tuple[dict[str, float], list[str]]:
    """`<prefix>/<evaluator>/<metric>` and `<prefix>/delta/...`, and a line for each evaluator's primary metric."""
    metrics: dict[str, Any] = {}
    lines = []
    for evaluator, difference in compared(trained, encoder):
        name = f"{evaluator.name}/{difference.metric}"
        metrics |= {
            f"{prefix}/{name}": difference.trained,
            f"{prefix}/delta/{name}": difference.value,
            f"{prefix}/delta/{name}_low": difference.low,
            f"{prefix}/delta/{name}_high": difference.high,
        }
        if difference.metric == evaluator.primary_metric:
            lines.append(f"{judged_split(evaluator)}/{name} {_change(difference)}")
    return metrics, lines


def _change(difference: Difference) -> str:
    return (
        f"{difference.base:.4f} -> {difference.trained:.4f} "
        f"({difference.value:+.4f}, {difference.low:+.4f} to {difference.high:+.4f}: {difference.verdict})"
    )
