"""Execute a plan: the story of one run, from the untouched model to the verdict."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from embexp.core.escaping import file_console, output_console
from embexp.core.file_contents import WORTH_LINKING, disk_use, megabytes
from embexp.core.run_context import EXPORTING, LOADING, RunContext, import_training_libraries, run_part, timed
from embexp.core.run_folder import RECORD, write_json
from embexp.errors import ModelError
from embexp.evaluation.scores import verdict_split
from embexp.experiment.cache_size import bounded_cache
from embexp.experiment.fingerprint import identity_tags, run_fingerprint, weights
from embexp.experiment.mixtures import prompts_of
from embexp.experiment.pausing import check_pausing
from embexp.experiment.plan import RunPlan
from embexp.experiment.results import record_results, store
from embexp.experiment.resume import resume_run, start_run
from embexp.experiment.scoring import AllScores, Scoring, metrics_of
from embexp.experiment.stages import adapt, record_params, train_main
from embexp.experiment.unknown_tokens import UNKNOWN, base_findings, is_stand_in, unknown_tokens
from embexp.exports.delivery import TrainedModel, make_exports
from embexp.models.encoding import MemoryCachedEncoder, ModelEncoder
from embexp.models.prompts import with_prompts
from embexp.models.tokens import unknown_by_model
from embexp.reports.closing import print_closing
from embexp.reports.tables import print_table, profile_table
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import close_parts, is_closed_part, sent_trainings
from embexp.training.checkpoints import tidy_checkpoints
from embexp.training.stage import OnEvaluate
from embexp.training.stages import StageResult, seconds_before

if TYPE_CHECKING:
    from rich.console import Console
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
REPORT = "report.txt"  # of a sweep's job: what a run prints when it ends


@dataclass(frozen=True)
class RunResult:
    """What a run found: the content of its result.json."""

    content: Mapping[str, Any]

    @property
    def primary_value(self) -> float:
        """The trained model's primary metric, on dev where there is one: what sweepers and tuners optimise."""
        return self.content["primary_value"]


@run_part("recording the run")
def execute(
    plan: RunPlan, resume: bool = False, on_evaluate: OnEvaluate | None = None, *, context: RunContext
) -> RunResult:
    """Run the plan: score the untouched model, train, score again, compare, and record all of it.

    Args:
        resume: resume the run in the plan's folder from its last complete checkpoint, as the same run of the tracker.
        on_evaluate: is called with step and dev score at each evaluation of the main stage; its caller shows the run.
        context: of the run, the one it was planned with (a new one if none is given); its `pause` stops the run.

    Raises:
        Paused: the run has come to `context.pause`; it stays open, and resumes as one that was interrupted does.
        Pruned: `on_evaluate` has stopped the run.
        ConfigError: the folder holds a run already, or (with `resume`) one that began with other data or weights.
    """
    check_pausing(plan, context.pause)
    start = time.perf_counter() - sum(seconds_before(stage) for stage in plan.stages)
    record = resume_run(plan) if resume else start_run(plan)
    _set_seed_and_threads(plan)
    journal = Journal(plan.folder, plan.tracker)
    journal.note_saved("Nothing is trained yet.")
    with bounded_cache(plan.config), journal.open(plan.name, context.parent, record["key"], bool(context.parent)):
        record |= {"id": journal.run_id}
        write_json(plan.folder / RECORD, record)
        journal.log_tags(identity_tags(record, plan.folder, context.sweep) | dict(plan.tags))
        context.begin_costs()
        record_params(plan, journal)
        model = _load_base_model(plan)
        if plan.model_place["source"] == "hub":  # its files are known only now that they were fetched
            plan = replace(plan, model_place=plan.model.locate())
            record |= {"weights": weights(plan), "fingerprint": run_fingerprint(plan)}
            write_json(plan.folder / RECORD, record)
        _record_unknown_tokens(plan, model, journal)
        scoring = Scoring(plan, context.costs, sees_test=not context.pause)
        base = scoring.of_base(model)
        journal.log_metrics({f"train/{key}": value for key, value in metrics_of("dev", base).items()}, step=0)
        for before in plan.stages[:-1]:
            adapt(plan, before, model, journal, scoring, base)
        stage = train_main(plan, model, journal, scoring, on_evaluate, context.pause)
        trained = scoring.of_trained(model, -1 if plan.model.merges_adapter else stage.best_step)
        record_results(plan, journal, base, trained, stage, context.costs)
        store(plan, journal, base, trained, stage)
        _export(plan, journal, model, trained, stage)
        unknown = journal.result.get("unknown_tokens", {})  # not earlier: MLflow compares runs by the first metric
        journal.log_results({f"{UNKNOWN}/{place}": share for place, share in unknown.items()})
        journal.log_results({"cost/seconds": time.perf_counter() - start})
        journal.result["profile"] = context.timer.seconds()
    parts = [*(before.folder for before in plan.stages[:-1]), *sent_trainings(plan.folder)]
    if journal.all_sent:
        close_parts(plan.folder)
    all_sent = journal.all_sent and all(is_closed_part(part) for part in parts)
    if all_sent:  # else a later process sends what is missing, of checkpoints too
        tidy(plan)
    write_json(plan.folder / RECORD, record | {"id": journal.run_id, "closed": all_sent})
    if context.sweep:
        with open(plan.folder / REPORT, "w", encoding="utf-8") as file:
            _print_report(plan, journal, context, file_console(file))
    elif on_evaluate is None:
        _print_report(plan, journal, context, output_console())
    return RunResult(journal.result)


def _print_report(plan: RunPlan, journal: Journal, context: RunContext, console: "Console") -> None:
    """The closing table, where all is, and what took the time."""
    print_closing(journal.result, console)
    console.print(f"{'disk':<11}{_disk_line(plan)}", soft_wrap=True, highlight=False)
    if plan.config.get("profile") and (seconds := context.timer.seconds()):
        print_table(profile_table(seconds), console)


def _set_seed_and_threads(plan: RunPlan) -> None:
    """Seed Python, NumPy and torch before anything random happens, so that a job's place in a sweep changes nothing."""
    import torch
    import transformers

    import_training_libraries()
    transformers.set_seed(plan.seed)
    if plan.threads:
        torch.set_num_threads(plan.threads)


@timed(LOADING)
def _load_base_model(plan: RunPlan) -> "SentenceTransformer":
    """The untouched model with the prompts of the main stage's data, where these name any.

    The main stage's texts make the tokenizer of a model from scratch.
    """
    place = plan.model_place
    logger.info("Base model %s from %s: %s", plan.choices["model"], place["source"], place["location"])
    datasets = [part.dataset for part in plan.stages[-1].parts]
    model = plan.model.load(lambda: chain.from_iterable(each.texts("train") for each in datasets), plan.folder)
    if place["source"] == "hub":
        plan.model.check()  # once more, with the files that have come
    named, default = prompts_of(datasets)
    if named:
        model.prompts = with_prompts(model.prompts, named)
        model.default_prompt_name = default
    return model


def _record_unknown_tokens(plan: RunPlan, model: "SentenceTransformer", journal: Journal) -> None:
    """Store the shares of the loaded base model with the result.

    Raises:
        ModelError: a share is larger than `max_unknown_tokens`.
    """
    if not (count := unknown_by_model(model)):
        return
    found = unknown_tokens(count, plan.stages, plan.evaluators)
    journal.result["unknown_tokens"] = {place: each.share for place, each in found.items()}
    if is_stand_in(plan.config, plan.model_place):
        return
    findings = base_findings(found, plan.config, plan.choices, plan.model, plan.stages)
    if findings.errors:
        raise ModelError(*findings.errors)
    for warning in map(str, findings.warnings):
        if warning not in journal.result["warnings"]:
            logger.warning("%s", warning)
            journal.result["warnings"] = [*journal.result["warnings"], warning]


@timed(EXPORTING)
def _export(
    plan: RunPlan, journal: Journal, model: "SentenceTransformer", trained: AllScores, stage: StageResult
) -> None:
    """Make the requested exports of the trained model; one that fails is reported and does not end the run."""
    subject = TrainedModel(
        folder=stage.model_path,
        output=plan.folder / "exports",
        encoder=MemoryCachedEncoder(ModelEncoder(model)),
        evaluators=plan.evaluators,
        dataset=plan.stages[-1].dataset,
        result=journal.result,
        config=plan.config,
        run_folder=plan.folder,
        known_scores={each.name: trained[each.name, verdict_split(each)] for each in plan.evaluators},
    )
    for made in make_exports(plan.exports, subject):
        journal.log_results(made.metrics)
        if not made.problem:
            journal.log_artifact(made.folder, f"exports/{made.name}")
        journal.result.setdefault("exports", []).append(made.record())


def _disk_line(plan: RunPlan) -> str:
    """What the run has written, and how to keep less or more."""
    model, checkpoints = (
        disk_use(*(stage.folder / name for stage in plan.stages)) for name in ("model", "checkpoints")
    )
    parts = [f"{megabytes(disk_use(plan.folder))} in {plan.folder}, the model {megabytes(model)} of it"]
    if checkpoints:
        parts.append(f"checkpoints {megabytes(checkpoints)} (none with keep=none)")
    weights = [file for file in plan.stages[-1].folder.glob("model/*") if file.stat().st_size >= WORTH_LINKING]
    if weights and plan.config["tracking"].get("log_model") and not any(file.stat().st_nlink > 1 for file in weights):
        parts.append("the store has its own copy of the model (none with tracking.log_model=false)")
    more = "" if checkpoints else "; keep=weights or keep=full keeps checkpoints"
    return ", ".join(parts) + more


def tidy(plan: RunPlan) -> None:
    """Remove of the checkpoints what `keep` does not ask for, once all is stored."""
    tidy_checkpoints((stage.checkpoints for stage in plan.stages), plan.config["keep"])
