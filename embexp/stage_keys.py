"""What a stage before the main one chose itself, and what messages call its keys: they are written for a run's own."""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from embexp.building import dataset_name
from embexp.errors import EmbexpError

Node = Mapping[str, Any]
CHOSEN = ("dataset", "loss", "modifier", "trainer")  # groups that a stage chooses from
NAMED = ("dataset", "loss", "modifier")  # those whose option names what a stage does
# A key of the run in a message, and neither a file nor a key of something else: dataset.csv, conf/loss/mnrl.yaml.
KEY = re.compile(
    r"(?<![\w.@/])(?:dataset(?==|\.(?:reader|steps|shapes)\b)|(?:loss|modifier|trainer|shape|step)(?==\S)|"
    r"(?:loss|modifier|trainer)(?=\.[a-z<]\w*))"
)
OTHER_LOSSES = re.compile(r",? or another loss[^.;]*|\nLosses that fit this data: .*")


@dataclass(frozen=True)
class StageKeys:
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
            message = OTHER_LOSSES.sub("", message).replace(f"conf/loss/{self.stage}.", f"conf/adapt/{self.stage}.")
        told = KEY.sub(lambda found: self._typed(found.group()), message)
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


def keys_of(name: str, config: Node, names: Mapping[str, str]) -> StageKeys:
    """The keys of a stage before the main one.

    Args:
        names: of the chosen options, with those of the stages.
    """
    stage = config["adapt"][name]
    chosen = {key for key in CHOSEN if names.get(choice_of(name, key))}
    own = {key for key, value in stage.items() if value is not None and (key in chosen or value != config[key])}
    if not is_of_its_own(stage.get("dataset"), config):
        own -= {"dataset"}
    own |= {"step"} if "dataset" in own else set()
    own |= {"shape"} if own & {"dataset", "loss"} else set()
    return StageKeys(name, frozenset(own), has_one_loss="loss" in own - chosen)


def is_of_its_own(data: Any, config: Node) -> bool:
    """Whether a stage reads other data than the main one: not the same, nor the same after further steps."""
    return isinstance(data, Mapping) and data.get("reader", config["dataset"]["reader"]) != config["dataset"]["reader"]


def choice_of(stage: str, key: str) -> str:
    """What Hydra calls a stage's choice from a group.

    >>> choice_of("tsdae", "dataset")
    'dataset@adapt.tsdae.dataset'
    """
    return f"{key}@adapt.{stage}.{key}"


def names_in_stages(config: Node, choices: Mapping[str, Any]) -> dict[str, str]:
    """What a person calls the options that stages chose: the YAML's name, or the last part of a dataset's path or id.

    Args:
        choices: the option of each group, as Hydra records it.
    """
    names = {}
    for name, stage in (config.get("adapt") or {}).items():
        for key in CHOSEN:
            option = choices.get(choice_of(name, key))
            if option and stage.get(key):
                of_path = key == "dataset" and "reader" in stage[key]
                names[choice_of(name, key)] = dataset_name(stage[key], {"dataset": option}) if of_path else str(option)
    return names


def name_of(key: str, name: str, stage: Node, config: Node, names: Mapping[str, str]) -> str:
    """What a person calls a stage's dataset, loss or modifier; like the stage where it is none of those with a name.

    Args:
        stage: with what it takes from the main one.
    """
    is_main = not is_of_its_own(stage[key], config) if key == "dataset" else stage[key] == config[key]
    return names[key] if is_main else names.get(choice_of(name, key)) or name
