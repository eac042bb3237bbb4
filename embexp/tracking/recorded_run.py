"""A run as it was recorded, the same whether its folder or MLflow tells of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.tracking.mlflow_tracker import allowed_name

LONGEST_VALUE = 6000  # characters of a parameter that MLflow keeps
PRIMARY = "primary"  # the tag that names the run's primary metric
FINISHED = "FINISHED"


@dataclass(frozen=True)
class RecordedRun:
    """What is known of a run without opening its files.

    Attributes:
        ended: seconds since 1970.
        params: flat, as texts; keys of params and metrics are those that MLflow takes (`ndcg_at_10`).
        metrics: the last finite value of each.
        examples: gives the Parquet file of per-example values by its name (`sts_test`); None where there is none.
    """

    id: str
    name: str
    status: str
    ended: float
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    examples: Callable[[str], Path | None]

    @property
    def seed(self) -> str:
        return self.params.get("seed", "")

    @property
    def primary(self) -> str | None:
        """The key of its primary metric; None of a run that trained nothing."""
        return self.tags.get(PRIMARY)


def as_recorded_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as MLflow keeps them.

    >>> as_recorded_params({"loss.scale": 20.0, "dataset.label@1": None})
    {'loss.scale': '20.0', 'dataset.label_at_1': 'None'}
    """
    return {allowed_name(key): str(value)[:LONGEST_VALUE] for key, value in params.items()}


def as_recorded_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as MLflow keeps them; those that are no finite number are not sent there.

    >>> as_recorded_metrics({"test/beir/ndcg@10": 0.5, "delta/beir/ndcg@10_low": float("nan")})
    {'test/beir/ndcg_at_10': 0.5}
    """
    return {allowed_name(key): value for key, value in metrics.items() if value is not None and math.isfinite(value)}
