"""Plan a run: build and check everything that is cheap, before anything is loaded, trained or logged."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.config.compose import check_arguments, instantiate, resolve
from embexp.core.profiling import TIMER, import_data_libraries, import_training_libraries
from embexp.errors import ConfigError, DataError, Problems, did_you_mean
from embexp.evaluation.scores import Evaluator
from embexp.experiment.data_checks import check_stage
from embexp.experiment.datasets import DataBuilder, builder_of, check_steps, dataset_name, is_costly, offered_shapes
from embexp.experiment.evaluators import check_evaluator_route, check_evaluators, plan_evaluators
from embexp.experiment.routing import few_rows_warnings, route_to_loss, wanted_shapes
from embexp.experiment.settings_checks import check_settings
from embexp.experiment.stage_config import (
    StageConfig,
    check_stages,
    configure_stage,
    names_in_stages,
    stages_of,
    with_losses,
)
from embexp.exports.delivery import Export, check_shared_base, plan_exports
from embexp.protocols import BaseModel, Tracker
from embexp.steps.conversions.conversion import NEEDED, default_settings
from embexp.steps.conversions.convert import limit_negatives
from embexp.training.embedding_training import check_precision
from embexp.training.stages import StagePlan

logger = logging.getLogger(__name__)
_Node = Mapping[str, Any]
_KEPT = ("weights", "full", "none")  # what of the checkpoints stays when a run has finished
_NAMED = ("dataset", "silver", "negatives", "model", "loss", "modifier", "trainer")  # groups whose option names a run


@dataclass(frozen=True)
class RunPlan:
    """A run that was checked and can start.

    Attributes:
        config: the resolved configuration.
        choices: the chosen option of each group, by their short names.
        model_place: where the base model's weights come from.
        primary_evaluator, primary_metric: who picks the checkpoint and gives the verdict.
        warnings: what the check before training found and let pass.
        exports: what else is made of the trained model.
        tags: what the run's tracker shows besides, such as the study that it is a trial of.
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
    warnings: tuple[str, ...] = ()
    exports: tuple[Export, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """What everything random in the run is drawn with."""
        return self.config["seed"]

    @property
    def threads(self) -> int | None:
        """How many CPU threads torch gets; None leaves the choice to it."""
        return self.config["threads"]


@TIMER.part("planning")
def plan_run(
    config: DictConfig, choices: Mapping[str, Any], folder: Path, builders: dict[str, DataBuilder] | None = None
) -> RunPlan:
    """The plan of the run that `config` describes; its results will go to `folder`.

    All mistakes are reported together, in three rounds that take longer and longer: what the YAML files tell, what
    the rows tell, and what needs torch and sentence-transformers to be told (their arguments, the precision).

    Args:
        builders: of the sweep that the run belongs to: what one of its jobs has read and built, others need not.

    Raises:
        EmbexpError: whatever does not fit, in one message.
    """
    resolved = resolve(config)
    check_stages(resolved)
    names = short_names(resolved, choices)
    problems = Problems()
    problems.attempt(_check_kept, resolved["keep"])
    builder = problems.attempt(builder_of, resolved, builders) or _lenient_builder()
    drafts = [
        problems.attempt(configure_stage, name, stage, resolved, names, builder) for name, stage in stages_of(resolved)
    ]
    model = problems.attempt(instantiate, resolved["model"])
    exports = plan_exports(resolved["export"], problems)
    _check_names(resolved, names, [draft for draft in drafts if draft], model, builder, problems)
    problems.raise_if_any()
    resolved, names = with_losses(resolved, names, drafts)
    if place := problems.attempt(model.locate):
        problems.attempt(check_shared_base, exports, model, place)
    for draft in drafts:
        problems.attempt(draft.keys.telling(draft.spec.locate))
    import_data_libraries()
    if any(is_costly(draft.node["dataset"]) for draft in drafts):
        _check_before_costly_steps(resolved, names, drafts, model, builder, problems)
    stages, warnings = _plan_stages(drafts, folder, model, place, builder, problems)
    trained_on = [stage.dataset for stage in stages]
    evaluators, primary, leaks = plan_evaluators(resolved, names["dataset"], trained_on, builder, problems)
    warnings += leaks
    tracker = problems.attempt(instantiate, resolved["tracking"])
    problems.raise_if_any()
    _check_calls(drafts, model, problems)
    problems.raise_if_any()
    for warning in warnings:
        logger.warning("%s", warning)
    return RunPlan(
        name=resolved["name"] or _run_name(names, stages[-1], resolved["seed"]),
        folder=folder,
        config=resolved,
        choices=names,
        model=model,
        model_place=place,
        stages=stages,
        evaluators=evaluators,
        primary_evaluator=primary[0],
        primary_metric=primary[1],
        tracker=tracker,
        warnings=warnings,
        exports=exports,
    )


def _check_kept(keep: str) -> None:
    """Raise ConfigError unless `keep` names what may stay of a finished run's checkpoints."""
    if keep not in _KEPT:
        raise ConfigError(f"keep={keep} is not known. Expected {', '.join(_KEPT)}. {did_you_mean(keep, _KEPT)}".strip())


def short_names(config: _Node, choices: Mapping[str, Any]) -> dict[str, str]:
    """What a person calls the chosen options, of stages too: the YAML's name, or the path's last part."""
    names = {group: str(choices.get(group) or "") for group in _NAMED}
    names["adapt"] = "+".join(config.get("adapt") or ())
    names["dataset"] = dataset_name(config["dataset"], choices)
    if names["model"] == "pretrained":
        names["model"] = Path(config["model"]["path"]).name
    if adapter := choices.get("model/adapter"):
        names["model"] += f"+{adapter}"
    return names | names_in_stages(config, choices)


def _lenient_builder() -> DataBuilder:
    """Stands in where conversion settings are wrong: no way is refused for want of a number that was mistyped."""
    return DataBuilder(default_settings(**{key: float(example) for key, (example, _) in NEEDED.items()}), None)


def _run_name(names: Mapping[str, str], main: StagePlan, seed: int) -> str:
    modifier = f"+{main.loss.modifier.name}" if main.loss.modifier else ""
    before = f"{names['adapt']}>" if names["adapt"] else ""
    return f"{before}{names['loss']}{modifier}/{names['model']}/{seed}"


def _check_names(
    config: _Node,
    names: Mapping[str, str],
    drafts: Sequence[StageConfig],
    model: BaseModel | None,
    builder: DataBuilder,
    problems: Problems,
) -> None:
    """Find, from the YAML files alone, losses, settings and evaluators that do not go together."""
    for draft in drafts:
        problems.attempt(draft.keys.telling(_check_way), draft, builder)
        errors = check_settings(draft.spec, draft.node["trainer"], model).errors
        problems.add(map(draft.keys.told, errors), ConfigError)
    for name in config["evaluator"] or {}:
        problems.attempt(check_evaluator_route, name, config, names["dataset"], builder)


def _check_way(draft: StageConfig, builder: DataBuilder) -> None:
    accepted = wanted_shapes(draft.node["shape"], draft.spec)
    if offered := offered_shapes(draft.node["dataset"]):
        route_to_loss(offered, accepted, draft.dataset_name, draft.spec.name, builder.settings)


def _plan_stages(
    drafts: Sequence[StageConfig],
    folder: Path,
    model: BaseModel,
    place: Mapping[str, str] | None,
    builder: DataBuilder,
    problems: Problems,
) -> tuple[tuple[StagePlan, ...], tuple[str, ...]]:
    """The stages whose data could be read, checked, and the warnings about them, each once."""
    stages, warnings = [], {}
    for draft in drafts:
        stage = problems.attempt(draft.keys.telling(plan_stage), draft, folder / "stages" / draft.name, builder)
        if stage:
            findings = check_stage(stage, model, place)
            problems.add(map(draft.keys.told, findings.errors), DataError)
            few_rows = few_rows_warnings(
                stage.dataset, wanted_shapes(draft.node["shape"], draft.spec), builder.settings
            )
            warnings |= dict.fromkeys(map(draft.keys.told, (*few_rows, *findings.warnings)))
            stages.append(stage)
    return tuple(stages), tuple(warnings)


def plan_stage(draft: StageConfig, folder: Path, builder: DataBuilder) -> StagePlan:
    """A stage with its data read and converted.

    Raises:
        EmbexpError: data that cannot be built, or that no conversion brings to the loss.
    """
    spec = draft.spec
    accepted = wanted_shapes(draft.node["shape"], spec)
    dataset = builder.in_shape(
        draft.node["dataset"],
        draft.dataset_name,
        lambda offered: route_to_loss(offered, accepted, draft.dataset_name, spec.name, builder.settings),
    )
    dataset = limit_negatives(dataset, spec.max_negatives)
    dataset.training_rows()
    return StagePlan(draft.name, dataset, spec, draft.node["trainer"], folder)


def _check_before_costly_steps(
    config: _Node,
    names: Mapping[str, str],
    drafts: Sequence[StageConfig],
    model: BaseModel,
    builder: DataBuilder,
    problems: Problems,
) -> None:
    """Tell of what can be told without the training rows, where a step on the way to them takes long or is paid for."""
    for node in {json.dumps(draft.node["dataset"], default=str): draft.node["dataset"] for draft in drafts}.values():
        problems.attempt(check_steps, node)
    _check_calls(drafts, model, problems)
    check_evaluators(config, names["dataset"], builder, problems)
    problems.attempt(instantiate, config["tracking"])
    problems.raise_if_any()


def _check_calls(drafts: Sequence[StageConfig], model: BaseModel, problems: Problems) -> None:
    """Find arguments that a callable does not take, and a precision that cannot be had: imports torch."""
    import_training_libraries()
    problems.attempt(model.check)
    for draft in drafts:
        modifier = draft.spec.modifier
        check, calls = draft.keys.telling(check_arguments), [draft.node["trainer"], draft.spec.public_call()]
        for call in [*calls, modifier.public_call()] if modifier else calls:
            problems.attempt(check, dict(call), {})
        problems.attempt(draft.keys.telling(check_precision), draft.node["trainer"])
