"""Models to be scored without training: each found and checked, and the evaluators that judge them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.building import builder_of, dataset_name
from embexp.config import instantiate, resolve
from embexp.errors import ConfigError
from embexp.evaluation.scores import Evaluator
from embexp.judges import check_evaluator_way, plan_evaluators
from embexp.libraries import import_data_libraries, import_training_libraries
from embexp.misfits import Misfits
from embexp.plan import short_names
from embexp.protocols import BaseModel, Tracker

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A model that can be scored.

    Attributes:
        place: where its weights come from.
        config: the resolved configuration with this model.
    """

    name: str
    model: BaseModel
    place: Mapping[str, str]
    config: Node


@dataclass(frozen=True)
class EvaluationPlan:
    """What is scored by whom, and where the results go.

    Attributes:
        primary_evaluator, primary_metric: who orders the models.
        dataset: what a person calls the data of evaluators that bring none.
    """

    candidates: tuple[Candidate, ...]
    evaluators: tuple[Evaluator, ...]
    primary_evaluator: str
    primary_metric: str
    dataset: str
    tracker: Tracker
    folder: Path
    seed: int
    threads: int | None
    speed_texts: int


def plan_evaluation(composed: Sequence[tuple[DictConfig, dict[str, Any]]], folder: Path) -> EvaluationPlan:
    """The plan; all mistakes, of all models and evaluators, are reported together.

    Raises:
        EmbexpError: whatever does not fit.
    """
    resolved = [resolve(config) for config, _ in composed]
    first, misfits = resolved[0], Misfits()
    builder = builder_of(first)
    name = dataset_name(first["dataset"], composed[0][1])
    if first["speed_texts"] < 0:
        misfits.add([f"speed_texts={first['speed_texts']}: expected 0 or more."], ConfigError)
    for evaluator in first["evaluator"] or {}:
        misfits.attempt(check_evaluator_way, evaluator, first, name, builder)
    candidates = [
        misfits.attempt(_candidate, config, choices) for config, (_, choices) in zip(resolved, composed, strict=True)
    ]
    misfits.raise_if_any()
    _check_names([candidate.name for candidate in candidates])
    import_data_libraries()
    evaluators, primary, _ = plan_evaluators(first, name, [], builder, misfits)
    tracker = misfits.attempt(instantiate, first["tracking"])
    misfits.raise_if_any()
    import_training_libraries()
    for candidate in candidates:
        misfits.attempt(candidate.model.check)
    misfits.raise_if_any()
    settings = {key: first[key] for key in ("seed", "threads", "speed_texts")}
    return EvaluationPlan(tuple(candidates), evaluators, *primary, name, tracker, folder, **settings)


def _candidate(config: Node, choices: Mapping[str, Any]) -> Candidate:
    model = instantiate(config["model"])
    return Candidate(_model_name(config, choices), model, model.locate(), config)


def _model_name(config: Node, choices: Mapping[str, Any]) -> str:
    """What a person calls the model; a run's saved model is called by its run."""
    path = config["model"].get("path") if choices.get("model") == "pretrained" else None
    if path and Path(path).name == "model" and len(Path(path).parts) > 3:
        return "/".join(Path(path).parts[-5:-3])
    return short_names({"dataset": config["dataset"], "model": config["model"]}, choices)["model"]


def _check_names(names: Sequence[str]) -> None:
    """Raise ConfigError where two models are called the same: no one could tell them apart in the table."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"model= names {', '.join(twice)} more than once. Expected each model once, under names of their own."
        )
