"""Plan a run: build and check everything that is cheap, before anything is loaded, trained or logged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.config import check_arguments, instantiate
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, did_you_mean, listed
from embexp.evaluation.scores import Evaluator
from embexp.losses.spec import LossSpec, spec_of
from embexp.matching import Way, wanted_shapes, warn_of_few_rows, way_to_evaluator, way_to_loss
from embexp.protocols import BaseModel, Tracker
from embexp.steps.convert import convert, limit_negatives
from embexp.training.stage import StagePlan, check_precision

Node = Mapping[str, Any]
MAIN = "main"
EVALUATED = ("scored_pair",)  # what evaluators read


@dataclass(frozen=True)
class RunPlan:
    """A run that was checked and can start.

    Attributes:
        config: the resolved configuration.
        choices: the chosen option of each group, by their short names.
        model_place: where the base model's weights come from.
        primary_evaluator, primary_metric: who picks the checkpoint and gives the verdict.
    """

    name: str
    folder: Path
    config: Node
    choices: Mapping[str, str]
    model: BaseModel
    model_place: Mapping[str, str]
    stages: tuple[StagePlan, ...]
    evaluators: tuple[Evaluator, ...]
    primary_evaluator: str
    primary_metric: str
    tracker: Tracker
    seed: int
    threads: int | None


def plan_run(config: DictConfig, choices: Mapping[str, Any], folder: Path) -> RunPlan:
    """The plan of the run that `config` describes; its results will go to `folder`.

    Raises:
        EmbexpError: whatever does not fit, in one message.
    """
    resolved = resolve(config)
    names = short_names(resolved, choices)
    specs = {
        name: spec_of(names["loss"] if name == MAIN else name, stage["loss"]) for name, stage in stages_of(resolved)
    }
    _check_shapes(resolved, names, specs)
    evaluator_nodes = resolved["evaluator"] or {}
    stages = tuple(
        plan_stage(name, stage, names["dataset"], specs[name], folder / "stages" / name)
        for name, stage in stages_of(resolved)
    )
    evaluators = tuple(plan_evaluator(name, node, resolved, names) for name, node in evaluator_nodes.items())
    primary_evaluator, primary_metric = primary_of(resolved["primary_metric"], evaluators)
    model = instantiate(resolved["model"])
    plan = RunPlan(
        name=resolved["name"] or f"{names['loss']}/{names['model']}/{resolved['seed']}",
        folder=folder,
        config=resolved,
        choices=names,
        model=model,
        model_place=model.locate(),
        stages=stages,
        evaluators=evaluators,
        primary_evaluator=primary_evaluator,
        primary_metric=primary_metric,
        tracker=instantiate(resolved["tracking"]),
        seed=resolved["seed"],
        threads=resolved["threads"],
    )
    for stage in stages:  # last: these import torch and sentence-transformers
        check_arguments(dict(stage.trainer), {})
        check_arguments(stage.loss.public_call(), {})
        check_precision(stage.trainer)
    return plan


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values.

    Raises:
        ConfigError: names every value that must be given and was not.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError("\n".join(f"{key} has no value. Expected one: type {key}=<value>." for key in missing))
    return OmegaConf.to_container(config, resolve=True)


def short_names(config: Node, choices: Mapping[str, Any]) -> dict[str, str]:
    """What a person calls the dataset, model, loss and trainer: the YAML's name, or the path's last part."""
    names = {group: str(choices.get(group) or "") for group in ("dataset", "model", "loss", "trainer")}
    if names["dataset"] == "file":
        names["dataset"] = Path(config["dataset"]["reader"]["path"]).stem
    if names["model"] == "pretrained":
        names["model"] = Path(config["model"]["path"]).name
    return names


def stages_of(config: Node) -> list[tuple[str, Node]]:
    """The stages in their order: those of `adapt`, then the main one. What a stage leaves out is the main one's."""
    main = {key: config[key] for key in ("dataset", "shape", "loss", "trainer")}
    adapt = config["adapt"] or {}
    before = [
        (name, {**main, **{key: value for key, value in stage.items() if value is not None}})
        for name, stage in adapt.items()
    ]
    return [*before, (MAIN, main)]


def _check_shapes(config: Node, names: Mapping[str, str], specs: Mapping[str, LossSpec]) -> None:
    """Refuse, from the YAML files alone, losses and evaluators that the data cannot serve."""
    for name, stage in stages_of(config):
        if offered := stage["dataset"]["shapes"]:
            way_to_loss(offered, wanted_shapes(stage["shape"], specs[name]), names["dataset"], specs[name].name)
    for name, node in (config["evaluator"] or {}).items():
        own = node.get("dataset") or config["dataset"]
        if offered := own["shapes"]:
            label = name if node.get("dataset") else names["dataset"]
            way_to_evaluator(offered, EVALUATED, label, name)


def read_dataset(node: Node, name: str, shape: str | None) -> EmbeddingDataset:
    """Read a dataset in one of its shapes and apply its steps."""
    dataset = instantiate(node["reader"], name=name, shape=shape)
    for step_name, step in (node["steps"] or {}).items():
        if step is not None:
            dataset = _named_step(step_name, step, dataset)
    return dataset


def _named_step(step_name: str, step: Node, dataset: EmbeddingDataset) -> EmbeddingDataset:
    try:
        return instantiate(step, dataset=dataset)
    except ConfigError as error:
        raise ConfigError(f"dataset.steps.{step_name}: {error}") from error


def in_shape(node: Node, name: str, way_to: Callable[[list[str]], Way]) -> EmbeddingDataset:
    """The dataset, read and converted on the way that `way_to` finds from the shapes it offers."""
    if node["shapes"]:
        start, conversions = way_to(node["shapes"])
        dataset = read_dataset(node, name, start)
    else:
        dataset = read_dataset(node, name, None)
        _, conversions = way_to([dataset.shape.name])
    for conversion in conversions:
        dataset = convert(dataset, conversion)
    return dataset


def plan_stage(name: str, stage: Node, dataset_name: str, spec: LossSpec, folder: Path) -> StagePlan:
    """A stage with its data read, converted and checked."""
    accepted = wanted_shapes(stage["shape"], spec)
    dataset = in_shape(
        stage["dataset"], dataset_name, lambda offered: way_to_loss(offered, accepted, dataset_name, spec.name)
    )
    dataset = limit_negatives(dataset, spec.max_negatives)
    dataset.training_rows()
    warn_of_few_rows(dataset, accepted)
    return StagePlan(name, dataset, spec, stage["trainer"], folder)


def plan_evaluator(name: str, node: Node, config: Node, names: Mapping[str, str]) -> Evaluator:
    """An evaluator with its own data, or with the run's."""
    own = node.get("dataset")
    label = name if own else names["dataset"]
    dataset = in_shape(
        own or config["dataset"], label, lambda offered: way_to_evaluator(offered, EVALUATED, label, name)
    )
    call = {key: value for key, value in node.items() if key != "dataset"}
    return instantiate(call, name=name, dataset=dataset)


def primary_of(asked: str | None, evaluators: tuple[Evaluator, ...]) -> tuple[str, str]:
    """The evaluator and metric that pick the checkpoint and give the verdict.

    Raises:
        ConfigError: there is no evaluator, or the metric asked for is not one of theirs.
    """
    if not evaluators:
        raise ConfigError("No evaluator is chosen. Expected at least one: type evaluator=[sts].")
    if asked is None:
        return evaluators[0].name, evaluators[0].primary_metric
    known = [f"{evaluator.name}/{metric}" for evaluator in evaluators for metric in evaluator.metric_names]
    if asked not in known:
        raise ConfigError(
            f"primary_metric={asked} is not measured. Expected one of: {listed(known)}. "
            f"{did_you_mean(asked, known)}".strip()
        )
    evaluator, _, metric = asked.rpartition("/")
    return evaluator, metric
