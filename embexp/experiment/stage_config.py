"""The stages as the configuration names them: their keys, loss and modifier, before data are built."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from embexp.config.schemas import Stage
from embexp.errors import ConfigError, EmbexpError, did_you_mean
from embexp.experiment.datasets import DataBuilder, dataset_name, offered_shapes, without_costly_steps
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import LossSpec, is_auto, loss_for, spec_of

_Node = Mapping[str, Any]
_CHOSEN = ("dataset", "loss", "modifier", "trainer")  # groups that a stage chooses from
_NAMED = ("dataset", "loss", "modifier")  # those whose option names what a stage does
# A key of the run in a message, and neither a file nor a key of something else: dataset.csv, conf/loss/mnrl.yaml.
_KEY = re.compile(
    r"(?<![\w.@/])(?:dataset(?==|\.(?:reader|steps|shapes)\b)|(?:loss|modifier|trainer|shape|step)(?==\S)|"
    r"(?:loss|modifier|trainer)(?=\.[a-z<]\w*))"
)
_OTHER_LOSSES = re.compile(r",? or another loss[^.;]*|\nLosses that fit this data: .*")


@dataclass(frozen=True)
class _StageKeys:
    """How the keys of a stage are typed; the main stage's as they stand in messages.

    Attributes:
        own: which of them the stage has itself: the others are the run's.
        has_one_loss: the loss stands in the stage's own YAML, and no other can be chosen in its place.
    """

    stage: str
    own: frozenset[str] = frozenset()
    has_one_loss: bool = False

    def told(self, message: str) -> str:
        """A message about the stage, with the keys that are typed for it."""
        if self.has_one_loss:
            message = _OTHER_LOSSES.sub("", message).replace(f"conf/loss/{self.stage}.", f"conf/adapt/{self.stage}.")
        told = _KEY.sub(lambda found: self._typed(found.group()), message)
        whose = f"adapt.{self.stage} (~adapt.{self.stage} leaves it out): "
        return whose + told if told != message or self.own & {"dataset", "loss"} else message

    def _typed(self, key: str) -> str:
        return f"adapt.{self.stage}.{key}" if key in self.own else key

    def telling(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call whose mistakes are told with the keys of the stage."""

        @functools.wraps(call)
        def told(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except EmbexpError as error:
                raise type(error)(self.told(str(error))) from error

        return told


def _keys_of(name: str, config: _Node, names: Mapping[str, str]) -> _StageKeys:
    """The keys of a stage before the main one.

    Args:
        names: of the chosen options, with those of the stages.
    """
    stage = config["adapt"][name]
    chosen = {key for key in _CHOSEN if names.get(_choice_of(name, key))}
    own = {key for key, value in stage.items() if value is not None and (key in chosen or value != config[key])}
    if not _is_of_its_own(stage.get("dataset"), config):
        own -= {"dataset"}
    own |= {"step"} if "dataset" in own else set()
    own |= {"shape"} if own & {"dataset", "loss"} else set()
    return _StageKeys(name, frozenset(own), has_one_loss="loss" in own - chosen)


def _is_of_its_own(data: Any, config: _Node) -> bool:
    """Whether a stage reads other data than the main one: not the same, nor the same after further steps."""
    return isinstance(data, Mapping) and data.get("reader", config["dataset"]["reader"]) != config["dataset"]["reader"]


def _choice_of(stage: str, key: str) -> str:
    """What Hydra calls a stage's choice from a group.

    >>> _choice_of("tsdae", "dataset")
    'dataset@adapt.tsdae.dataset'
    """
    return f"{key}@adapt.{stage}.{key}"


def names_in_stages(config: _Node, choices: Mapping[str, Any]) -> dict[str, str]:
    """What a person calls the options that stages chose: the YAML's name, or the last part of a dataset's path or id.

    Args:
        choices: the option of each group, as Hydra records it.
    """
    names = {}
    for name, stage in (config.get("adapt") or {}).items():
        for key in _CHOSEN:
            option = choices.get(_choice_of(name, key))
            if option and stage.get(key):
                of_path = key == "dataset" and "reader" in stage[key]
                names[_choice_of(name, key)] = dataset_name(stage[key], {"dataset": option}) if of_path else str(option)
    return names


def _name_of(key: str, name: str, stage: _Node, config: _Node, names: Mapping[str, str]) -> str:
    """What a person calls a stage's dataset, loss or modifier; like the stage where it is none of those with a name.

    Args:
        stage: with what it takes from the main one.
    """
    is_main = not _is_of_its_own(stage[key], config) if key == "dataset" else stage[key] == config[key]
    return names[key] if is_main else names.get(_choice_of(name, key)) or name


MAIN = "main"
_KEYS = tuple(field.name for field in fields(Stage))


@dataclass(frozen=True)
class StageConfig:
    """A stage whose loss is known and whose data are not built.

    Attributes:
        node: holds its dataset, shape, loss, modifier and trainer.
        dataset_name: what its data are called: by option or file; like the stage where they have no such name.
        keys: how messages about it are told.
    """

    name: str
    node: _Node
    spec: LossSpec
    dataset_name: str
    keys: _StageKeys


def stages_of(config: _Node) -> list[tuple[str, _Node]]:
    """The stages in their order: those of `adapt`, then the main one. What a stage leaves out is the main one's.

    A modifier and a shape belong to their loss: a stage with a loss of its own has none unless it names one. A dataset
    without a reader holds steps that come after those of the main stage.
    """
    main = {key: config[key] for key in _KEYS}
    before = []
    for name, stage in (config["adapt"] or {}).items():
        given = {key: value for key, value in stage.items() if value is not None}
        own = {"modifier": None, "shape": None} | given if "loss" in given else given
        before.append((name, main | own | _own_steps(own.get("dataset"), main["dataset"])))
    return [*before, (MAIN, main)]


def _own_steps(data: Any, main: Any) -> dict[str, _Node]:
    """The main stage's dataset with further steps, where a stage names steps and no data of its own."""
    if not isinstance(data, Mapping) or "reader" in data:
        return {}
    return {"dataset": {**main, "steps": {**(main["steps"] or {}), **(data.get("steps") or {})}}}


def check_stages(config: _Node) -> None:
    """Raise ConfigError, with all problems, unless the stages before the main one have names and keys of stages."""
    if problems := [problem for name, stage in (config["adapt"] or {}).items() for problem in _problems(name, stage)]:
        raise ConfigError("\n".join(problems))


def _problems(name: str, stage: Any) -> Iterator[str]:
    if name == MAIN or not re.fullmatch(r"[\w-]+", name):
        yield (
            f"adapt.{name} is no name for a stage before the main one. Expected letters, digits, _ and -, and another "
            f"than {MAIN}: it names a folder and a run. Type +adapt.<name>={{...}}."
        )
    if not isinstance(stage, Mapping):
        yield f"adapt.{name}={stage}: expected a stage. Type adapt=[{name}], or +adapt.{name}={{loss: ...}}."
        return
    for key, value in stage.items():
        if key in _CHOSEN and isinstance(value, str):
            option = f"+{_choice_of(name, key)}={value}"
            yield f"adapt.{name}.{key}={value}: expected what the YAML of an option holds. Type {option}."
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS)
            yield f"adapt.{name}.{key} is not a key. Known here: {', '.join(_KEYS)}. {hint}".strip()


def configure_stage(
    name: str, stage: _Node, config: _Node, names: Mapping[str, str], builder: DataBuilder
) -> StageConfig:
    """A stage with its loss, which loss=auto takes from the shape of the data, and its modifier.

    They are called by the options that were chosen, and like the stage where none was.

    Raises:
        EmbexpError: what the YAML of loss or modifier says, or data that cannot be read.
    """
    keys = _StageKeys(MAIN) if name == MAIN else _keys_of(name, config, names)
    called = {key: _name_of(key, name, stage, config, names) for key in ("dataset", "loss", "modifier")}
    loss, spec = keys.telling(_loss_of)(stage, called, builder)
    return StageConfig(name, {**stage, "loss": loss}, spec, called["dataset"], keys)


def _loss_of(stage: _Node, called: Mapping[str, str], builder: DataBuilder) -> tuple[_Node, LossSpec]:
    loss, node = called["loss"], stage["loss"]
    if is_auto(node):
        loss, node = loss_for(loss, node, *_shape_of(stage, called["dataset"], builder))
    return node, spec_of(loss, node, modifier_of(called["modifier"], stage["modifier"]))


def _shape_of(stage: _Node, dataset_name: str, builder: DataBuilder) -> tuple[str, Sequence[str]]:
    """The shape that is asked for or that the data have, and the names of its classes."""
    data = stage["dataset"]
    shape = stage["shape"] or next(iter(offered_shapes(data) or ()), None)
    if shape is not None:
        return shape, data["reader"].get("label_names") or ()
    dataset = builder.read(without_costly_steps(data), dataset_name, None)
    return dataset.shape.name, dataset.label_names


def with_losses(
    config: dict[str, Any], names: dict[str, str], drafts: Sequence[StageConfig]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Configuration and names with the losses that loss=auto took in its place."""
    adapt, names = dict(config["adapt"] or {}), names | {"loss": drafts[-1].spec.name}
    for draft in drafts[:-1]:
        if is_auto(adapt[draft.name].get("loss") or config["loss"]):
            taken = {key: draft.node[key] for key in ("loss", "modifier", "shape")}
            adapt[draft.name] = {**adapt[draft.name], **taken}
            names[_choice_of(draft.name, "loss")] = draft.spec.name
    return config | {"loss": drafts[-1].node["loss"], "adapt": adapt or config["adapt"]}, names
