"""The stages of a run as the configuration names them: with which loss and modifier, before their data are built."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from embexp.building import DataBuilder
from embexp.dataset_steps import offered_shapes, without_costly_steps
from embexp.errors import ConfigError, did_you_mean
from embexp.losses.auto import is_auto, loss_for
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import LossSpec, spec_of
from embexp.schemas import Stage
from embexp.stage_keys import CHOSEN, StageKeys, choice_of, keys_of, name_of

Node = Mapping[str, Any]
MAIN = "main"
KEYS = tuple(field.name for field in fields(Stage))


@dataclass(frozen=True)
class Draft:
    """A stage whose loss is known and whose data are not built.

    Attributes:
        node: holds its dataset, shape, loss, modifier and trainer.
        dataset_name: what its data are called: by option or file; like the stage where they have no such name.
        keys: how messages about it are told.
    """

    name: str
    node: Node
    spec: LossSpec
    dataset_name: str
    keys: StageKeys


def stages_of(config: Node) -> list[tuple[str, Node]]:
    """The stages in their order: those of `adapt`, then the main one. What a stage leaves out is the main one's.

    A modifier and a shape belong to their loss: a stage with a loss of its own has none unless it names one. A dataset
    without a reader holds steps that come after those of the main stage.
    """
    main = {key: config[key] for key in KEYS}
    before = []
    for name, stage in (config["adapt"] or {}).items():
        given = {key: value for key, value in stage.items() if value is not None}
        own = {"modifier": None, "shape": None} | given if "loss" in given else given
        before.append((name, main | own | _own_steps(own.get("dataset"), main["dataset"])))
    return [*before, (MAIN, main)]


def _own_steps(data: Any, main: Any) -> dict[str, Node]:
    """The main stage's dataset with further steps, where a stage names steps and no data of its own."""
    if not isinstance(data, Mapping) or "reader" in data:
        return {}
    return {"dataset": {**main, "steps": {**(main["steps"] or {}), **(data.get("steps") or {})}}}


def check_stages(config: Node) -> None:
    """Raise ConfigError, with all misfits, unless the stages before the main one have names and keys of stages."""
    if misfits := [misfit for name, stage in (config["adapt"] or {}).items() for misfit in _misfits(name, stage)]:
        raise ConfigError("\n".join(misfits))


def _misfits(name: str, stage: Any) -> Iterator[str]:
    if name == MAIN or not re.fullmatch(r"[\w-]+", name):
        yield (
            f"adapt.{name} is no name for a stage before the main one. Expected letters, digits, _ and -, and another "
            f"than {MAIN}: it names a folder and a run. Type +adapt.<name>={{...}}."
        )
    if not isinstance(stage, Mapping):
        yield f"adapt.{name}={stage}: expected a stage. Type adapt=[{name}], or +adapt.{name}={{loss: ...}}."
        return
    for key, value in stage.items():
        if key in CHOSEN and isinstance(value, str):
            option = f"+{choice_of(name, key)}={value}"
            yield f"adapt.{name}.{key}={value}: expected what the YAML of an option holds. Type {option}."
        if key not in KEYS:
            hint = did_you_mean(key, KEYS)
            yield f"adapt.{name}.{key} is not a key. Known here: {', '.join(KEYS)}. {hint}".strip()


def draft_stage(name: str, stage: Node, config: Node, names: Mapping[str, str], builder: DataBuilder) -> Draft:
    """A stage with its loss, which loss=auto takes from the shape of the data, and its modifier.

    They are called by the options that were chosen, and like the stage where none was.

    Raises:
        EmbexpError: what the YAML of loss or modifier says, or data that cannot be read.
    """
    keys = StageKeys(MAIN) if name == MAIN else keys_of(name, config, names)
    called = {key: name_of(key, name, stage, config, names) for key in ("dataset", "loss", "modifier")}
    loss, spec = keys.telling(_loss_of)(stage, called, builder)
    return Draft(name, {**stage, "loss": loss}, spec, called["dataset"], keys)


def _loss_of(stage: Node, called: Mapping[str, str], builder: DataBuilder) -> tuple[Node, LossSpec]:
    loss, node = called["loss"], stage["loss"]
    if is_auto(node):
        loss, node = loss_for(loss, node, *_shape_of(stage, called["dataset"], builder))
    return node, spec_of(loss, node, modifier_of(called["modifier"], stage["modifier"]))


def _shape_of(stage: Node, dataset_name: str, builder: DataBuilder) -> tuple[str, Sequence[str]]:
    """The shape that is asked for or that the data have, and the names of its classes."""
    data = stage["dataset"]
    shape = stage["shape"] or next(iter(offered_shapes(data) or ()), None)
    if shape is not None:
        return shape, data["reader"].get("label_names") or ()
    dataset = builder.read(without_costly_steps(data), dataset_name, None)
    return dataset.shape.name, dataset.label_names


def with_losses(
    config: dict[str, Any], names: dict[str, str], drafts: Sequence[Draft]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Configuration and names with the losses that loss=auto took in its place."""
    adapt, names = dict(config["adapt"] or {}), names | {"loss": drafts[-1].spec.name}
    for draft in drafts[:-1]:
        if is_auto(adapt[draft.name].get("loss") or config["loss"]):
            taken = {key: draft.node[key] for key in ("loss", "modifier", "shape")}
            adapt[draft.name] = {**adapt[draft.name], **taken}
            names[choice_of(draft.name, "loss")] = draft.spec.name
    return config | {"loss": drafts[-1].node["loss"], "adapt": adapt or config["adapt"]}, names
