"""The scores of a run's models: each model on each split once, and a base model once for all runs."""

from pathlib import Path
from typing import TYPE_CHECKING

from embexp.environment import versions
from embexp.evaluation.scores import Scores
from embexp.models.encoding import ModelEncoder
from embexp.models.fingerprint import fingerprint_of
from embexp.models.places import LOCAL
from embexp.models.vector_cache import CachingEncoder
from embexp.plan import RunPlan
from embexp.protocols import Encoder
from embexp.stopwatch import SCORING, WATCH

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

AllScores = dict[tuple[str, str], Scores]  # by evaluator and split
BOTH = ("dev", "test")


class Scoring:
    """Scores the models of a run, and remembers those on dev of each step of the main stage.

    What was measured in a step need not be measured again for the model of that step, which is the one kept.
    """

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        self._by_step: dict[int, AllScores] = {}

    @WATCH.part(f"{SCORING} the untouched model")
    def of_base(self, model: "SentenceTransformer") -> AllScores:
        """All evaluators on the untouched model; its embeddings are kept in `paths.cache` for other runs."""
        encoder = ModelEncoder(model, progress="scoring the untouched model")
        cache, place = self.plan.config["paths"]["cache"], self.plan.model_place
        if not cache or place["source"] not in LOCAL:
            return score_all(self.plan, encoder, BOTH)
        key = fingerprint_of(model, Path(place["location"]), self.plan.config["model"], versions())
        return score_all(self.plan, CachingEncoder(encoder, Path(cache) / "embeddings", key), BOTH)

    @WATCH.part(f"{SCORING} while it trains")
    def in_step(self, model: "SentenceTransformer", step: int, is_main: bool) -> dict[str, float]:
        """Metrics on dev of the model as it is now."""
        scores = score_all(self.plan, ModelEncoder(model), ("dev",))
        if is_main:
            self._by_step[step] = scores
        return metrics_of("dev", scores)

    @WATCH.part(f"{SCORING} the trained model")
    def of_trained(self, model: "SentenceTransformer", step: int) -> AllScores:
        """All evaluators on the model that was kept.

        Args:
            step: the one whose weights it has; -1 where they were changed afterwards.
        """
        known = self._by_step.get(step, {})
        left = ("test",) if known else BOTH
        return known | score_all(self.plan, ModelEncoder(model, progress="scoring the trained model"), left)


def score_all(plan: RunPlan, encoder: Encoder, splits: tuple[str, ...]) -> AllScores:
    """Every evaluator on every one of these splits that it has."""
    return {
        (evaluator.name, split): evaluator.score(encoder, split)
        for evaluator in plan.evaluators
        for split in evaluator.splits
        if split in splits
    }


def metrics_of(split: str, scores: AllScores) -> dict[str, float]:
    """`<split>/<evaluator>/<metric>` of all evaluators on that split."""
    return {
        f"{split}/{name}/{metric}": value
        for (name, of_split), result in scores.items()
        if of_split == split
        for metric, value in result.metrics.items()
    }
