"""The stages as the configuration names them: their keys, loss and modifier, before data are built."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, flag_override

from embexp.config.schemas import Stage
from embexp.config.session import option_files
from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.errors import Problem, did_you_mean
from embexp.experiment.datasets import DataBuilder, dataset_name, offered_shapes, without_costly_steps
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import LossSpec, is_auto, loss_for, spec_of

if TYPE_CHECKING:
    from embexp.training.stages import StagePlan

_Node = Mapping[str, Any]
_CHOSEN = ("dataset", "loss", "modifier", "trainer")  # groups that a stage chooses from


def _is_of_its_own(data: Any, config: _Node) -> bool:
    """Whether a stage reads other data than the main one: not the same, nor the same after further steps."""
    return isinstance(data, Mapping) and data.get("reader", config["dataset"]["reader"]) != config["dataset"]["reader"]


def _choice_of(stage: str, key: str) -> str:
    """What Hydra calls a stage's choice from a group: dataset@adapt.tsdae.dataset."""
    return f"{key}@adapt.{stage}.{key}"


def names_in_stages(config: _Node, choices: Mapping[str, Any]) -> dict[str, str]:
    """The names of the options that stages chose: the YAML's name, or the last part of a dataset's path or id.

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
    """What a person calls a stage's dataset, loss or modifier; like the stage where it is none of those with a name."""
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
        builder: builds its data.
    """

    name: str
    node: _Node
    spec: LossSpec
    dataset_name: str
    builder: DataBuilder


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
        data, shared = own.get("dataset"), main["dataset"]
        if isinstance(data, Mapping) and "reader" not in data:
            own = own | {"dataset": {**shared, "steps": {**(shared["steps"] or {}), **(data.get("steps") or {})}}}
        before.append((name, main | own))
    return [*before, (MAIN, main)]


VARIED = {"split": "split", "negatives": "negatives", "rows": "draw_rows"}  # what `vary` may name, and the step's key
_GIVEN = {"split": "step=[split]", "negatives": "negatives=random"}


def varied(config: DictConfig) -> DictConfig:
    """The configuration, in which `seed` also drives what `vary` names: the seeds of steps of the data.

    Raises:
        ConfigError: a word that nothing is called, or a step that is not there or draws nothing.
    """
    names = [*(config.get("vary") or ())]
    if not names:
        return config
    refuse(problems_with("vary", names, LegalValues(one_of=tuple(VARIED), many=True), such_as="[split]"))
    config = copy.deepcopy(config)
    with flag_override(config, ["struct", "readonly"], False):
        if config.dataset.steps is None:
            config.dataset.steps = {}
        steps = config.dataset.steps
        if "rows" in names:
            steps.draw_rows = OmegaConf.load(option_files("step")["draw_rows"])
        refuse(_without_effect(names, steps))
        for name in names:
            steps[VARIED[name]].seed = config.seed
    return config


def seed_keys(config: Mapping[str, Any]) -> set[str]:
    """The keys whose values runs of one configuration differ in: `seed`, and the seeds that it drives by `vary`.

    >>> sorted(seed_keys({"seed": 1, "vary": ["split"]}))
    ['dataset.steps.split.seed', 'seed']
    """
    return {"seed", *(f"dataset.steps.{VARIED[name]}.seed" for name in config.get("vary") or () if name in VARIED)}


def _without_effect(names: Sequence[str], steps: DictConfig) -> Iterator[Problem]:
    for name in names:
        step = steps.get(VARIED[name])
        left = [other for other in names if other != name]
        fixes = (f"vary=[{','.join(left)}]",)
        if step is None:
            text, fixes = f"names {name}, and no such step is there to be varied", (_GIVEN[name], *fixes)
            yield Problem(text, "vary", names, expected="steps that draw at random", fix=fixes)
        elif name == "negatives" and step.get("choose") != "random" and not _has_seed(step.get("retriever")):
            text = "names negatives, and these are the best ranked ones with any seed"
            fixes = ("dataset.steps.negatives.choose=random", *fixes)
            yield Problem(text, "vary", names, expected="negatives that are drawn at random", fix=fixes)


def _has_seed(node: Any) -> bool:
    return isinstance(node, Mapping) and ("seed" in node or any(_has_seed(each) for each in node.values()))


def unvaried_split(stage: "StagePlan", config: _Node) -> Iterator[Problem]:
    """The problem of a split that shall be varied in data whose splits are given."""
    names, data = config.get("vary") or (), stage.dataset
    is_divided = any(report.step == "split" for report in data.history) and {*data.splits} != {"train"}
    if "split" in names and stage.name == MAIN and not is_divided:
        left = ",".join(name for name in names if name != "split")
        text = "names split, and the data have their splits: nothing is divided"
        yield Problem(text, "vary", names, expected="data that the step split divides", fix=(f"vary=[{left}]",))


def check_stages(config: _Node) -> None:
    """Raise ConfigError, with all problems, unless the stages before the main one have names and keys of stages."""
    refuse(problem for name, stage in (config["adapt"] or {}).items() for problem in _problems(name, stage))


def _problems(name: str, stage: Any) -> Iterator[Problem]:
    stage_key = f"adapt.{name}"
    if name == MAIN or not re.fullmatch(r"[\w-]+", name):
        expected = f"letters, digits, _ and -, and another name than {MAIN}: it names a folder and a run"
        text = "is no name for a stage before the main one"
        yield Problem(text, stage_key, expected=expected, fix=("+adapt.<name>={...}",))
    if not isinstance(stage, Mapping):
        fix = (f"adapt=[{name}]", f"+{stage_key}={{loss: ...}}")
        yield Problem(key=stage_key, given=stage, expected="a stage", fix=fix)
        return
    for key, value in stage.items():
        if key in _CHOSEN and isinstance(value, str):
            expected, fix = "what the YAML of an option holds", (f"+{_choice_of(name, key)}={value}",)
            yield Problem(key=f"{stage_key}.{key}", given=value, expected=expected, fix=fix)
        if key not in _KEYS:
            expected, near = f"one of: {', '.join(_KEYS)}", did_you_mean(key, _KEYS)
            yield Problem("is not a key", f"{stage_key}.{key}", expected=expected, note=near)


def problem_of_stage(name: str, config: _Node, names: Mapping[str, str]) -> Callable[[Problem], Problem]:
    """The change for a problem of a stage: it names the stage, and its keys become those that are typed for the stage.

    Problems of the main stage stay as they are, and so do keys that the stage shares with the main one. If its loss is
    in its own YAML, no other can be chosen, and such alternatives are left out.

    Args:
        names: of the chosen options, with those of the stages.
    """
    if name == MAIN:
        return lambda problem: problem
    stage = config["adapt"][name]
    chosen = {key for key in _CHOSEN if names.get(_choice_of(name, key))}
    own = {key for key, value in stage.items() if value is not None and (key in chosen or value != config[key])}
    if not _is_of_its_own(stage.get("dataset"), config):
        own -= {"dataset"}
    own |= {"step"} if "dataset" in own else set()
    own |= {"shape"} if own & {"dataset", "loss"} else set()
    has_one_loss = "loss" in own - chosen

    def typed(key: str) -> str:
        return f"adapt.{name}.{key}" if key.partition(".")[0] in own else key

    def of_stage(problem: Problem) -> Problem:
        found = problem.renamed(typed)
        is_own = found != problem or own & {"dataset", "loss"}
        found = found.without_choice(typed("loss")) if has_one_loss else found
        return replace(found, stage=name) if is_own else problem

    return of_stage


def configure_stage(
    name: str,
    stage: _Node,
    config: _Node,
    names: Mapping[str, str],
    builder: DataBuilder,
    called: Mapping[str, str] | None = None,
) -> StageConfig:
    """A stage with its modifier and its loss, which loss=auto chooses by the shape of the data.

    They have the names of the chosen options, or the name of the stage if none was chosen.

    Args:
        called: other names for its dataset, loss and modifier.

    Raises:
        EmbexpError: what the YAML of loss or modifier says, or data that cannot be read.
    """
    groups = ("dataset", "loss", "modifier")
    called = called or {key: _name_of(key, name, stage, config, names) for key in groups}
    data, loss, modifier = (called[key] for key in groups)
    node = stage["loss"]
    if is_auto(node):
        loss, node = loss_for(loss, node, *_shape_of(stage, data, builder))
    spec = spec_of(loss, node, modifier_of(modifier, stage["modifier"]))
    return StageConfig(name, {**stage, "loss": node}, spec, data, builder)


def _shape_of(stage: _Node, dataset_name: str, builder: DataBuilder) -> tuple[str, Sequence[str]]:
    """The requested shape or that of the data, and the names of its classes."""
    data = stage["dataset"]
    shape = stage["shape"] or next(iter(offered_shapes(data) or ()), None)
    if shape is not None:
        return shape, data["reader"].get("label_names") or ()
    dataset = builder.read(without_costly_steps(data), dataset_name, None)
    return dataset.shape.name, dataset.label_names


def with_losses(
    config: dict[str, Any], names: dict[str, str], stages: Sequence[StageConfig]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Configuration and names with the losses that loss=auto chose."""
    adapt, names = dict(config["adapt"] or {}), names | {"loss": stages[-1].spec.name}
    for stage in (stage for stage in stages[:-1] if stage.name in adapt):
        if is_auto(adapt[stage.name].get("loss") or config["loss"]):
            taken = {key: stage.node[key] for key in ("loss", "modifier", "shape")}
            adapt[stage.name] = {**adapt[stage.name], **taken}
            names[_choice_of(stage.name, "loss")] = stage.spec.name
    return config | {"loss": stages[-1].node["loss"], "adapt": adapt or config["adapt"]}, names
