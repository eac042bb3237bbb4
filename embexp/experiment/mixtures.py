"""The parts of a run on a mixture: a stage for each of its sets, evaluators for each, the prompts of all."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from embexp.config.compose import instantiate
from embexp.config.yaml_keys import LossKeys
from embexp.core.arguments import refuse
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import Problem, ShapeError, listed
from embexp.experiment.datasets import DataBuilder, for_evaluation
from embexp.experiment.evaluation_data import (
    AUTO,
    at_place,
    given_data,
    is_typed,
    shapes_of,
    source_of,
    typed_at,
    with_evaluators,
    with_ratios,
)
from embexp.experiment.mixture_keys import sets_of
from embexp.experiment.routing import fitting_evaluators
from embexp.experiment.stage_config import MAIN, StageConfig, configure_stage, problem_of_stage, stages_of, with_losses
from embexp.steps.conversions.convert import route
from embexp.training.stages import StagePlan

logger = logging.getLogger(__name__)
_Node = Mapping[str, Any]


def names_of_mixture(config: _Node, names: Mapping[str, str], choices: Mapping[str, Any]) -> dict[str, str]:
    """What a mixture is called, and the losses and modifiers that its sets chose."""
    sets = sets_of(config)
    if not sets:
        return {}
    found = {}
    for name, each in sets.items():
        for group in ("loss", "modifier"):
            before = choices.get(f"{group}@{name}")  # of a run that is resumed
            chosen = before or choices.get(f"{group}@mixture.sets.{each['key']}.{group}")
            found[f"{group}@{name}"] = str(chosen or (names[group] if group not in each["own"] else name))
    trained = [name for name, each in sets.items() if each["weight"]]
    for group in ("loss", "modifier"):
        several = [*dict.fromkeys(found[f"{group}@{name}"] for name in trained)]
        found[group] = "+".join(each for each in several if each != "none") or "none"
    return found | {
        "dataset": "+".join(_weighted(name, each["weight"]) for name, each in sets.items() if each["weight"])
    }


def _weighted(name: str, weight: float) -> str:
    return name if weight == 1 else f"{weight:g}x{name}"


def parts_of(config: _Node) -> list[tuple[str, _Node]]:
    """The stages of a run by name, with the sets of a mixture that are trained on in place of the main one.

    Stages before it read the first of these, where they name no data of their own.
    """
    sets = {name: each for name, each in sets_of(config).items() if each["weight"]}
    if not sets:
        return stages_of(config)
    stages = stages_of({**config, "dataset": next(iter(sets.values()))["dataset"]})
    return [*stages[:-1], *((_part(name), {**stages[-1][1], **each}) for name, each in sets.items())]


def _part(name: str) -> str:
    return f"{MAIN}/{name}"


def is_set(part: str) -> bool:
    """Whether a part of a run is a set of its mixture."""
    return part.startswith(f"{MAIN}/")


def configure_part(
    name: str, node: _Node, config: _Node, names: Mapping[str, str], builder: DataBuilder
) -> StageConfig:
    """A stage, or a set of the mixture, with its modifier and its loss.

    Raises:
        EmbexpError: what the YAML of loss or modifier says, data that cannot be read, or a loss that no mixture takes.
    """
    if not is_set(name):
        label, trained = next(((key, each) for key, each in sets_of(config).items() if each["weight"]), (None, config))
        names = names if label is None else {**names, "dataset": label}
        return configure_stage(name, node, {**config, "dataset": trained["dataset"]}, names, builder)
    label = name.partition("/")[2]
    if "conversion" in node["own"]:
        builder = builder.with_settings(instantiate(node["conversion"]))
    called = {"dataset": label, **{group: names[f"{group}@{label}"] for group in ("loss", "modifier")}}
    found = configure_stage(name, node, config, names, builder, called)
    if found.spec.trained_by != LossKeys.trained_by:
        text, expected = (
            "has a trainer of its own, which takes one data set",
            "another loss, or a stage before the main one",
        )
        raise ShapeError(Problem(text, "loss", found.spec.name, expected))
    return found


def with_losses_of_parts(
    config: dict[str, Any], names: dict[str, str], parts: Sequence[StageConfig]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Configuration and names with the losses that loss=auto chose."""
    mixed = {part.dataset_name: part for part in parts if is_set(part.name)}
    if not mixed:
        return with_losses(config, names, parts)
    config, names = with_losses(config, names, [part for part in parts if not is_set(part.name)] + [parts[-1]])
    losses = {name: part.node["loss"] for name, part in mixed.items()}
    sets = {name: each | {"loss": losses.get(name, each["loss"])} for name, each in sets_of(config).items()}
    called = {f"loss@{name}": part.spec.name for name, part in mixed.items()}
    called["loss"] = "+".join(dict.fromkeys(called.values()))
    mixture = {"mixture": {**config["mixture"], "sets": sets}}
    return config | mixture | {"loss": next(iter(losses.values()))}, names | called


def problem_of_part(name: str, config: _Node, names: Mapping[str, str]) -> Callable[[Problem], Problem]:
    """The change for a problem of a stage or a set: its keys become those that are typed for it."""
    if not is_set(name):
        return problem_of_stage(name, config, names)
    label = name.partition("/")[2]

    def of_set(problem: Problem) -> Problem:
        text = problem.text.replace("'dataset.reader.", f"'dataset.{label}.reader.")
        return replace(problem.renamed(typed_for_set(label)), text=text)

    return of_set


_OF_A_SET = re.compile(r"(step|loss|modifier|shape|conversion|negatives|silver)(?=\.|$)")


def typed_for_set(name: str) -> Callable[[str], str]:
    """The change of keys of one data set to those of a set.

    >>> [typed_for_set("nli")(key) for key in ("loss.scale", "dataset.reader.path", "trainer.bf16")]
    ['dataset.nli.loss.scale', 'dataset.nli.reader.path', 'trainer.bf16']
    """

    def typed(key: str) -> str:
        if key.startswith("step@dataset.steps."):
            return f"dataset.{name}.step"
        if key.startswith(f"dataset.{name}."):
            return key
        return f"dataset.{name}.{key}" if _OF_A_SET.match(key) else typed_at(f"dataset.{name}")(key)

    return typed


def mixture_of(parts: Sequence[StagePlan], config: _Node, folder: Path) -> tuple[StagePlan, ...]:
    """The stages of a run, with the sets of its mixture as one stage.

    Raises:
        ShapeError: two sets have the same name for different prompts.
    """
    before = [part for part in parts if not is_set(part.name)]
    sets = sets_of(config)
    mixed = [replace(part, weight=sets[part.name.partition("/")[2]]["weight"]) for part in parts if is_set(part.name)]
    if not mixed:
        return tuple(before)
    first = replace(mixed[0], name=MAIN, folder=folder / "stages" / MAIN, weight=1)
    named = [replace(part, name=part.name.partition("/")[2]) for part in mixed]
    prompts_of([part.dataset for part in named])
    return (*before, replace(first, sets=tuple(named), batches=config["mixture"]["batches"]))


def prompts_of(datasets: Sequence[EmbeddingDataset]) -> tuple[dict[str, str], str | None]:
    """The prompts that a model gets from its data, and which is its default: the one that all of them have.

    Raises:
        ShapeError: two data sets have one name for different prompts.
    """
    named: dict[str, str] = {}
    for dataset in datasets:
        for name, text in dataset.prompts.named.items():
            if named.setdefault(name, text) != text:
                text = f"The prompt {name} is {named[name]!r} in one set and {text!r} in {dataset.name}"
                raise ShapeError(text, expected="the same prompt in all sets, or another name in steps.prompts.named")
    defaults = {dataset.prompts.default for dataset in datasets}
    return named, defaults.pop() if len(defaults) == 1 else None


def with_evaluators_of_sets(config: dict[str, Any], names: Mapping[str, str], builder: DataBuilder) -> dict[str, Any]:
    """The configuration with evaluators for each set of a mixture, called like the set, else those of one data set.

    Those with data of their own stay as they are, and so do all where `test` or `dev` names what is evaluated. Of the
    others each set has those that read it; where it has several they are called `<set>_<evaluator>`.

    Raises:
        ShapeError: none reads any set.
    """
    sets, chosen = sets_of(config), config["evaluator"] or {}
    if not sets or given_data(config):
        return with_evaluators(config, names["dataset"], builder)
    kept = {name: node for name, node in chosen.items() if node.get("dataset") or not (node["_reads_"] or name == AUTO)}
    among = {name: node for name, node in chosen.items() if name not in kept}
    found: dict[str, Any] = {}
    for name, each in sets.items():
        ours = builder.with_settings(instantiate(each["conversion"])) if "conversion" in each["own"] else builder
        data = {"dataset": for_evaluation(each["dataset"]), "_set_": name, "_conversion_": each["conversion"]}
        reading = _reading(among, data["dataset"], name, ours)
        for evaluator in reading:
            is_free = len(reading) == 1 and name not in kept
            found[name if is_free else f"{name}_{evaluator}"] = {**among[evaluator], **data}
    if among and not found and not kept:
        text, fix = f"The sets {listed(sets)} show nothing to evaluate a model by", ("test=finance",)
        raise ShapeError(Problem(text, expected="other data to evaluate on, or other evaluators", fix=fix))
    return config | {"evaluator": found | kept}


def _reading(among: _Node, node: _Node, name: str, builder: DataBuilder) -> list[str]:
    """Those of the evaluators that read a set; of what `auto` stands for those with typed settings, else the first."""
    if not among:
        return []
    with at_place(f"dataset.{name}"):
        shapes, labels, _ = shapes_of(node, name, builder)
    found = []
    if AUTO in among:
        candidates = [each for each in among[AUTO]["_among_"] if each in among]
        fitting = [each for each in fitting_evaluators(shapes, builder.settings, labels) if each in candidates]
        found = [each for each in fitting if is_typed(each, among[each])] or fitting[:1]
        logger.info("evaluator=auto: %s for the set %s.", listed(found) or "none", name)
        among = {key: each for key, each in among.items() if key != AUTO and key not in candidates}
    reads = {key: tuple(each["_reads_"]) for key, each in among.items()}
    found += [each for each in reads if route(shapes, reads[each], most=1, settings=builder.settings)]
    if not found:
        logger.info("No evaluator reads the set %s.", name)
    return found


def split_sets(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration in which a set that no evaluator reads is not divided: all its rows are train."""
    sets = sets_of(config)
    if not sets:
        return config
    nodes = [node for node in (config["evaluator"] or {}).values() if node.get("dataset")]
    evaluated = {source_of(node["dataset"]) for node in nodes} | {*map(source_of, given_data(config).values())}
    why = "no evaluator reads parts of it, so all its rows are train"

    def divided(node: _Node) -> _Node:
        return node if source_of(node) in evaluated else with_ratios(node, [1, 0, 0], why)

    made = {name: {**each, "dataset": divided(each["dataset"])} for name, each in sets.items()}
    return config | {"mixture": {**config["mixture"], "sets": made}}


def check_mixture(config: _Node, processes: int) -> None:
    """Raise ConfigError for a mixture that is to be trained in several processes."""
    if sets_of(config) and processes > 1:
        text, expected = "shares the batches of one data set out, and several are mixed", "1 with a mixture"
        refuse([Problem(text, "trainer.processes", processes, expected, fix=("trainer.processes=1",))])
