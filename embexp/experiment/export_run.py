"""Exports of a finished run's model or of any saved model: what is exported, made, and added to the run."""

import logging
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from embexp.config.compose import instantiate, resolve
from embexp.config.session import shell_command, typed_overrides
from embexp.core.arguments import refuse
from embexp.core.claims import held
from embexp.core.escaping import say
from embexp.core.run_context import import_training_libraries
from embexp.core.run_folder import RESULT, find_run, read_config, read_json, read_record, status_of, write_json
from embexp.data.dataset import EmbeddingDataset
from embexp.data.proposals import quoted
from embexp.errors import ConfigError, ExportError, Problem, Problems, TrackingError
from embexp.evaluation.scores import Evaluator
from embexp.experiment.datasets import DataBuilder, builder_of, dataset_name
from embexp.experiment.evaluators import plan_evaluators
from embexp.experiment.mixtures import configure_part, parts_of
from embexp.experiment.presets import model_prompts, prompted, prompted_evaluators
from embexp.experiment.resume import check_run_is_trusted
from embexp.experiment.routing import plan_stage
from embexp.experiment.stage_config import MAIN, stages_of
from embexp.exports.delivery import Export, Exported, TrainedModel, exports_in, make_exports, plan_exports
from embexp.models.encoding import MemoryCachedEncoder, ModelEncoder
from embexp.reports.tables import export_lines
from embexp.tracking.outbox import Outbox, behind

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_Node = Mapping[str, Any]


def _of_run(folder: Path, trust: bool, fix: str) -> TrainedModel:
    """The model of a finished run, with the evaluators and the training data that its configuration names.

    Args:
        trust: whether code that the folder names may run.
        fix: what to type by whom trusts it.
    """
    from sentence_transformers import SentenceTransformer

    if (status := status_of(folder)) != "FINISHED":
        how = "was interrupted" if status == "RUNNING" else f"ended as {status}"
        raise ConfigError(
            f"The run in {folder} {how}",
            expected="one that has finished: resume it, then export",
            fix=shell_command("", [f"resume={folder}"]),
        )
    began = Path(read_record(folder)["directory"])
    if began.is_dir() and began != Path.cwd():
        command = shell_command("export", [f"run={shlex.quote(str(folder.resolve()))}", "..."], away=True)
        raise ConfigError(
            f"The run in {folder} began in {began}, to which its relative paths belong. Export it there",
            fix=f"cd {shlex.quote(str(began))} && {command}",
        )
    model = folder / "stages" / MAIN / "model"
    if not model.is_dir():
        note = "embexp clean removes it with free=[models]; the run's command makes it again."
        raise ConfigError(f"The run in {folder} has no model any more", expected="a run with one", note=note)
    given = read_config(folder)
    if not trust:
        check_run_is_trusted(folder, given, fix)
    import_training_libraries()
    config = OmegaConf.to_container(given, resolve=True)
    result = read_json(folder / RESULT)
    evaluators, dataset = _evaluators_and_data(config, result["choices"])
    return TrainedModel(
        folder=model,
        output=folder / "exports",
        encoder=_encoder(SentenceTransformer(str(model), trust_remote_code=trust)),
        evaluators=evaluators,
        dataset=dataset,
        result=result,
        config=config,
        run_folder=folder,
    )


def _evaluators_and_data(config: _Node, names: Mapping[str, str]) -> tuple[tuple[Evaluator, ...], EmbeddingDataset]:
    """The run's evaluators and the data of its main stage, built anew as its plan did."""
    builder, problems = builder_of(config), Problems()
    stages = [configure_part(name, node, config, names, builder) for name, node in parts_of(config)]
    prompts = model_prompts(instantiate(config["model"]), config["evaluator"])
    trained_on = [prompted(plan_stage(stage, Path(stage.name)).dataset, prompts) for stage in stages]
    evaluators, _, _ = plan_evaluators(config, names["dataset"], trained_on, builder, problems)
    problems.raise_if_any()
    main = len(stages_of(config)) - 1  # of a mixture its first set, as at the end of a run
    return prompted_evaluators(evaluators, prompts), trained_on[main]


def _of_model(config: _Node, choices: Mapping[str, Any]) -> TrainedModel:
    """A model as its YAML says, saved anew in the output; evaluators and data where they were named."""
    import_training_libraries()
    builder, base = builder_of(config), instantiate(config["model"])
    dataset = None
    if config["dataset"]:
        name = dataset_name(config["dataset"], choices)
        dataset = builder.in_shape(config["dataset"], name, lambda offered: (offered[0], ()))
    evaluators = _evaluators(config, dataset, builder) if config["evaluator"] else ()
    output = Path(config["output"] or f"exports/{Path(base.locate()['id']).name}")
    folder = output / "model"
    model = base.load(lambda: dataset.texts("train") if dataset else (), output)
    model.save_pretrained(str(folder))
    return TrainedModel(folder, output, _encoder(model), evaluators, dataset)


def _evaluators(config: _Node, dataset: EmbeddingDataset | None, builder: DataBuilder) -> tuple[Evaluator, ...]:
    """The evaluators that were named, on their own data or on the data set of the command."""
    lacking = [name for name, node in config["evaluator"].items() if node["_reads_"] and not node.get("dataset")]
    if lacking and not dataset:
        text, expected = "reads the data set that is trained on", "a data set, or an evaluator with data of its own"
        fix = ("dataset=finance", "evaluator=[stsb]")
        raise ConfigError(Problem(f"{text}, and none was named", "evaluator", lacking[:1], expected, fix=fix))
    problems, name = Problems(), dataset.name if dataset else ""
    evaluators, _, _ = plan_evaluators(config | {"primary_metric": None}, name, [], builder, problems)
    problems.raise_if_any()
    return evaluators


def _encoder(model: "SentenceTransformer") -> MemoryCachedEncoder:
    """An encoder that computes as a run's does: without padding, where that can be."""
    from embexp.models.packed import set_forward

    set_forward(model, None)
    return MemoryCachedEncoder(ModelEncoder(model, progress="encoding"))


logger = logging.getLogger(__name__)
_NEEDS = {
    "run": ("needs the result of a run", "a finished run", "run=<folder of a finished run>"),
    "texts": ("needs texts to calibrate on", "a data set", "dataset=<data set with a train split>"),
}


def export_command() -> None:
    """`python -m embexp.export`: compose the configuration and export what it names."""
    from embexp.cli.app import run_command

    run_command(export, "export")


def export(config: DictConfig, choices: dict[str, Any], _folder: Path | None = None) -> list[Exported]:
    """Make the exports, print what they measured, and add them to the run's result. Returns what was made.

    A run's folder is held meanwhile, so that two commands do not write to it at once.

    Raises:
        EmbexpError: there is no such run or model, or an export does not fit; all that could be made was made.
    """
    resolved, problems = resolve(config), Problems()
    exports = plan_exports(exports_in(resolved), problems)
    problems.raise_if_any()
    if not exports:
        raise ConfigError("No export is chosen", expected="at least one", fix="export=[int8]")
    roots = [resolved["paths"][place] for place in ("runs", "sweeps", "tunings", "races")]
    if resolved["soup"]:
        resolved["run"] = _first_of(resolved["soup"], resolved["run"], roots)
    if bool(resolved["run"]) == bool(resolved["model"]):
        fix = ("run=<folder of a finished run>", "model=<folder of a saved model>")
        raise ConfigError("What is to be exported is not clear", expected="one of run and model", fix=fix)
    have = {"run": resolved["run"], "texts": resolved["run"] or resolved["dataset"]}
    lacking = [(each.name, *_NEEDS[need]) for each in exports for need in each.needs if not have.get(need, True)]
    refuse(Problem(text, "export", [name], expected, fix=(fix,)) for name, text, expected, fix in lacking)
    if resolved["model"]:
        return _deliver(exports, _of_model(resolved, choices))
    folder = find_run(resolved["run"], roots)
    with held(folder):
        return _deliver(exports, _of_run(folder, resolved["trust"], _with_trust()))


def _first_of(soup: Sequence[str], run: str | None, roots: Sequence[str]) -> str:
    """The first run of a soup, which is the one that is exported; ConfigError where another one was typed as `run`."""
    own = find_run(run or soup[0], roots).resolve()
    others = [each for each in soup if find_run(each, roots).resolve() != own]
    if run and own != find_run(soup[0], roots).resolve():
        text, fix = "is not the first run of the soup, which is exported", ",".join(map(quoted, (run, *others)))
        expected = "all runs of the mean in soup"
        raise ConfigError(text, key="run", given=run, expected=expected, fix=shlex.quote(f"soup=[{fix}]"))
    return run or soup[0]


def _with_trust() -> str:
    """The present command, with trust."""
    typed = typed_overrides() or ("run=<run>", "export=[<form>]")
    return shell_command("export", [*map(shlex.quote, typed), "trust=true"])


def _deliver(exports: Sequence[Export], trained: "TrainedModel") -> list[Exported]:
    made = [*make_exports(exports, trained)]
    for line in export_lines([each.record() for each in made if not each.problem]):
        say(line)
    if not all(each.problem for each in made):
        say(f"in {trained.output}/")
    if trained.run_folder:
        _record_exports(trained.run_folder, trained.config, made)
    if failed := [each for each in made if each.problem]:
        names = (each.name + " (the earlier one stays as it is)" * each.folder.is_dir() for each in failed)
        raise ExportError(f"{len(failed)} of {len(made)} exports failed (the reasons are above): {', '.join(names)}.")
    return made


def _record_exports(folder: Path, config: _Node, made: Sequence[Exported]) -> None:
    """Add exports to the run's result.json, in place of earlier ones of the same name, and to its tracker's run.

    A failed one is recorded only if there is no earlier whole one: that one stays, with its record.
    """
    result = read_json(folder / RESULT)
    earlier = {entry["name"]: entry for entry in result.get("exports", [])}
    whole = {name for name, entry in earlier.items() if "problem" not in entry}
    recorded = {each.name: each for each in made if not each.problem or each.name not in whole}
    result["exports"] = [entry for name, entry in earlier.items() if name not in recorded]
    result["exports"] += [each.record() for each in recorded.values()]
    replaced = tuple(f"export/{each.name}/" for each in made if not each.problem)
    result["metrics"] = {key: value for key, value in result["metrics"].items() if not key.startswith(replaced)}
    result["metrics"] |= {key: value for each in made for key, value in each.metrics.items()}
    write_json(folder / RESULT, result)
    record = read_record(folder)
    if Path(record["directory"]) != Path.cwd():
        logger.warning("Not sent to the run's tracker: the run is from another machine or directory.")
        return
    _track(Outbox(folder, instantiate(config["tracking"])), record, folder / RESULT, made)


def _track(outbox: Outbox, record: Mapping[str, Any], result: Path, made: Sequence[Exported]) -> None:
    """Add to the tracker's run, which stays closed as it is; metrics that it has already are not sent again."""
    if not outbox.reopen(record):
        return
    for each in made:
        if not each.problem:
            there: dict[str, float] = {}
            with suppress(TrackingError):  # they are sent later, and may be there twice
                there = outbox.tracker.latest(each.metrics)
            fresh = {name: value for name, value in each.metrics.items() if there.get(name) != value}
            if finite := {name: value for name, value in fresh.items() if math.isfinite(value)}:
                outbox.send("log_metrics", finite, None, time.time())
            outbox.send("log_artifact", each.folder, f"exports/{each.name}")
    outbox.send("log_artifact", result, None)
    if not outbox.close(is_stopped=False):
        logger.warning("%s", behind(outbox.folder))
