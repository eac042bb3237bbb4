"""The scores of a run's models: each model on each split once, and a base model once for all runs."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.core.environment import versions
from embexp.core.run_context import SCORING, Costs, timed
from embexp.endpoints.keeping import NOT_KEPT
from embexp.evaluation.geometry import collapse_signs, geometry_of
from embexp.evaluation.scores import ID, Evaluator, Scores
from embexp.experiment.guard import guard_tasks, own_evaluators
from embexp.experiment.plan import RunPlan
from embexp.models.encoding import DiskCachedEncoder, MemoryCachedEncoder, ModelEncoder, model_fingerprint
from embexp.models.served import ServedModel
from embexp.models.served_encoder import ServedEncoder
from embexp.models.weights import LOCAL
from embexp.protocols import Encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
AllScores = dict[tuple[str, str], Scores]  # by evaluator and split
BOTH = ("dev", "test")
_WARM_UP_TEXTS = 16  # before the speed of a model is measured
_SAMPLE = 500  # texts whose embeddings are kept for pictures
GEOMETRY = "geometry"  # an evaluator of its own: how the embeddings of all texts lie


class Scoring:
    """Scores the models of a run, and remembers those on dev of each step of the stage that is trained.

    The model of the best step is kept, and its scores on dev need not be measured again.

    Args:
        costs: of the run; scorings of the model that is trained are added to them.
        sees_test: whether models are scored on test, too, and on the tasks of the guard.
    """

    def __init__(self, plan: RunPlan, costs: Costs, sees_test: bool = True) -> None:
        self.plan = plan
        self.costs = costs
        self.sees_test = sees_test
        self._base: AllScores = {}
        self._by_step: dict[int, AllScores] = {}
        self._has_warned = False

    @timed(f"{SCORING} the untouched model")
    def of_base(self, model: "SentenceTransformer") -> AllScores:
        """All evaluators on the untouched model; its embeddings are kept in `paths.cache` for other runs."""
        encoder = base_encoder(self.plan.config, self.plan.model_place, model)
        self._base = score_all(own_evaluators(self.plan), encoder, BOTH if self.sees_test else ("dev",))
        return self._base | (score_guard(self.plan, encoder) if self.sees_test else {})

    def begin_stage(self) -> None:
        """Forget the steps of an earlier stage."""
        self._by_step = {}

    def on_dev(self, step: int) -> dict[str, Scores] | None:
        """The primary evaluator's scores on dev of both models, as `write_examples` takes them.

        Returns:
            None where the scores of that step are not remembered.
        """
        key = self.plan.primary_evaluator, "dev"
        known = self._by_step.get(step)
        return known and {"base": self._base[key], "trained": known[key]}

    @timed(f"{SCORING} while it trains")
    def in_step(self, model: "SentenceTransformer", step: int) -> dict[str, float]:
        """Metrics on dev of the model as it is now."""
        encoder = ModelEncoder(model)
        scores = score_all(own_evaluators(self.plan), encoder, ("dev",))
        self.costs.add_scoring(model, encoder.texts_encoded, encoder.seconds)
        if not self._has_warned and (line := collapse_line("dev", self._base, scores)):
            logger.warning("Step %s: %s", step, line)
            self._has_warned = True
        self._keep(step, scores)
        return metrics_of("dev", scores)

    def _keep(self, step: int, scores: AllScores) -> None:
        """Remember the scores of this step, and of earlier ones those of the best: no other model can be kept."""
        evaluator, metric = self.plan.primary_evaluator, self.plan.primary_metric
        known = {each: scored[evaluator, "dev"].metrics[metric] for each, scored in self._by_step.items()}
        best = max(known, key=lambda each: -math.inf if math.isnan(known[each]) else known[each], default=None)
        self._by_step = {} if best is None else {best: self._by_step[best]}
        self._by_step[step] = scores

    @timed(f"{SCORING} the trained model")
    def of_trained(self, model: "SentenceTransformer", step: int) -> AllScores:
        """All evaluators on the model that a stage kept; what was remembered of its steps is forgotten.

        Args:
            step: the one whose weights it has; -1 where they were changed afterwards.
        """
        known, self._by_step = self._by_step.get(step, {}), {}
        encoder = ModelEncoder(model, progress="scoring the trained model")
        scores = score_all(own_evaluators(self.plan), encoder, ("test",) if known else BOTH)
        self.costs.add_scoring(model, encoder.texts_encoded, encoder.seconds)
        return known | scores | score_guard(self.plan, encoder)


def collapse_line(split: str, base: AllScores, now: AllScores) -> str:
    """The signs of a collapse of the embeddings on a split; empty if there are none or nothing was measured."""
    if (GEOMETRY, split) not in base or (GEOMETRY, split) not in now:
        return ""
    signs = collapse_signs(now[GEOMETRY, split].metrics, base[GEOMETRY, split].metrics)
    advice = "Type a smaller trainer.learning_rate, or a loss with negatives."
    return f"collapse suspected: {' and '.join(signs)}. {advice}" if signs else ""


def base_encoder(
    config: Mapping,
    place: Mapping[str, str],
    model: "SentenceTransformer",
    progress: str = "scoring the untouched model",
) -> Encoder:
    """The encoder of an untrained model; embeddings of a local one are kept in `paths.cache`."""
    encoder = ModelEncoder(model, progress=progress)
    cache = config["paths"]["cache"]
    if not cache or place["source"] not in LOCAL:
        return encoder
    key = model_fingerprint(model, Path(place["location"]), config["model"], versions())
    return DiskCachedEncoder(encoder, Path(cache) / "embeddings", key)


def score_guard(plan: RunPlan, encoder: Encoder) -> AllScores:
    """The tasks of the guard on test, after all else, so that no number of a run depends on whether it has a guard."""
    if not (tasks := guard_tasks(plan)):
        return {}
    scores = score_all(tasks, encoder, ("test",))
    scores.pop((GEOMETRY, "test"), None)
    return scores


def score_all(evaluators: Sequence[Evaluator], encoder: Encoder, splits: tuple[str, ...]) -> AllScores:
    """Every evaluator on every one of these splits that it has, and the geometry of all their texts.

    The texts of all evaluators are encoded together, each distinct one once.
    """
    memory, scores = MemoryCachedEncoder(encoder), {}
    for split in splits:
        reading = [evaluator for evaluator in evaluators if split in evaluator.splits]
        wanted = texts_of(reading, split)
        for prompt, texts in wanted.items():
            memory.encode(texts, prompt)
        for evaluator in reading:
            scores[evaluator.name, split] = evaluator.score(memory, split)
        if wanted:
            scores[GEOMETRY, split] = _geometry_scores(reading, split, memory, wanted)
    return scores


def score_served(evaluators: Sequence[Evaluator], model: ServedModel) -> tuple[AllScores, dict[str, float]]:
    """Scores and costs of a model behind a URL.

    All texts are requested together, so that what they cost is known before any is sent.
    """
    if model.cache is None:
        logger.warning(NOT_KEPT)
    encoder = ServedEncoder(model)
    wanted = [texts_of([each for each in evaluators if split in each.splits], split) for split in BOTH]
    encoder.fetch((text, prompt) for some in wanted for prompt, texts in some.items() for text in texts)
    return score_all(evaluators, encoder, BOTH), encoder.costs()


def encoding_costs(model: "SentenceTransformer", texts: Sequence[str]) -> dict[str, float]:
    """Parameters, dimensions, and how many of these texts are encoded in a second."""
    found = {
        "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
        "dimensions": float(model.get_embedding_dimension() or 0),
    }
    if texts:
        encoder = ModelEncoder(model)
        encoder.encode(texts[:_WARM_UP_TEXTS])
        start = time.perf_counter()
        encoder.encode(texts)
        found["encode_texts_per_second"] = len(texts) / (time.perf_counter() - start)
    return found


def texts_of(evaluators: Sequence[Evaluator], split: str) -> dict[str | None, list[str]]:
    """The distinct texts that these evaluators read on a split, by the prompt before them."""
    found: dict[str | None, dict[str, None]] = {}
    for evaluator in evaluators:
        for prompt, texts in evaluator.texts(split).items():
            found.setdefault(prompt, {}).update(dict.fromkeys(texts))
    return {prompt: [*texts] for prompt, texts in found.items()}


def all_texts(evaluators: Sequence[Evaluator]) -> list[str]:
    """The distinct texts of all evaluators, in their order."""
    reading = [(split, [each for each in evaluators if split in each.splits]) for split in BOTH]
    lists = (texts for split, some in reading for texts in texts_of(some, split).values())
    return [*dict.fromkeys(text for texts in lists for text in texts)]


def _geometry_scores(
    evaluators: Sequence[Evaluator], split: str, memory: MemoryCachedEncoder, texts: Mapping[str | None, list[str]]
) -> Scores:
    """The geometry of the texts' embeddings; alignment is that of all pairs that evaluators know to mean the same.

    Its examples are texts from all over, at most SAMPLE, with their embeddings as `vectors`, for pictures.
    """
    every = [text for some in texts.values() for text in some]
    vectors = numpy.concatenate([memory.encode(some, prompt) for prompt, some in texts.items()])
    sample = numpy.unique(numpy.linspace(0, len(every) - 1, _SAMPLE).astype(int))
    examples = {ID: [f"{split}-{place}" for place in sample], "text": [every[place] for place in sample]}
    metrics = geometry_of(vectors, _positives(evaluators, split, memory))
    return Scores(split, examples, {"vectors": vectors[sample]}, metrics)


def _positives(
    evaluators: Sequence[Evaluator], split: str, memory: MemoryCachedEncoder
) -> tuple[numpy.ndarray, numpy.ndarray] | None:
    """Embeddings of the pairs that evaluators know to mean the same; None where there are none."""
    sides: tuple[list[numpy.ndarray], list[numpy.ndarray]] = ([], [])
    for evaluator in evaluators:
        pairs = evaluator.positives(split)
        if pairs.first:
            for side, some, prompt in zip(sides, (pairs.first, pairs.second), pairs.prompts, strict=True):
                side.append(memory.encode(some, prompt))
    return (numpy.concatenate(sides[0]), numpy.concatenate(sides[1])) if sides[0] else None


def metrics_of(split: str, scores: AllScores) -> dict[str, float]:
    """`<split>/<evaluator>/<metric>` of all evaluators on that split."""
    return {
        f"{split}/{name}/{metric}": value
        for (name, of_split), result in scores.items()
        if of_split == split
        for metric, value in result.metrics.items()
    }
