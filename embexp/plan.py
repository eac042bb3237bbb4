"""Plan a run: build and check everything that is cheap, before anything is loaded, trained or logged."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.building import DataBuilder, builder_of, dataset_name
from embexp.checking import check_stage
from embexp.checks.settings import check_settings
from embexp.config import check_arguments, instantiate, resolve
from embexp.dataset_steps import check_steps, is_costly, offered_shapes
from embexp.drafts import Draft, check_stages, draft_stage, stages_of, with_losses
from embexp.errors import ConfigError, DataError, did_you_mean
from embexp.evaluation.scores import Evaluator
from embexp.exports.adapter_base import check_shared_base
from embexp.exports.delivery import plan_exports
from embexp.exports.trained import Export
from embexp.judges import check_evaluator_way, check_evaluators, plan_evaluators
from embexp.libraries import import_data_libraries, import_training_libraries
from embexp.matching import few_rows_warnings, wanted_shapes, way_to_loss
from embexp.misfits import Misfits
from embexp.protocols import BaseModel, Tracker
from embexp.stage_keys import names_in_stages
from embexp.steps.conversions.conversion_settings import NEEDED, default_settings
from embexp.steps.convert import limit_negatives
from embexp.stopwatch import WATCH
from embexp.training.arguments import check_precision
from embexp.training.stages import StagePlan

logger = logging.getLogger(__name__)
Node = Mapping[str, Any]
KEPT = ("weights", "full", "none")  # what of the checkpoints stays when a run has finished
NAMED = ("dataset", "silver", "negatives", "model", "loss", "modifier", "trainer")  # groups whose option names a run


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
    warnings: tuple[str, ...] = ()
    exports: tuple[Export, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@WATCH.part("planning")
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
    misfits = Misfits()
    misfits.attempt(check_kept, resolved["keep"])
    builder = misfits.attempt(builder_of, resolved, builders) or _lenient_builder()
    drafts = [
        misfits.attempt(draft_stage, name, stage, resolved, names, builder) for name, stage in stages_of(resolved)
    ]
    model = misfits.attempt(instantiate, resolved["model"])
    exports = plan_exports(resolved["export"], misfits)
    _check_names(resolved, names, [draft for draft in drafts if draft], model, builder, misfits)
    misfits.raise_if_any()
    resolved, names = with_losses(resolved, names, drafts)
    if place := misfits.attempt(model.locate):
        misfits.attempt(check_shared_base, exports, model, place)
    for draft in drafts:
        misfits.attempt(draft.keys.telling(draft.spec.locate))
    import_data_libraries()
    if any(is_costly(draft.node["dataset"]) for draft in drafts):
        _check_before_costly_steps(resolved, names, drafts, model, builder, misfits)
    stages, warnings = _plan_stages(drafts, folder, model, place, builder, misfits)
    trained_on = [stage.dataset for stage in stages]
    evaluators, primary, leaks = plan_evaluators(resolved, names["dataset"], trained_on, builder, misfits)
    warnings += leaks
    tracker = misfits.attempt(instantiate, resolved["tracking"])
    misfits.raise_if_any()
    _check_calls(drafts, model, misfits)
    misfits.raise_if_any()
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
        seed=resolved["seed"],
        threads=resolved["threads"],
        warnings=warnings,
        exports=exports,
    )


def check_kept(keep: str) -> None:
    """Raise ConfigError unless `keep` names what may stay of a finished run's checkpoints."""
    if keep not in KEPT:
        raise ConfigError(f"keep={keep} is not known. Expected {', '.join(KEPT)}. {did_you_mean(keep, KEPT)}".strip())


def short_names(config: Node, choices: Mapping[str, Any]) -> dict[str, str]:
    """What a person calls the chosen options, of stages too: the YAML's name, or the path's last part."""
    names = {group: str(choices.get(group) or "") for group in NAMED}
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
    config: Node,
    names: Mapping[str, str],
    drafts: Sequence[Draft],
    model: BaseModel | None,
    builder: DataBuilder,
    misfits: Misfits,
) -> None:
    """Find, from the YAML files alone, losses, settings and evaluators that do not go together."""
    for draft in drafts:
        misfits.attempt(draft.keys.telling(_check_way), draft, builder)
        errors = check_settings(draft.spec, draft.node["trainer"], model).errors
        misfits.add(map(draft.keys.told, errors), ConfigError)
    for name in config["evaluator"] or {}:
        misfits.attempt(check_evaluator_way, name, config, names["dataset"], builder)


def _check_way(draft: Draft, builder: DataBuilder) -> None:
    accepted = wanted_shapes(draft.node["shape"], draft.spec)
    if offered := offered_shapes(draft.node["dataset"]):
        way_to_loss(offered, accepted, draft.dataset_name, draft.spec.name, builder.settings)


def _plan_stages(
    drafts: Sequence[Draft],
    folder: Path,
    model: BaseModel,
    place: Mapping[str, str] | None,
    builder: DataBuilder,
    misfits: Misfits,
) -> tuple[tuple[StagePlan, ...], tuple[str, ...]]:
    """The stages whose data could be read, checked, and the warnings about them, each once."""
    stages, warnings = [], {}
    for draft in drafts:
        stage = misfits.attempt(draft.keys.telling(plan_stage), draft, folder / "stages" / draft.name, builder)
        if stage:
            findings = check_stage(stage, model, place)
            misfits.add(map(draft.keys.told, findings.errors), DataError)
            few_rows = few_rows_warnings(
                stage.dataset, wanted_shapes(draft.node["shape"], draft.spec), builder.settings
            )
            warnings |= dict.fromkeys(map(draft.keys.told, (*few_rows, *findings.warnings)))
            stages.append(stage)
    return tuple(stages), tuple(warnings)


def plan_stage(draft: Draft, folder: Path, builder: DataBuilder) -> StagePlan:
    """A stage with its data read and converted.

    Raises:
        EmbexpError: data that cannot be built, or that no conversion brings to the loss.
    """
    spec = draft.spec
    accepted = wanted_shapes(draft.node["shape"], spec)
    dataset = builder.in_shape(
        draft.node["dataset"],
        draft.dataset_name,
        lambda offered: way_to_loss(offered, accepted, draft.dataset_name, spec.name, builder.settings),
    )
    dataset = limit_negatives(dataset, spec.max_negatives)
    dataset.training_rows()
    return StagePlan(draft.name, dataset, spec, draft.node["trainer"], folder)


def _check_before_costly_steps(
    config: Node,
    names: Mapping[str, str],
    drafts: Sequence[Draft],
    model: BaseModel,
    builder: DataBuilder,
    misfits: Misfits,
) -> None:
    """Tell of what can be told without the training rows, where a step on the way to them takes long or is paid for."""
    for node in {json.dumps(draft.node["dataset"], default=str): draft.node["dataset"] for draft in drafts}.values():
        misfits.attempt(check_steps, node)
    _check_calls(drafts, model, misfits)
    check_evaluators(config, names["dataset"], builder, misfits)
    misfits.attempt(instantiate, config["tracking"])
    misfits.raise_if_any()


def _check_calls(drafts: Sequence[Draft], model: BaseModel, misfits: Misfits) -> None:
    """Find arguments that a callable does not take, and a precision that cannot be had: imports torch."""
    import_training_libraries()
    misfits.attempt(model.check)
    for draft in drafts:
        modifier = draft.spec.modifier
        check, calls = draft.keys.telling(check_arguments), [draft.node["trainer"], draft.spec.public_call()]
        for call in [*calls, modifier.public_call()] if modifier else calls:
            misfits.attempt(check, dict(call), {})
        misfits.attempt(draft.keys.telling(check_precision), draft.node["trainer"])
