"""Plan a run: build and check everything that is cheap, before anything is loaded, trained or logged."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.config.compose import check_arguments, instantiate, resolve
from embexp.core.arguments import refuse
from embexp.core.run_context import (
    IMPORTING,
    RunContext,
    import_data_libraries,
    import_training_libraries,
    run_part,
    timed,
)
from embexp.data.dataset import Prompts
from embexp.errors import ConfigError, DataError, ModelError, Problem, Problems, listed
from embexp.evaluation.scores import Evaluator
from embexp.experiment.data_checks import check_stage, check_steps_of
from embexp.experiment.datasets import (
    DataBuilder,
    builder_of,
    check_steps,
    dataset_name,
    is_costly,
    offered_shapes,
    stand_in_warning,
    stand_ins,
    with_stand_in,
)
from embexp.experiment.evaluation_data import AUTO, split_for_run
from embexp.experiment.evaluators import (
    check_data_of_evaluators,
    check_evaluator,
    check_evaluators,
    evaluator_nodes,
    plan_evaluators,
)
from embexp.experiment.mixture_keys import with_mixture
from embexp.experiment.mixtures import (
    check_mixture,
    configure_part,
    mixture_of,
    names_of_mixture,
    parts_of,
    problem_of_part,
    split_sets,
    with_evaluators_of_sets,
    with_losses_of_parts,
)
from embexp.experiment.presets import (
    model_prompts,
    preset_warnings,
    prompt_findings,
    prompted_evaluators,
    prompted_stage,
)
from embexp.experiment.routing import check_route, plan_stage
from embexp.experiment.settings_checks import Findings, check_settings, merged, setting_problems, usual_learning_rate
from embexp.experiment.stage_config import (
    StageConfig,
    check_stages,
    names_in_stages,
    unvaried_split,
    varied,
)
from embexp.experiment.unknown_tokens import base_name, check_models, check_step_models
from embexp.exports.delivery import Export, check_shared_base, exports_in, plan_exports
from embexp.losses.spec import is_auto
from embexp.models.weights import refuse_unreachable
from embexp.protocols import BaseModel, Tracker
from embexp.steps.conversions.conversion import NEEDED, default_settings
from embexp.training.embedding_training import check_precision, check_processes
from embexp.training.stages import StagePlan
from embexp.training.trainer_values import check_trainer, is_bounded

logger = logging.getLogger(__name__)
_Node = Mapping[str, Any]
_NAMED = ("dataset", "silver", "negatives", "model", "loss", "modifier", "trainer")  # groups whose option names a run


@dataclass(frozen=True)
class RunPlan:
    """A run that was checked and can start.

    Attributes:
        config: the resolved configuration.
        choices: the chosen option of each group, by their short names.
        model_place: where the base model's weights come from.
        primary_evaluator, primary_metric: what picks the checkpoint and gives the verdict.
        warnings: what the checks found and let pass.
        exports: what else is made of the trained model.
        tags: for the tracker, such as the study that the run is a trial of.
    """

    name: str
    folder: Path
    config: _Node
    choices: Mapping[str, str]
    model: BaseModel
    model_place: Mapping[str, str]
    stages: tuple[StagePlan, ...]
    evaluators: tuple[Evaluator, ...]
    primary_evaluator: str
    primary_metric: str
    tracker: Tracker
    warnings: tuple[Problem, ...] = ()
    exports: tuple[Export, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The seed of everything random in the run."""
        return self.config["seed"]

    @property
    def threads(self) -> int | None:
        """How many CPU threads torch gets; None leaves the choice to it."""
        return self.config["threads"]


@run_part("planning")
def plan_run(config: DictConfig, choices: Mapping[str, Any], folder: Path, *, context: RunContext) -> RunPlan:
    """The plan of the run that `config` describes; its results will go to `folder`.

    The checks are three rounds, each slower than the one before: what the YAML files show, what the rows show, and what
    needs torch and sentence-transformers (arguments, precision); where a trainer has values that only the libraries can
    check, the last of them comes before the rows. Each round reports all its problems together.

    Args:
        context: of the run (a new one if none is given); data that its `builders` have built are not built again.

    Raises:
        EmbexpError: whatever does not fit, in one message.
    """
    resolved, problems = _resolved(config), Problems()
    names = short_names(resolved, choices)
    resolved = split_sets(split_for_run(_with_evaluators(resolved, names, context.builders)))
    planning = _check_yaml(resolved, names, context.builders, problems)
    problems.raise_if_any()
    if not all(is_bounded(stage.node["trainer"]) for stage in planning.stages):
        _check_calls(planning, problems)
        problems.raise_if_any()
    parts = _check_rows(planning, folder, problems)
    problems.raise_if_any()
    _check_calls(planning, problems)
    problems.raise_if_any()
    found = stand_ins(resolved)
    parts["warnings"] = (*([stand_in_warning(found)] if found else []), *parts["warnings"])
    for warning in parts["warnings"]:
        logger.warning("%s", warning)
    names, loss = _with_model_stand_in(planning, parts["model_place"]), parts["stages"][-1].loss
    trained = names["loss"] + (f"+{loss.modifier.name}" if loss.modifier else "")
    default = f"{' > '.join(filter(None, (names['adapt'], trained)))} · {names['model']} · {resolved['seed']}"
    name = with_stand_in(resolved["name"] or default, listed(dict.fromkeys(found.values())) if found else "")
    settings = {"config": planning.config, "choices": names, "model": planning.model}
    return RunPlan(name=name, folder=folder, exports=planning.exports, **settings, **parts)


def check_without_rows(config: DictConfig, choices: Mapping[str, Any]) -> None:
    """The first round alone: raise EmbexpError where the YAML files show that a run cannot be."""
    resolved, problems = _resolved(config), Problems()
    if offered_shapes(resolved["dataset"]):
        resolved = _with_evaluators(resolved, short_names(resolved, choices), {})
    elif AUTO in (resolved["evaluator"] or {}):  # the rows choose the evaluator
        resolved["evaluator"] = {}
    if not is_auto(resolved["loss"]):  # the rows choose the loss
        _check_yaml(resolved, short_names(resolved, choices), {}, problems)
    problems.raise_if_any()


def _resolved(config: DictConfig) -> dict[str, Any]:
    resolved = with_mixture(resolve(varied(config)))
    check_stages(resolved)
    check_mixture(resolved, resolved["trainer"].get("processes", 1))
    refuse(setting_problems(resolved))
    check_data_of_evaluators(resolved)
    return resolved


@dataclass(frozen=True)
class _Planning:
    """What the first round found out: the configuration with every loss known, and what was made of it."""

    config: _Node
    names: Mapping[str, str]  # of the chosen options, with those of the stages
    builder: DataBuilder
    stages: Sequence[StageConfig]
    model: BaseModel
    exports: tuple[Export, ...]

    def of_stage(self, stage: StageConfig, problems: Problems) -> Problems:
        """The same problems; those that are added get the keys of the stage."""
        return problems.through(problem_of_part(stage.name, self.config, self.names))


def _check_yaml(
    config: dict[str, Any], names: dict[str, str], builders: dict[str, DataBuilder], problems: Problems
) -> _Planning | None:
    """First round: settings, losses and evaluators that do not go together, from the YAML files alone."""
    if not (builder := problems.attempt(builder_of, config, builders)):  # no route is refused for a mistyped number
        builder = DataBuilder(default_settings(**{key: float(value) for key, (value, _) in NEEDED.items()}), None)
    model = problems.attempt(_instantiate_at, "model", config)
    exports = plan_exports(exports_in(config), problems)
    stages = []
    for name, node in parts_of(config):
        mine = problems.through(problem_of_part(name, config, names))
        if stage := mine.attempt(configure_part, name, node, config, names, builder):
            stages.append(stage)
            mine.attempt(check_route, stage)
            rate = usual_learning_rate(config["model"])
            mine.add(check_settings(stage.spec, node["trainer"], model, None, rate).errors, ConfigError)
    for name in evaluator_nodes(config):
        problems.attempt(check_evaluator, name, config, names["dataset"], builder)
    if problems.found:
        return None
    return _Planning(*with_losses_of_parts(config, names, stages), builder, stages, model, exports)


def _with_evaluators(
    config: dict[str, Any], names: Mapping[str, str], builders: dict[str, DataBuilder]
) -> dict[str, Any]:
    """The configuration with the evaluators that `auto` stands for, unless settings of conversions are mistyped."""
    if not (builder := Problems().attempt(builder_of, config, builders)):
        return config | {"evaluator": {}}
    return with_evaluators_of_sets(config, names, builder)


def _instantiate_at(key: str, config: _Node) -> Any:
    """What stands at a key; its arguments are checked under the key's name."""
    check_arguments(config[key], {}, key)
    return instantiate(config[key])


def _check_rows(planning: _Planning, folder: Path, problems: Problems) -> dict[str, Any]:
    """Second round: data and weights are found, rows are read, converted and checked. Returns parts of the plan."""
    config, names, model, builder = planning.config, planning.names, planning.model, planning.builder
    if place := problems.attempt(model.locate):
        problems.attempt(refuse_unreachable, place)
        problems.attempt(check_shared_base, planning.exports, model, place)
    for stage in planning.stages:
        planning.of_stage(stage, problems).attempt(stage.spec.locate)
    with timed(IMPORTING):
        import_data_libraries()
    if any(is_costly(stage.node["dataset"]) for stage in planning.stages):
        _check_before_costly_steps(planning, problems)
    prompts = problems.attempt(model_prompts, model, config["evaluator"])
    stages, warnings = _plan_stages(planning, folder, place, prompts, problems)
    trained_on = [part.dataset for stage in stages for part in stage.parts]
    evaluators, primary, leaks = plan_evaluators(config, names["dataset"], trained_on, builder, problems)
    evaluator, metric = primary or ("", "")
    unknown = check_models(config, names, model, place, stages, evaluators) if place and stages else Findings()
    problems.add(unknown.errors, ModelError)
    return {
        "model_place": place,
        "stages": stages,
        "evaluators": prompted_evaluators(evaluators, prompts),
        "primary_evaluator": evaluator,
        "primary_metric": metric,
        "tracker": problems.attempt(_instantiate_at, "tracking", config),
        "warnings": (*warnings, *leaks, *unknown.warnings, *preset_warnings(config, names["model"], place or {})),
    }


def _with_model_stand_in(planning: _Planning, place: Mapping[str, str]) -> dict[str, str]:
    """The names, that of the model with the one whose weights are taken in place of its own."""
    names, model = dict(planning.names), planning.model
    stand_in = getattr(model, "stand_in", None)
    if stand_in and place["id"] != (getattr(model, "path", None) or getattr(model, "id", None)):
        names["model"] = with_stand_in(names["model"], stand_in)
    return names


def short_names(config: _Node, choices: Mapping[str, Any]) -> dict[str, str]:
    """The names of the chosen options, of stages too: the YAML's name, or the path's last part."""
    names = {group: str(choices.get(group) or "") for group in _NAMED}
    names["adapt"] = "+".join(config.get("adapt") or ())
    names["dataset"] = dataset_name(config["dataset"], choices)
    if names["model"] == "pretrained":
        names["model"] = Path(config["model"]["path"]).name
    if (adapter := choices.get("model/adapter") or "none") != "none":
        names["model"] += f"+{adapter}"
    return names | names_in_stages(config, choices) | names_of_mixture(config, names, choices)


def _plan_stages(
    planning: _Planning,
    folder: Path,
    place: Mapping[str, str] | None,
    prompts: Prompts | None,
    problems: Problems,
) -> tuple[tuple[StagePlan, ...], tuple[Problem, ...]]:
    """The stages whose data could be read, checked, and the warnings about them, each once."""
    parts, warnings = [], Problems()
    for config in planning.stages:
        mine = planning.of_stage(config, problems)
        if part := mine.attempt(plan_stage, config, folder / "stages" / config.name):
            part = prompted_stage(part, prompts)
            findings = merged((check_stage(part, planning.model, place), prompt_findings(part.dataset, prompts)))
            mine.add((*findings.errors, *unvaried_split(part, planning.config)), DataError)
            planning.of_stage(config, warnings).add(findings.warnings, DataError)
            parts.append(part)
    stages = problems.attempt(mixture_of, parts, planning.config, folder) or ()
    for stage in stages if len(parts) == len(planning.stages) else ():
        problems.through(problem_of_part(stage.name, planning.config, planning.names)).add(
            check_steps_of(stage), DataError
        )
    return stages, tuple(warnings.found)


def _check_before_costly_steps(planning: _Planning, problems: Problems) -> None:
    """Check all that needs no training rows, because a step on the way to them takes long or costs money."""
    nodes = {json.dumps(stage.node["dataset"], default=str): stage.node["dataset"] for stage in planning.stages}
    for node in nodes.values():
        problems.attempt(check_steps, node)
    _check_calls(planning, problems)
    check_evaluators(planning.config, planning.names["dataset"], planning.builder, problems)
    problems.attempt(instantiate, planning.config["tracking"])
    problems.raise_if_any()
    base = planning.model, base_name(planning.config, planning.names)  # last: it applies the steps that take no time
    problems.add(check_step_models(planning.config, planning.stages, planning.builder, base).errors, ModelError)
    problems.raise_if_any()


def _check_calls(planning: _Planning, problems: Problems) -> None:
    """Third round: arguments that a callable does not take, and a precision that the machine lacks; imports torch."""
    with timed(IMPORTING):
        import_training_libraries()
    problems.attempt(planning.model.check)
    for stage in planning.stages:
        mine = planning.of_stage(stage, problems)
        mine.attempt(check_trainer, stage.node["trainer"])
        mine.attempt(stage.spec.check)
        mine.attempt(check_precision, stage.node["trainer"])
        mine.attempt(check_processes, stage.node["trainer"].get("processes", 1))
