"""The stages of a run as the configuration names them: with which loss and modifier, before their data are built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embexp.building import DataBuilder, offered_shapes
from embexp.losses.auto import is_auto, loss_for
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import LossSpec, spec_of

Node = Mapping[str, Any]
MAIN = "main"


@dataclass(frozen=True)
class Draft:
    """A stage whose loss is known and whose data are not built; `node` holds its dataset, shape, loss and trainer."""

    name: str
    node: Node
    spec: LossSpec


def stages_of(config: Node) -> list[tuple[str, Node]]:
    """The stages in their order: those of `adapt`, then the main one. What a stage leaves out is the main one's.

    A modifier belongs to its loss: a stage with a loss of its own has none unless it names one.
    """
    main = {key: config[key] for key in ("dataset", "shape", "loss", "modifier", "trainer")}
    before = []
    for name, stage in (config["adapt"] or {}).items():
        given = {key: value for key, value in stage.items() if value is not None}
        own = {"modifier": None} | given if "loss" in given else given
        before.append((name, main | own))
    return [*before, (MAIN, main)]


def draft_stage(name: str, stage: Node, config: Node, names: Mapping[str, str], builder: DataBuilder) -> Draft:
    """A stage with its loss, which loss=auto takes from the shape of the data, and its modifier.

    Where they are not the main stage's they are called like the stage.

    Raises:
        EmbexpError: what the YAML of loss or modifier says, or data that cannot be read.
    """
    loss, modifier = (names[key] if stage[key] is config[key] else name for key in ("loss", "modifier"))
    node = stage["loss"]
    if is_auto(node):
        loss, node = loss_for(loss, node, *_shape_of(stage, names["dataset"], builder))
    spec = spec_of(loss, node, modifier_of(modifier, stage["modifier"]))
    return Draft(name, {**stage, "loss": node}, spec)


def _shape_of(stage: Node, dataset_name: str, builder: DataBuilder) -> tuple[str, Sequence[str]]:
    """The shape that is asked for or that the data have, and the names of its classes."""
    data = stage["dataset"]
    shape = stage["shape"] or next(iter(offered_shapes(data) or ()), None)
    if shape is not None:
        return shape, data["reader"].get("label_names") or ()
    dataset = builder.read(data, dataset_name, None)
    return dataset.shape.name, dataset.label_names


def with_losses(
    config: dict[str, Any], names: dict[str, str], drafts: Sequence[Draft]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Configuration and names with the losses that loss=auto took in its place."""
    adapt = dict(config["adapt"] or {})
    for draft in drafts[:-1]:
        if is_auto(adapt[draft.name].get("loss") or config["loss"]):
            adapt[draft.name] = {**adapt[draft.name], "loss": draft.node["loss"]}
    named = {"loss": drafts[-1].node["loss"], "adapt": adapt or config["adapt"]}
    return config | named, names | {"loss": drafts[-1].spec.name}
